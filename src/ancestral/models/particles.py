"""A particle filter over pixels: samples of an autoregressive model given some observed pixels."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ancestral.distributions.outputs import PixelOutput

FEWEST = 0.5  # resample if the effective number of particles is below this share


class Particles:
    """K partial images (particles) for each of B given images, in one batch of B K rows, grouped by given image.

    At an observed pixel, each particle takes the observed value, and its weight is multiplied by the probability of
    that value. If few particles have most of the weight of an image, all its particles are resampled. If all observed
    pixels come before the missing ones, all weights are equal: then one particle is enough, and it is an exact sample.

    Args:      given: observed values, shape (B, D). observed: boolean, shape (B, D). count: K.
    Reference: Gordon et al., 1993 (bootstrap filter); Naesseth et al., 2014, arXiv 1402.0330.
    """

    def __init__(self, given: Tensor, observed: Tensor, count: int) -> None:
        self.given, self.observed = (values.repeat_interleave(count, 0) for values in (given, observed))
        self.anywhere = observed.any(0).tolist()
        self.log_weights = given.new_zeros(len(given), count)
        self.log_evidence = given.new_zeros(len(given), 1)
        self.reweighted = False
        self.first = count * torch.arange(len(given), device=given.device)[:, None]

    def clamp(self, d: int, output: PixelOutput, parameters: Tensor, drawn: Tensor) -> Tensor:
        """Values of pixel d, shape (B K,): observed or sampled. parameters: of its conditional, (B K, size)."""
        if not self.anywhere[d]:
            return drawn
        seen, value = self.observed[:, d], self.given[:, d]
        log_p = torch.where(seen, output.log_prob(parameters, value), 0)
        self.log_weights = self.log_weights + log_p.view_as(self.log_weights)
        self.reweighted = True
        return torch.where(seen, value, drawn)

    def ancestors(self) -> Tensor | None:
        """Resampling: the row that replaces each row, shape (B K,); None if no image needs it."""
        count = self.log_weights.shape[1]
        if count == 1 or not self.reweighted:
            return None
        self.reweighted = False
        weights = self.log_weights.softmax(1)
        poor = weights.square().sum(1, keepdim=True) * count * FEWEST > 1  # 1 / sum w^2 is the effective number
        if not bool(poor.any()):
            return None
        # systematic resampling: K evenly spaced marks on the cumulated weights, with one random offset per image
        marks = torch.arange(count, device=weights.device) + torch.rand_like(self.log_evidence)
        chosen = torch.searchsorted(weights.cumsum(1), marks / count).clamp_max(count - 1)
        own = torch.arange(count, device=weights.device)
        self.log_evidence = torch.where(poor, self.total(), self.log_evidence)
        self.log_weights = torch.where(poor, 0, self.log_weights)
        return (self.first + torch.where(poor, chosen, own)).flatten()

    def total(self) -> Tensor:
        """Estimate of log p(observed pixels so far), shape (B, 1), nats; its exponential is unbiased."""
        return self.final_weights().logsumexp(1, keepdim=True)

    def final_weights(self) -> Tensor:
        """Log-weights of the particles, shape (B, K), nats; the sum of the weights is an estimate of p(observed)."""
        return self.log_evidence + self.log_weights - math.log(self.log_weights.shape[1])

"""Images drawn pixel by pixel around observed ones: several at a time, those that explain them best live on."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ancestral.distributions.outputs import PixelOutput

FEWEST = 0.5  # share of an image's particles that its weights must be worth


class Particles:
    """K images on their way for each of B given ones, in one batch of B K rows (those of an image are neighbours).

    When the turn of an observed pixel comes, each particle takes its value, and its weight is multiplied by the
    probability the particle gave it. Where few particles hold most of the weight of an image, all are drawn anew
    from among them. Observed pixels that come before all missing ones weigh all particles alike: then one is enough,
    and it is an exact draw.

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
        """Values of pixel d, shape (B K,): observed or drawn. parameters: of its conditional, (B K, size)."""
        if not self.anywhere[d]:
            return drawn
        seen, value = self.observed[:, d], self.given[:, d]
        log_p = torch.where(seen, output.log_prob(parameters, value), 0)
        self.log_weights = self.log_weights + log_p.view_as(self.log_weights)
        self.reweighted = True
        return torch.where(seen, value, drawn)

    def heirs(self) -> Tensor | None:
        """The row that each row goes on from, shape (B K,), or None where all go on as they are."""
        count = self.log_weights.shape[1]
        if count == 1 or not self.reweighted:
            return None
        self.reweighted = False
        weights = self.log_weights.softmax(1)
        poor = weights.square().sum(1, keepdim=True) * count * FEWEST > 1  # their inverse: particles they are worth
        if not bool(poor.any()):
            return None
        # systematic: one random offset for the K evenly spaced marks on an image's cumulated weights
        marks = torch.arange(count, device=weights.device) + torch.rand_like(self.log_evidence)
        chosen = torch.searchsorted(weights.cumsum(1), marks / count).clamp_max(count - 1)
        own = torch.arange(count, device=weights.device)
        self.log_evidence = torch.where(poor, self.total(), self.log_evidence)
        self.log_weights = torch.where(poor, 0, self.log_weights)
        return (self.first + torch.where(poor, chosen, own)).flatten()

    def total(self) -> Tensor:
        """Estimate of log p(observed so far), shape (B, 1), nats; its exponential is unbiased."""
        return self.final_weights().logsumexp(1, keepdim=True)

    def final_weights(self) -> Tensor:
        """Log-weights of the particles, shape (B, K), nats; their sum estimates p(observed)."""
        return self.log_evidence + self.log_weights - math.log(self.log_weights.shape[1])

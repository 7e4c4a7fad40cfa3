"""Conditional distributions: the common interface of encoders, pixel likelihoods and priors."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, Normal, kl_divergence

from ancestral.core.maths import bounded_log_variance
from ancestral.core.serialization import registered


class Conditional(nn.Module):
    """A module whose `forward(context)` returns a distribution over one whole image or latent vector.

    The event of the distribution is the whole image or vector, so `log_prob` has the batch shape.

    In evaluation mode, a value outside the support is an error (for example a grey pixel for a Bernoulli), because the
    result would not be a log-probability.
    """

    def forward(self, context: Tensor | None = None) -> Distribution:
        raise NotImplementedError


def diagonal_gaussian(mean: Tensor, log_variance: Tensor, event_dims: int = 1) -> Independent:
    """N(mean, diag exp(log_variance)) over the last `event_dims` axes.

    The scale is exp(log_variance / 2). Using exp(log_variance) is a common mistake.
    """
    normal = Normal(mean, (0.5 * log_variance).exp(), validate_args=False)
    return Independent(normal, event_dims, validate_args=False)


class FixedNormal(Normal):
    """A normal distribution whose parameters do not change: the constants of its density are computed once.

    Args:      loc, scale: equal shapes, without gradient.
    """

    def __init__(self, loc: Tensor, scale: Tensor) -> None:
        super().__init__(loc, scale, validate_args=False)
        self._factor = -0.5 / scale.square()
        self._constant = -scale.log() - 0.5 * math.log(2 * math.pi)

    def log_prob(self, value: Tensor) -> Tensor:
        return torch.addcmul(self._constant, (value - self.loc).square(), self._factor)


@registered
class DiagonalGaussian(Conditional):
    """q(z | x) = N(z; mean(x), diag exp(log_variance(x))); one network computes both.

    Args:      network: maps x, or x and a condition, to shape (..., 2 M): the M means, then the M log-variances.
    Returns:   a distribution with batch shape (...) and event shape (M,).
    Deviation: log-variances are bounded smoothly (`bounded_log_variance`).
    Reference: Kingma and Welling, 2014, eq. 9, arXiv 1312.6114.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, context: Tensor | None = None, condition: Tensor | None = None) -> Independent:
        found = self.network(context) if condition is None else self.network(context, condition)
        mean, raw = found.chunk(2, dim=-1)
        return diagonal_gaussian(mean, bounded_log_variance(raw))


def kl_parts(q: Distribution, p: Distribution, z: Tensor) -> Tensor:
    """KL(q || p) in independent parts: in closed form if both factorise, otherwise an unbiased estimate from one
    sample.

    Args:      q: batch shape (B,). p: batch shape () or (B,). z: a sample of q, shape (B, M).
    Returns:   nats; the sum over columns is the divergence or its estimate. If both factorise, shape (B, M), one column
               per latent, exact. Otherwise shape (B, 1), log q(z) - log p(z), an estimate.
    Reference: Kingma and Welling, 2014, appendix B.
    """
    if isinstance(q, Independent) and isinstance(p, Independent):
        return kl_divergence(q.base_dist, p.base_dist)
    return (q.log_prob(z) - p.log_prob(z)).unsqueeze(-1)

"""Four log-probabilities, implemented a second time as products of probabilities, to check those of training."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from ancestral.distributions.conditional import diagonal_gaussian
from ancestral.distributions.pixels import BernoulliImage, CategoricalImage
from ancestral.distributions.priors import GaussianMixture

POINTS = 1000
DIMENSIONS, COMPONENTS, LEVELS = 4, 3, 5
REACH, SPACING = 30.0, 0.1  # of the integrals over the plane


@dataclass(frozen=True)
class Agreement:
    """A log-probability computed by two implementations.

    Attributes: name, formula: the distribution. difference: the largest over all points, nats. total: the sum of the
                package's probabilities over all states, or the integral of its density over the plane.
    """

    name: str
    formula: str
    difference: float
    total: float


def agreements(points: int = POINTS, seed: int = 0) -> list[Agreement]:
    """Compare each formula with the package's distribution at random parameters and points, in double precision."""
    generator = torch.Generator().manual_seed(seed)
    return list(_compared(points, generator))


def gaussian_written_out(mean: Tensor, log_variance: Tensor, z: Tensor) -> Tensor:
    """log prod_d exp(-(z_d - m_d)^2 / 2 v_d) / sqrt(2 pi v_d). All (..., M); returns (...)."""
    variance = log_variance.exp()
    density = (-((z - mean) ** 2) / (2 * variance)).exp() / (2 * math.pi * variance).sqrt()
    return density.prod(-1).log()


def categorical_written_out(logits: Tensor, x: Tensor) -> Tensor:
    """log prod_d exp(l_d,x_d) / sum_j exp(l_dj). logits: (..., D, L), x: (..., D) levels; returns (...)."""
    weights = logits.exp()
    chosen = weights.gather(-1, x.long()[..., None])[..., 0]
    return (chosen / weights.sum(-1)).prod(-1).log()


def bernoulli_written_out(logits: Tensor, x: Tensor) -> Tensor:
    """log prod_d s_d^x_d (1 - s_d)^(1 - x_d), s = 1 / (1 + exp(-l)). Both (..., D); returns (...)."""
    on = 1 / (1 + (-logits).exp())
    return (on**x * (1 - on) ** (1 - x)).prod(-1).log()


def mixture_written_out(log_weights: Tensor, means: Tensor, log_variances: Tensor, z: Tensor) -> Tensor:
    """log sum_k w_k prod_d N(z_d; m_kd, v_kd): the product inside the sum. (K,), (K, M), (K, M), (N, M) to (N,)."""
    weights = log_weights.exp() / log_weights.exp().sum()
    inside = gaussian_written_out(means, log_variances, z[:, None]).exp()  # (N, K)
    return (weights * inside).sum(1).log()


def _compared(points: int, generator: torch.Generator) -> Iterator[Agreement]:
    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, dtype=torch.float64, generator=generator)

    mean, log_variance, z = normal(points, DIMENSIONS), normal(points, DIMENSIONS), normal(points, DIMENSIONS)
    ours = diagonal_gaussian(mean, log_variance).log_prob(z)
    density = diagonal_gaussian(mean[0, :2], log_variance[0, :2]).log_prob(_plane())
    yield Agreement(
        "diagonal Gaussian",
        "−Σ_d [log(2π v_d) + (z_d − m_d)^2 / v_d] / 2",
        _largest(ours, gaussian_written_out(mean, log_variance, z)),
        _integral(density),
    )

    logits = normal(points, DIMENSIONS, LEVELS)
    levels = torch.randint(LEVELS, (points, DIMENSIONS), generator=generator)
    every = _states(LEVELS)
    yield Agreement(
        "categorical",
        "Σ_d [l_{d, x(d)} − log Σ_j exp(l_{dj})]",
        _largest(CategoricalImage(logits, 1).log_prob(levels), categorical_written_out(logits, levels)),
        CategoricalImage(logits[0], 1).log_prob(every).exp().sum().item(),
    )

    logits = 3 * normal(points, DIMENSIONS)
    x = torch.randint(2, (points, DIMENSIONS), generator=generator).double()
    yield Agreement(
        "Bernoulli",
        "−Σ_d log(1 + exp((1 − 2 x_d) l_d))",
        _largest(BernoulliImage(logits, 1).log_prob(x), bernoulli_written_out(logits, x)),
        BernoulliImage(logits[0], 1).log_prob(_states(2)).exp().sum().item(),
    )

    log_weights, means, log_variances = (normal(*s) for s in ((COMPONENTS,), *((COMPONENTS, DIMENSIONS),) * 2))
    z = 2 * normal(points, DIMENSIONS)
    ours = GaussianMixture(log_weights, means, log_variances).log_prob(z)
    density = GaussianMixture(log_weights, means[:, :2], log_variances[:, :2]).log_prob(_plane())
    yield Agreement(
        "mixture of Gaussians",
        "log Σ_k w_k Π_d N(z_d; m_{kd}, v_{kd})",
        _largest(ours, mixture_written_out(log_weights, means, log_variances, z)),
        _integral(density),
    )


def _largest(ours: Tensor, written_out: Tensor) -> float:
    return (ours - written_out).abs().max().item()


def _states(levels: int) -> Tensor:
    """All images of `DIMENSIONS` pixels, shape (levels^D, D)."""
    return torch.tensor(list(itertools.product(range(levels), repeat=DIMENSIONS)), dtype=torch.float64)


def _plane() -> Tensor:
    axis = torch.arange(-REACH, REACH, SPACING, dtype=torch.float64)
    return torch.cartesian_prod(axis, axis)


def _integral(log_density: Tensor) -> float:
    return log_density.exp().sum().item() * SPACING**2

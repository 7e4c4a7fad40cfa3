"""KL(q || N(0, I)) of a Gaussian q over several latents: closed form, numerical integral, and Monte Carlo means."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ancestral.core.maths import mean_and_error
from ancestral.distributions.conditional import diagonal_gaussian, kl_parts
from ancestral.figures.curves import learning_curves
from ancestral.figures.series import Curve
from ancestral.studies.demonstrations.gaussian_divergence import divergence_from_standard

if TYPE_CHECKING:
    from matplotlib.figure import Figure


DRAWS = (10, 100, 1000, 10_000, 100_000)


@dataclass(frozen=True)
class Estimates:
    """One divergence computed in three ways, nats.

    Attributes: closed: sum_d (s_d^2 + m_d^2 - 1 - log s_d^2) / 2. quadrature: sum of the integrals of the latents.
                draws, nats, stderr: numbers of samples z ~ q, means of log q(z) - log p(z) over them, and standard
                errors; each mean uses its own samples.
    """

    closed: float
    quadrature: float
    draws: Sequence[int]
    nats: Sequence[float]
    stderr: Sequence[float]


def divergence_by_draws(mean: Tensor, scale: Tensor, draws: Sequence[int] = DRAWS, seed: int = 0) -> Estimates:
    """KL(N(mean, diag scale^2) || N(0, I)) in three ways.

    Args:      mean, scale: m and s, shape (M,). draws: sample sizes of the Monte Carlo estimates.
    Reference: Kingma and Welling, 2014, appendix B, arXiv 1312.6114.
    """
    m, s = mean.double(), scale.double()
    q, p = diagonal_gaussian(m, 2 * s.log()), diagonal_gaussian(torch.zeros_like(m), torch.zeros_like(m))
    generator = torch.Generator().manual_seed(seed)
    drawn = [m + s * torch.randn(n, len(m), dtype=torch.float64, generator=generator) for n in draws]
    gaps = [q.log_prob(z) - p.log_prob(z) for z in drawn]
    integrals = [divergence_from_standard(*pair).integral for pair in zip(m.tolist(), s.tolist(), strict=True)]
    nats, stderr = zip(*map(mean_and_error, gaps), strict=True)
    return Estimates(
        kl_parts(q, p, m).sum().item(),
        sum(integrals),
        tuple(draws),
        nats,
        stderr,
    )


def divergence_figure(found: Estimates) -> Figure:
    """The estimates with their standard errors against the number of samples, and the closed form."""
    low = [n - s for n, s in zip(found.nats, found.stderr, strict=True)]
    high = [n + s for n, s in zip(found.nats, found.stderr, strict=True)]
    return learning_curves(
        [Curve("mean ± s.e.", found.draws, found.nats, (low, high))],
        xlabel="samples of z from q",
        ylabel="KL divergence, nats",
        log_x=True,
        ylim=None,
        reference=[(found.closed, "closed form")],
    )

"""The density of x = f_3(f_2(f_1(z))) by the change of variables, and a histogram of transformed samples."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import torch
from scipy import stats
from torch import Tensor
from torch.distributions import Normal
from torch.nn import functional as F

from ancestral.figures.curves import small_multiples
from ancestral.figures.series import Curve

if TYPE_CHECKING:
    from matplotlib.figure import Figure


DRAWS, BINS = 100_000, 40
GRID = 4000  # cells of a density; a multiple of the bins
DRAWN = 10  # every tenth cell is drawn
REACH = 5.0  # range of z, standard deviations


class Map(NamedTuple):
    """An increasing map of the line.

    Args:      forward: z to x. inverse: x to z. log_slope: z to log f'(z).
    """

    name: str
    forward: Callable[[Tensor], Tensor]
    inverse: Callable[[Tensor], Tensor]
    log_slope: Callable[[Tensor], Tensor]


MAPS = (
    Map("3/2 z + 1/2", lambda z: 1.5 * z + 0.5, lambda x: (x - 0.5) / 1.5, lambda z: torch.full_like(z, 1.5).log()),
    Map("asinh(2 z)", lambda z: (2 * z).asinh(), lambda x: x.sinh() / 2, lambda z: -0.5 * (z.square() + 0.25).log()),
    Map(
        "3 log(1 + e^z)",
        lambda z: 3 * F.softplus(z),
        lambda x: x / 3 + torch.log(-torch.expm1(-x / 3)),
        lambda z: F.logsigmoid(z) + math.log(3),
    ),
)


@dataclass(frozen=True)
class Stage:
    """The density after some of the maps.

    Attributes: name: the last map. x, density: on a grid, shapes (G,). centres, shares: bins of a histogram of
                transformed samples, as a density, shapes (b,). integral: of the density. fit: p-value of a chi-square
                test of the samples against the density.
    """

    name: str
    x: Tensor
    density: Tensor
    centres: Tensor
    shares: Tensor
    integral: float
    fit: float


def pushforward(draws: int = DRAWS, seed: int = 0) -> list[Stage]:
    """Push N(0, 1) through `MAPS`, one after the other; the first stage is before the first map.

    log p(x) = log N(z; 0, 1) - sum_i log f_i'(z_i-1),   z = f_1^-1(... f_n^-1(x))
    """
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(draws, dtype=torch.float64, generator=generator)
    stages = [_stage("z ~ N(0, 1)", x, ())]
    for count, step in enumerate(MAPS, 1):
        x = step.forward(x)
        stages.append(_stage(f"after {step.name}", x, MAPS[:count]))
    return stages


def pushed_log_prob(x: Tensor, maps: Sequence[Map]) -> Tensor:
    """log p(x) of N(0, 1) pushed through `maps`, shape of x, nats."""
    slopes = torch.zeros_like(x)
    for step in reversed(maps):
        x = step.inverse(x)
        slopes = slopes + step.log_slope(x)
    return Normal(0.0, 1.0).log_prob(x) - slopes


def pushforward_figure(stages: Sequence[Stage]) -> Figure:
    """The density of each stage as a line, the histogram of samples as points."""
    panels = [
        (
            one.name,
            [
                Curve("density", one.x[::DRAWN], one.density[::DRAWN]),
                Curve("samples", one.centres, one.shares, style="points"),
            ],
        )
        for one in stages
    ]
    return small_multiples(panels, xlabel="value", columns=2, ylim=None)


def _stage(name: str, draws: Tensor, maps: Sequence[Map]) -> Stage:
    ends = torch.tensor([-REACH, REACH], dtype=torch.float64)
    for step in maps:
        ends = step.forward(ends)
    low, high = ends.tolist()
    edges = torch.linspace(low, high, GRID + 1, dtype=torch.float64)
    cell = (edges[1] - edges[0]).item()
    x = (edges[1:] + edges[:-1]) / 2
    density = pushed_log_prob(x, maps).exp()
    masses = (density * cell).unflatten(0, (BINS, -1)).sum(1)
    counts = torch.histc(draws, BINS, low, high)  # ignores values outside
    return Stage(
        name,
        x,
        density,
        x.unflatten(0, (BINS, -1)).mean(1),
        counts / (len(draws) * cell * GRID / BINS),
        masses.sum().item(),
        _fit(counts, len(draws) * masses),
    )


def _fit(counts: Tensor, expected: Tensor) -> float:
    """p-value of Pearson's statistic; bins with fewer than five expected samples are merged into one."""
    rare = expected < 5
    seen = torch.cat([counts[~rare], counts[rare].sum()[None]])
    wanted = torch.cat([expected[~rare], expected[rare].sum()[None]]).clamp_min(1e-9)
    statistic = ((seen - wanted).square() / wanted).sum().item()
    return float(stats.chi2.sf(statistic, len(seen) - 1))

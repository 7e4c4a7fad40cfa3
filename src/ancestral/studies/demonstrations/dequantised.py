"""A density fitted to discrete values in one dimension: on the values themselves, and on values with noise added."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.distributions import Categorical, MixtureSameFamily, Normal

from ancestral.figures.curves import learning_curves, small_multiples
from ancestral.figures.series import Curve

if TYPE_CHECKING:
    from matplotlib.figure import Figure


SHARES = (0.6, 0.08, 0.06, 0.08, 0.18)  # of five grey levels: mostly black, some white, as images of digits have
UPDATES, RATE = 400, 0.05
NODES = 64  # of the quadrature over the noise
POINTS = 380


@dataclass(frozen=True)
class Dequantised:
    """How the fits went; each list by update, in nats.

    Args:      shares: P(k) of the levels. ceiling: sum_k P(k) log P(k), the best discrete log-likelihood.
               points: mean log-density of the fit to the values. noisy: the same of the fit to values with noise.
               cells: mean log-probability that the latter gives to the cell of each value.
               x, density: the latter, in the end.
    """

    shares: list[float]
    ceiling: float
    points: list[float]
    noisy: list[float]
    cells: list[float]
    x: list[float]
    density: list[float]


class Bells(nn.Module):
    """p(x) = sum_k w_k N(x; k, s_k^2): a normal at each level, its weight and width learned. levels: how many."""

    def __init__(self, levels: int) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(levels, dtype=torch.float64))
        self.log_widths = nn.Parameter(torch.zeros(levels, dtype=torch.float64))

    def forward(self) -> MixtureSameFamily:
        centres = torch.arange(len(self.logits), dtype=torch.float64)
        return MixtureSameFamily(Categorical(logits=self.logits), Normal(centres, self.log_widths.exp()))


def dequantised(updates: int = UPDATES) -> Dequantised:
    """Fit the same density by the same gradient steps twice, all expectations by quadrature.

        on values:      sum_k P(k) log p(k)                          has no upper bound: ever narrower bells
        with noise:     sum_k P(k) E_u log p(k + u),  u in a cell    <= sum_k P(k) log P_model(k) <= sum_k P(k) log P(k)

    The first step of the bound is Jensen's inequality in each cell, the second Gibbs' inequality over the cells.

    Args:      updates: of each fit.
    Reference: Theis et al., 2016, section 3.1, arXiv 1511.01844.
    """
    shares = torch.tensor(SHARES, dtype=torch.float64)
    levels = torch.arange(len(shares), dtype=torch.float64)
    u = (torch.arange(NODES, dtype=torch.float64) + 0.5) / NODES - 0.5

    def on_values(p: MixtureSameFamily) -> Tensor:
        return shares @ p.log_prob(levels)

    def with_noise(p: MixtureSameFamily) -> Tensor:
        return shares @ p.log_prob(levels[:, None] + u).mean(1)

    def of_cells(p: MixtureSameFamily) -> Tensor:
        return shares @ p.log_prob(levels[:, None] + u).exp().mean(1).log()

    _, (points,) = _fit(len(shares), updates, on_values)
    model, (noisy, cells) = _fit(len(shares), updates, with_noise, of_cells)
    x = torch.linspace(-1.5, len(shares) + 0.5, POINTS, dtype=torch.float64)
    with torch.no_grad():
        density = model().log_prob(x).exp()
    ceiling = (shares @ shares.log()).item()
    return Dequantised(shares.tolist(), ceiling, points, noisy, cells, x.tolist(), density.tolist())


def _fit(
    levels: int,
    updates: int,
    mean: Callable[[MixtureSameFamily], Tensor],
    *watched: Callable[[MixtureSameFamily], Tensor],
) -> tuple[Bells, list[list[float]]]:
    """Bells that climb `mean`, and the course of it and of what else is watched."""
    model = Bells(levels)
    optimizer = torch.optim.Adam(model.parameters(), RATE)
    courses: list[list[float]] = [[] for _ in (mean, *watched)]
    for _ in range(updates):
        density = model()
        for course, value in zip(courses, (mean, *watched), strict=True):
            course.append(value(density).item())
        optimizer.zero_grad()
        (-mean(density)).backward()
        optimizer.step()
    return model, courses


def dequantised_figure(found: Dequantised) -> Figure:
    """Both mean log-densities over the updates, under the best discrete log-likelihood; then closer, without the one
    that grows for ever."""
    updates = range(1, len(found.points) + 1)
    with_noise = [
        Curve("best discrete model", [1, len(updates)], [found.ceiling] * 2, style="dashed"),
        Curve("with noise, probability of the cells", updates, found.cells),
        Curve("with noise, density", updates, found.noisy),
    ]
    return small_multiples(
        [("all", [*with_noise, Curve("values as they are, density", updates, found.points)]), ("closer", with_noise)],
        xlabel="updates",
        ylabel="mean logarithm, nats",
        title=f"a density fitted to {len(found.shares)} grey levels",
        ylim=None,
    )


def learned_density_figure(found: Dequantised) -> Figure:
    """What was learned with noise, over the shares of the levels as cells of width one."""
    edges = torch.arange(len(found.shares) + 1).repeat_interleave(2) - 0.5
    heights = [0.0, *(share for share in found.shares for _ in range(2)), 0.0]
    return learning_curves(
        [Curve("shares", edges, heights), Curve("learned with noise", found.x, found.density, style="dashed")],
        xlabel="grey level",
        ylabel="probability of a level; density",
        title="a density fitted to grey levels with uniform noise",
        ylim=None,
    )

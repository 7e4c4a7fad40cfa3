"""A density fitted to discrete values in one dimension, with and without added noise."""

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


SHARES = (0.6, 0.08, 0.06, 0.08, 0.18)  # of five grey levels; mostly black and some white, as in images of digits
UPDATES, RATE = 400, 0.05
NODES = 64  # of the quadrature over the noise
POINTS = 380


@dataclass(frozen=True)
class Dequantised:
    """Results of the fits; lists by update, in nats.

    Args:      shares: P(k) of the levels. ceiling: sum_k P(k) log P(k), the best discrete log-likelihood.
               points: mean log-density of the fit without noise. noisy: the same for the fit with noise.
               cells: mean log-probability of the cells of the values, for the fit with noise.
               x, density: the density of the fit with noise, at the end.
    """

    shares: list[float]
    ceiling: float
    points: list[float]
    noisy: list[float]
    cells: list[float]
    x: list[float]
    density: list[float]


class Bells(nn.Module):
    """p(x) = sum_k w_k N(x; k, s_k^2): a normal at each level, with learned weight and width. levels: number."""

    def __init__(self, levels: int) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(levels, dtype=torch.float64))
        self.log_widths = nn.Parameter(torch.zeros(levels, dtype=torch.float64))

    def forward(self) -> MixtureSameFamily:
        centres = torch.arange(len(self.logits), dtype=torch.float64)
        return MixtureSameFamily(Categorical(logits=self.logits), Normal(centres, self.log_widths.exp()))


def dequantised(updates: int = UPDATES) -> Dequantised:
    """Fit the same density twice by the same gradient steps; all expectations are computed by quadrature.

        without noise:  sum_k P(k) log p(k)                          no upper bound, because the widths go to 0
        with noise:     sum_k P(k) E_u log p(k + u),  u in a cell    <= sum_k P(k) log P_model(k) <= sum_k P(k) log P(k)

    The first inequality is Jensen's inequality in each cell, the second Gibbs' inequality over the cells.

    Args:      updates: number of updates of each fit.
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
    """A density that maximises `mean`, and the values of `mean` and of the `watched` quantities by update."""
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
    """Mean log-densities of both fits by update, and the best discrete log-likelihood; then only the fit with noise."""
    updates = range(1, len(found.points) + 1)
    with_noise = [
        Curve("best discrete model", [1, len(updates)], [found.ceiling] * 2, style="dashed"),
        Curve("with noise, probability of cells", updates, found.cells),
        Curve("with noise, density", updates, found.noisy),
    ]
    every = [*with_noise, Curve("without noise, density", updates, found.points)]
    return small_multiples(
        [("both fits", every), ("fit with noise", with_noise)],
        xlabel="updates",
        ylabel="mean logarithm, nats",
        title=f"a density fitted to {len(found.shares)} grey levels",
        ylim=None,
    )


def learned_density_figure(found: Dequantised) -> Figure:
    """The density fitted with noise, and the shares of the levels as cells of width 1."""
    edges = torch.arange(len(found.shares) + 1).repeat_interleave(2) - 0.5
    heights = [0.0, *(share for share in found.shares for _ in range(2)), 0.0]
    return learning_curves(
        [Curve("shares", edges, heights), Curve("fit with noise", found.x, found.density, style="dashed")],
        xlabel="grey level",
        ylabel="probability of a level; density",
        title="a density fitted to grey levels with uniform noise",
        ylim=None,
    )

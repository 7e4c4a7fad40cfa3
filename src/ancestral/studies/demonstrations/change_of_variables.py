"""Change of variables in one dimension, z = x^3 with z uniform: the density of x, its integral, and samples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor
from torch.distributions import Independent, Uniform

from ancestral.core.random import seed_for, seeded_noise
from ancestral.distributions.bijections import Bijection, FlowDistribution
from ancestral.figures.curves import learning_curves
from ancestral.figures.series import Curve

if TYPE_CHECKING:
    from matplotlib.figure import Figure


LOW, HIGH = -1.0, 8.0  # range of z; x goes from -1 to 2 and includes 0, where the slope of the cube is 0
BINS, CELLS, POINTS = 30, 20_000, 200
DRAWS = 20_000


class Cube(Bijection):
    """z = x^3 in one dimension, log|dz/dx| = log 3x^2: minus infinity at 0, where the inverse has no derivative."""

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return x**3, (3 * x**2).log().sum(1)

    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        x = z.sign() * z.abs() ** (1 / 3)
        return x, -(3 * x**2).log().sum(1)


@dataclass(frozen=True)
class ChangedVariable:
    """The density of x = z^(1/3) for z uniform on (low, high), and a histogram of samples.

    Args:      x, density: points and the density there. mass: its integral. mass_without: the integral of p_z(f(x))
               without the factor |dz/dx|. edges, heights: of the histogram. p_value: of a chi-square test of the
               samples against the density. draws: number of samples.
    """

    low: float
    high: float
    x: list[float]
    density: list[float]
    mass: float
    mass_without: float
    edges: list[float]
    heights: list[float]
    p_value: float
    draws: int


def change_of_variables(low: float = LOW, high: float = HIGH, draws: int = DRAWS, seed: int = 0) -> ChangedVariable:
    """p_x(x) = p_z(x^3) |3 x^2|, computed with the package's bijections, integrated and sampled.

    Args:      low, high: range of z. draws: number of samples in the histogram.
    Reference: `uva2020`, question 3.1.
    """
    ends = torch.tensor([[low], [high]], dtype=torch.float64)
    base = Independent(Uniform(*ends, validate_args=False), 1)
    flow = FlowDistribution(base, Cube())
    (first,), (last,) = Cube().inverse(ends)[0].tolist()
    edges = torch.linspace(first, last, BINS + 1, dtype=torch.float64)

    def density(x: Tensor) -> Tensor:
        return flow.log_prob(x[:, None]).exp()

    x, cells = _middles(first, last, POINTS), _middles(first, last, CELLS)
    width = (last - first) / CELLS
    with seeded_noise(seed_for(seed, "change of variables")):
        drawn = flow.sample((draws,))[:, 0]
    counts = torch.histc(drawn, BINS, first, last)
    fine = _middles(first, last, BINS * 200)
    expected = density(fine).unflatten(0, (BINS, 200)).sum(1) * (last - first) / len(fine) * draws
    misfit = ((counts - expected) ** 2 / expected).sum()
    return ChangedVariable(
        low=low,
        high=high,
        x=x.tolist(),
        density=density(x).tolist(),
        mass=(density(cells).sum() * width).item(),
        mass_without=(base.log_prob(cells[:, None] ** 3).exp().sum() * width).item(),
        edges=edges.tolist(),
        heights=(counts / draws / edges.diff()).tolist(),
        p_value=torch.special.gammaincc(torch.tensor((BINS - 1) / 2), misfit / 2).item(),
        draws=draws,
    )


def change_of_variables_figure(found: ChangedVariable) -> Figure:
    """The density and a histogram of the samples."""
    stairs = torch.tensor(found.edges).repeat_interleave(2)
    heights = torch.tensor([0.0, *(height for height in found.heights for _ in range(2)), 0.0])
    return learning_curves(
        [Curve("samples", stairs, heights), Curve("density", found.x, found.density, style="dashed")],
        xlabel="x",
        title=f"density of x, z = x³ uniform on ({found.low:g}, {found.high:g})",
        ylim=None,
    )


class Agreement(NamedTuple):
    """The largest error of a bijection followed by its inverse, and of its log-determinant (nats), at some points."""

    round_trip: float
    log_determinant: float


def against_autograd(bijection: Bijection, x: Tensor) -> Agreement:
    """Compare the log-determinant of a bijection with that of its Jacobian by autograd. x: shape (B, D)."""
    columns = torch.autograd.functional.jacobian(lambda x: bijection(x)[0].sum(0), x)  # (D, B, D)
    by_autograd = torch.linalg.slogdet(columns.transpose(0, 1)).logabsdet
    with torch.no_grad():
        z, log_determinant = bijection(x)
        back = bijection.inverse(z)[0]
    return Agreement((back - x).abs().max().item(), (log_determinant - by_autograd).abs().max().item())


def _middles(first: float, last: float, cells: int) -> Tensor:
    """The centres of `cells` equal cells."""
    return first + (last - first) * (torch.arange(cells, dtype=torch.float64) + 0.5) / cells

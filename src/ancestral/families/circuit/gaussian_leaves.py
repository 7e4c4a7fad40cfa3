"""Leaves for real columns of tables: a normal density of a column for each hidden state."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ancestral.core.random import initial_normal
from ancestral.families.circuit.leaves import Leaves

NARROWEST = 0.01  # smallest standard deviation of a leaf, in standard deviations of its column
STATISTICS = 3  # 1, x and x^2


class GaussianLeaves(Leaves):
    """p(x_d | z_d = k) = N(x_d; m_dk, s_dk^2), a density. Given its parent's state, a column is a mixture of normals.

    Means and standard deviations are in units of the standardised column, (x_d - centre_d) / scale_d. Pseudo-counts of
    EM are spread like a standard normal: each adds 1 to the sum of squares, and nothing to the sum.

    Args:      trees, columns, states: C, D, K. scale: standard deviation of the initial means.
    """

    spaces = ("points",)
    centre: Tensor
    spread: Tensor
    pseudo: Tensor

    def __init__(self, trees: int, columns: int, states: int, scale: float) -> None:
        super().__init__()
        self.means = nn.Parameter(initial_normal(trees, columns, states, scale=2 * scale))
        self.log_scales = nn.Parameter(initial_normal(trees, columns, states, scale=0.1 * scale))
        self.register_buffer("centre", torch.zeros(columns))
        self.register_buffer("spread", torch.ones(columns))
        self.register_buffer("pseudo", torch.tensor([1.0, 0.0, 1.0])[:, None], persistent=False)

    def log_table(self, tree: int) -> Tensor:
        """No rows, because there is no table of values: shape (D, 0, K)."""
        return self.means[tree][:, None, :][:, :0]

    def standardised(self, columns: Tensor, x: Tensor) -> Tensor:
        """Values of some columns, x and result (n, B), for `columns` (n,)."""
        return (x - self.centre[columns, None]) / self.spread[columns, None]

    def log_density(self, tree: int, columns: Tensor, x: Tensor) -> Tensor:
        """log p(x | k) of the nodes of a tree, shape (D, B, K), nats. columns: of each node, (D,). x: (D, B)."""
        means, log_scales = self._units(tree)
        z = (self.standardised(columns, x)[..., None] - means[:, None]) * (-log_scales[:, None]).exp()
        return -0.5 * z.square() + self._log_peak(log_scales, columns)[:, None]

    def log_peak(self, tree: int, columns: Tensor) -> Tensor:
        """The largest log p(x | k) over x of each node and state, shape (D, K)."""
        return self._log_peak(self._units(tree)[1], columns)

    def _log_peak(self, log_scales: Tensor, columns: Tensor) -> Tensor:
        return -log_scales - 0.5 * math.log(2 * math.pi) - self.spread[columns, None].log()

    def _units(self, tree: int) -> tuple[Tensor, Tensor]:
        return self.means[tree], self.log_scales[tree].clamp_min(math.log(NARROWEST))

    def moments(self, tree: int, columns: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of each node and state in the units of the data, shape (D, K)."""
        means, log_scales = self._units(tree)
        spread = self.spread[columns, None]
        return means * spread + self.centre[columns, None], log_scales.exp() * spread

    def sums(self, posteriors: Tensor, columns: Tensor, x: Tensor) -> Tensor:
        """The expected sums of 1, x and x^2 of each state. posteriors: (D, B, K), x: (D, B); returns (D, 3, K)."""
        z = self.standardised(columns, x)
        return torch.stack([torch.ones_like(z), z, z.square()], 1) @ posteriors

    def expected(self, tree: int) -> Tensor:
        """The expected 1, x and x^2 of each state, shape (D, 3, K)."""
        means, log_scales = self._units(tree)
        return torch.stack([torch.ones_like(means), means, means.square() + (2 * log_scales).exp()], 1)

    def fit(self, tree: int, counts: Tensor) -> None:
        """As `Leaves.fit`, from the expected sums of 1, x and x^2, shape (D, 3, K), the first positive."""
        weight, total, squares = counts.unbind(1)
        mean = total / weight
        self.means[tree] = mean
        self.log_scales[tree] = (squares / weight - mean.square()).clamp_min(NARROWEST**2).log() / 2

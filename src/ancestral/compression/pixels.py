"""Frequency tables for the pixels of images, from the distributions of PyTorch and of this package."""

from __future__ import annotations

from functools import singledispatch
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Bernoulli, Categorical, Distribution, Independent

from ancestral.compression.stack import Stack
from ancestral.compression.tables import edges_of, frequency_of_one
from ancestral.core.errors import NotComputable
from ancestral.distributions.pixels import BernoulliImage, DiscretisedLogisticImage, discretised_logistic_log_prob

Array = np.ndarray[Any, Any]
AT_ONCE = 1 << 24  # logits of levels in one part


class BitTable:
    """Frequencies of values 0 and 1.

    Args:      ones: frequency of the value 1, any shape.
    """

    def __init__(self, ones: Array) -> None:
        self.ones = ones

    @classmethod
    def of(cls, logits: Tensor) -> BitTable:
        """The table of binary logits."""
        return cls(frequency_of_one(logits.numpy()))

    def push(self, stack: Stack, x: Array) -> None:
        """Push values, shape of the table."""
        stack.push_bits(x.ravel(), self.ones.ravel())

    def pop(self, stack: Stack) -> Array:
        """Pop values, shape of the table."""
        return stack.pop_bits(self.ones.ravel()).reshape(self.ones.shape)

    def columns(self, n: int, columns: Array) -> BitTable:
        """The tables of some pixels of n images, in this order, shape (len(columns), n)."""
        return BitTable(self.ones.reshape(n, -1)[:, columns].T)

    def intervals(self, x: Array) -> tuple[Array, Array]:
        """What is kept of the table to push x: start and size of the intervals, or the frequency of ones."""
        return np.zeros_like(self.ones), self.ones


class LevelTable:
    """Edges of the intervals of L levels, shape (..., L + 1)."""

    def __init__(self, edges: Array) -> None:
        self.edges = edges

    @classmethod
    def of(cls, logits: Tensor) -> LevelTable:
        """The table of log-probabilities up to a constant, shape (..., L)."""
        rows = logits.flatten(0, -2)
        parts = rows.split(max(1, AT_ONCE // rows.shape[-1]))
        edges = np.concatenate([edges_of(part.numpy()) for part in parts])
        return cls(edges.reshape(*logits.shape[:-1], -1))

    def push(self, stack: Stack, x: Array) -> None:
        """Push values, shape (...)."""
        stack.push_symbols(_whole(x).ravel(), self._rows)

    def pop(self, stack: Stack) -> Array:
        """Pop values, shape (...)."""
        return stack.pop(self._rows).reshape(self.edges.shape[:-1])

    def columns(self, n: int, columns: Array) -> LevelTable:
        """The tables of some pixels of n images, in this order, shape (len(columns), n, L + 1)."""
        return LevelTable(self.edges.reshape(n, -1, self.edges.shape[-1])[:, columns].swapaxes(0, 1))

    def intervals(self, x: Array) -> tuple[Array, Array]:
        """Start and size of the interval of each value, shape (...)."""
        at = _whole(x)[..., None]
        start = np.take_along_axis(self.edges, at, -1)[..., 0]
        return start, np.take_along_axis(self.edges, at + 1, -1)[..., 0] - start

    @property
    def _rows(self) -> Array:
        return self.edges.reshape(-1, self.edges.shape[-1])


def _whole(x: Array) -> Array:
    return x.astype(np.int64)


Table = BitTable | LevelTable


@singledispatch
def table_of(distribution: Distribution, levels: int) -> Table:
    """The table for each value of a distribution over levels, or over images of independent pixels.

    Other distributions become known by `table_of.register`; for a distribution of single values, this is not necessary.

    Args:      distribution: discrete, over 0 to `levels` - 1.
    Raises:    NotComputable: the values of an event are not known to be independent.
    """
    if distribution.event_shape:
        name = type(distribution).__name__
        raise NotComputable(f"no coding of a {name} is known: its pixels may depend on each other")
    shape = distribution.batch_shape
    values = torch.arange(levels, dtype=torch.float64).view(-1, *[1] * len(shape)).expand(levels, *shape)
    log_probs = torch.stack([distribution.log_prob(value) for value in values], -1)
    return LevelTable.of(log_probs)


@table_of.register
def _independent(distribution: Independent, levels: int) -> Table:
    return table_of(distribution.base_dist, levels)


@table_of.register(Bernoulli)
@table_of.register(BernoulliImage)
def _bits(distribution: Bernoulli | BernoulliImage, levels: int) -> Table:
    return BitTable.of(distribution.logits)


@table_of.register
def _categorical(distribution: Categorical, levels: int) -> Table:
    return LevelTable.of(distribution.logits)


@table_of.register
def _logistic(distribution: DiscretisedLogisticImage, levels: int) -> Table:
    mean, log_scale = distribution.location[..., None], distribution.log_scale[..., None]
    values = torch.arange(levels, dtype=torch.float64)
    return LevelTable.of(discretised_logistic_log_prob(values, mean, log_scale, levels))

"""Frequency tables for the pixels of images, from the distributions of PyTorch and of this package."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import singledispatch

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Bernoulli, Categorical, Distribution, Independent

from ancestral.compression.stack import Array, Stack
from ancestral.compression.tables import edges_of, frequency_of_one
from ancestral.core.errors import NotComputable
from ancestral.core.text import with_article
from ancestral.distributions.outputs import ZeroFlag
from ancestral.distributions.pixels import BernoulliImage, DiscretisedLogisticImage, discretised_logistic_log_prob

AT_ONCE = 1 << 24  # logits of levels in one part


@dataclass
class Bits:
    """Zeros and ones of images with the frequency of a one, to be pushed. values, ones: shape (n, D)."""

    values: Array
    ones: Array

    def joined(self, others: Sequence[Bits]) -> Bits:
        """These and further images."""
        both = [self, *others]
        return Bits(*(np.concatenate([getattr(one, name) for one in both]) for name in ("values", "ones")))

    def push(self, stack: Stack, order: Array) -> None:
        """Push them so that all images are popped pixel by pixel, in this order."""
        stack.push_bits(self.values[:, order].T.ravel(), self.ones[:, order].T.ravel())

    def numbers(self) -> list[Array]:
        """The frequencies."""
        return [self.ones]


@dataclass
class Intervals:
    """Levels of images by the starts and sizes of their intervals, to be pushed. Shapes (n, D)."""

    starts: Array
    sizes: Array

    def joined(self, others: Sequence[Intervals]) -> Intervals:
        """These and further images."""
        both = [self, *others]
        return Intervals(*(np.concatenate([getattr(one, name) for one in both]) for name in ("starts", "sizes")))

    def push(self, stack: Stack, order: Array) -> None:
        """Push them so that all images are popped pixel by pixel, in this order."""
        stack.push(self.starts[:, order].T.ravel(), self.sizes[:, order].T.ravel())

    def numbers(self) -> list[Array]:
        """Starts and sizes."""
        return [self.starts, self.sizes]


@dataclass
class Flagged:
    """Flags of images, and the levels of the pixels whose flag is 1, to be pushed."""

    flags: Bits
    levels: Intervals

    def joined(self, others: Sequence[Flagged]) -> Flagged:
        """These and further images."""
        flags = self.flags.joined([other.flags for other in others])
        return Flagged(flags, self.levels.joined([other.levels for other in others]))

    def push(self, stack: Stack, order: Array) -> None:
        """Push them so that all images are popped pixel by pixel, in this order: flags, then levels."""
        for d in order[::-1]:
            present = self.flags.values[:, d] > 0
            stack.push(self.levels.starts[present, d], self.levels.sizes[present, d])
            stack.push_bits(self.flags.values[:, d], self.flags.ones[:, d])

    def numbers(self) -> list[Array]:
        """Frequencies of the flags, starts and sizes."""
        return [*self.flags.numbers(), *self.levels.numbers()]


Kept = Bits | Intervals | Flagged


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

    def keep(self, x: Array) -> Bits:
        """What is needed to push images x, shape (n, ...)."""
        n = len(x)
        return Bits(x.reshape(n, -1), self.ones.reshape(n, -1))


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

    def pop(self, stack: Stack, where: Array | None = None) -> Array:
        """Pop values, shape (...), or of the rows `where` this is True."""
        if where is None:
            return stack.pop(self._rows).reshape(self.edges.shape[:-1])
        return stack.pop(self._rows[where.ravel()], where.ravel())

    def columns(self, n: int, columns: Array) -> LevelTable:
        """The tables of some pixels of n images, in this order, shape (len(columns), n, L + 1)."""
        return LevelTable(self.edges.reshape(n, -1, self.edges.shape[-1])[:, columns].swapaxes(0, 1))

    def keep(self, x: Array) -> Intervals:
        """What is needed to push images x, shape (n, ...)."""
        at, edges = _whole(x).reshape(len(x), -1, 1), self.edges.reshape(len(x), -1, self.edges.shape[-1])
        starts = np.take_along_axis(edges, at, -1)[..., 0]
        return Intervals(starts, np.take_along_axis(edges, at + 1, -1)[..., 0] - starts)

    @property
    def _rows(self) -> Array:
        return self.edges.reshape(-1, self.edges.shape[-1])


def _whole(x: Array) -> Array:
    return x.astype(np.int64)


class FlagTable:
    """A flag for level 0, then a table of the other levels: most pixels of a dark image need the flag only.

    Args:      flag: frequency of a level above 0, shape (...). values: table of the levels from 1, same shape.
    """

    def __init__(self, flag: BitTable, values: LevelTable) -> None:
        self.flag, self.values = flag, values

    def push(self, stack: Stack, x: Array) -> None:
        """Push values, shape (...)."""
        present = x > 0
        LevelTable(self.values.edges[present]).push(stack, x[present] - 1)
        self.flag.push(stack, present)

    def pop(self, stack: Stack) -> Array:
        """Pop values, shape (...)."""
        present = self.flag.pop(stack) > 0
        x = np.zeros(present.shape, dtype=np.int64)
        x[present] = self.values.pop(stack, present) + 1
        return x

    def columns(self, n: int, columns: Array) -> FlagTable:
        """The tables of some pixels of n images, in this order, shape (len(columns), n)."""
        return FlagTable(self.flag.columns(n, columns), self.values.columns(n, columns))

    def keep(self, x: Array) -> Flagged:
        """What is needed to push images x, shape (n, ...)."""
        present = x > 0
        return Flagged(self.flag.keep(present), self.values.keep(np.maximum(_whole(x) - 1, 0)))


Table = BitTable | LevelTable | FlagTable


@singledispatch
def table_of(distribution: Distribution, levels: int) -> Table:
    """The table for each value of a distribution over levels, or over images of independent pixels.

    Other distributions become known by `table_of.register`; a distribution of single values is known without that.

    Args:      distribution: discrete, over 0 to `levels` - 1.
    Raises:    NotComputable: the values of an event are not known to be independent.
    """
    if distribution.event_shape:
        name = type(distribution).__name__
        raise NotComputable(f"no coding of {with_article(name)} is known: its pixels may depend on each other")
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
def _zero_flag(distribution: ZeroFlag, levels: int) -> Table:
    return FlagTable(BitTable.of(distribution.flag), LevelTable.of(distribution.values))


@table_of.register
def _logistic(distribution: DiscretisedLogisticImage, levels: int) -> Table:
    mean, log_scale = distribution.location[..., None], distribution.log_scale[..., None]
    values = torch.arange(levels, dtype=torch.float64)
    return LevelTable.of(discretised_logistic_log_prob(values, mean, log_scale, levels))

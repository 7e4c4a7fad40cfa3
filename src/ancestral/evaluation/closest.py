"""The nearest of many images by Euclidean distance of pixels: a product of matrices, of 8-bit integers if possible."""

from __future__ import annotations

import math
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

ROWS, OTHERS = 512, 2048  # of a block of distances, which then stays in the cache
BLOCK = 1024  # rows for which the way is chosen together, and which one process computes together
MOST_LEVELS = 256


def closest(rows: Tensor, others: Tensor) -> Tensor:
    """Index of the nearest of `others` to each row, shape (N,); the first of several at the same distance.

    If all values of `BLOCK` rows and of the others are multiples k / n of one 1 / n, with k from 0 to n <= 255, and the
    processor has products of 8-bit integers (VNNI), then the search is exact. Otherwise it uses float32, which does not
    resolve differences below about one grey level in one pixel.

    Args:      rows: shape (N, D), float32. others: shape (M, D), float32.
    """
    search = Search(others)
    return torch.cat([search.of(Rows(block)) for block in rows.split(BLOCK)])


_PRODUCT: Any = getattr(torch, "_int_mm", None)  # torch has no public product of 8-bit integers


def has_integer_products() -> bool:
    """Whether the processor multiplies 8-bit integers faster than float32."""
    supported = getattr(torch.cpu, "_is_vnni_supported", None)
    return _PRODUCT is not None and supported is not None and supported()


class Rows:
    """At most `BLOCK` rows, shape (B, D), float32; their conversion to levels is kept for further searches."""

    def __init__(self, values: Tensor) -> None:
        self.values = values
        self._levels: dict[int, tuple[Tensor, Tensor] | None] = {}

    def levels(self, steps: int) -> tuple[Tensor, Tensor] | None:
        """`levels_of` the rows, and their squared lengths, shape (B,)."""
        if steps not in self._levels:
            levels = levels_of(self.values, steps)
            self._levels[steps] = None if levels is None else (levels, _lengths(levels))
        return self._levels[steps]


class Search:
    """The search among `others`, which are converted once for each number of levels."""

    def __init__(self, others: Tensor) -> None:
        self.others = others
        self._integers: dict[int, IntegerSearch | None] = {}
        self._some = others[:64].unique() if has_integer_products() else others[:0]

    def of(self, rows: Rows, known: Tensor | None = None) -> Tensor:
        """Index of the nearest to each row, shape (B,).

        Args:      known: distances of the rows to others that were searched before, shape (B,), float64. A row to which
                   nothing here is nearer may then have the index -1, which takes less time.
        """
        if 0 < len(self._some) <= MOST_LEVELS:
            some = torch.cat([self._some, rows.values[0]])
            for steps in range(1, MOST_LEVELS):
                if levels_of(some, steps) is None or (search := self._integer(steps)) is None:
                    continue
                if (found := rows.levels(steps)) is not None:
                    return search.of(found[0], None if known is None else _above(known, steps, found))
        others, varying, lengths = self._floats
        return torch.addmm(lengths, rows.values[:, varying], others.T, alpha=-2).argmin(1)

    def _integer(self, steps: int) -> IntegerSearch | None:
        if steps not in self._integers:
            # 4 terms of at most columns * 255^2 in a sum of 32 bits
            fits = 4 * self.others.shape[1] * steps**2 < 2**31
            levels = levels_of(self.others, steps) if fits else None
            self._integers[steps] = None if levels is None else IntegerSearch(levels)
        return self._integers[steps]

    @cached_property
    def _floats(self) -> tuple[Tensor, Tensor, Tensor]:
        """The columns that vary (others add the same to all distances of a row), which they are, squared lengths."""
        varying = (self.others != self.others[0]).any(0)
        others = self.others[:, varying]
        return others, varying, others.square().sum(1)


def levels_of(values: Tensor, steps: int) -> Tensor | None:
    """`steps` times the values, less 128 if they would not fit 8 bits with a sign, int8; None if one is not a whole
    number from 0 to `steps`."""
    offset, parts = 0 if steps < 128 else 128, []
    for block in values.split(ROWS):
        scaled = steps * block
        rounded = scaled.round()
        least, most = rounded.aminmax()
        if least < 0 or most > steps or (scaled - rounded).abs().max() > 1e-3:
            return None
        parts.append(rounded.sub_(offset).to(torch.int8))
    return torch.cat(parts)


def _lengths(levels: Tensor) -> Tensor:
    return levels.int().square().sum(1, dtype=torch.int32)


def _above(distances: Tensor, steps: int, found: tuple[Tensor, Tensor]) -> Tensor:
    """Squared distances of levels less the squared lengths of the rows, int32, rounded up, shape (B,).

    Args:      distances: of values up to 1 in float32, whose rounding errors are allowed for. found: levels and their
               squared lengths.
    """
    levels, lengths = found
    error = 2**-22 * math.sqrt(levels.shape[1])
    above = ((distances + error) * steps).square() - lengths + 1
    return above.clamp(max=torch.iinfo(torch.int32).max).ceil().to(torch.int32)


class IntegerSearch:
    """`closest` for levels, int8: exact. An offset of all levels does not change a distance.

    Args:      others: shape (M, D).
    """

    def __init__(self, others: Tensor) -> None:
        # the squared length of a row is the same for all others
        self.parts = [(part.T, _lengths(part)) for part in others.split(OTHERS)]

    def of(self, rows: Tensor, below: Tensor | None = None) -> Tensor:
        """Index of the nearest to each row, shape (N,).

        Args:      rows: shape (N, D), int8. below: squared distances less the squared lengths of the rows, shape (N,),
                   int32; the index is -1 for a row without a smaller one.
        """
        found = []
        if below is None:
            below = torch.full((len(rows),), torch.iinfo(torch.int32).max, dtype=torch.int32)
        for block, least in zip(rows.split(ROWS), below.split(ROWS), strict=True):
            least, at = least.clone(), torch.full((len(block),), -1)
            for number, (part, lengths) in enumerate(self.parts):
                distances = torch.add(lengths, _PRODUCT(block, part), alpha=-2)
                smallest = distances.amin(1)  # much faster than the index, which few rows need
                nearer = (smallest < least).nonzero()[:, 0]
                least[nearer] = smallest[nearer]
                at[nearer] = distances[nearer].argmin(1) + OTHERS * number
            found.append(at)
        return torch.cat(found)

"""The nearest of many images by Euclidean distance of pixels: a product of matrices, of 8-bit integers if possible."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

ROWS, OTHERS = 512, 2048  # of a block of distances, which then stays in the cache
FLOAT_ROWS = 1024
MOST_LEVELS = 256


def closest(rows: Tensor, others: Tensor) -> Tensor:
    """Index of the nearest of `others` to each row, shape (N,); the first of several at the same distance.

    If all values are multiples k / n of one 1 / n <= 1, with k from 0 to n <= 255, and the processor has products of
    8-bit integers (VNNI), then the search is exact. Otherwise it uses float32, which does not resolve differences below
    about one grey level in one pixel.

    Args:      rows: shape (N, D), float32. others: shape (M, D), float32.
    """
    if has_integer_products() and (levels := whole_levels(rows, others)) is not None:
        return _closest_of_integers(*levels)
    varying = (others != others[0]).any(0)  # other columns add the same to all distances of a row
    if not bool(varying.all()):
        rows, others = rows[:, varying], others[:, varying]
    lengths = others.square().sum(1)
    return torch.cat([torch.addmm(lengths, block, others.T, alpha=-2).argmin(1) for block in rows.split(FLOAT_ROWS)])


_PRODUCT: Any = getattr(torch, "_int_mm", None)  # torch has no public product of 8-bit integers


def has_integer_products() -> bool:
    """Whether the processor multiplies 8-bit integers faster than float32."""
    supported = getattr(torch.cpu, "_is_vnni_supported", None)
    return _PRODUCT is not None and supported is not None and supported()


def whole_levels(rows: Tensor, others: Tensor) -> tuple[Tensor, Tensor] | None:
    """Both as levels of 8 bits with the same offset, int8, or None if they are not such levels."""
    if not len(rows) or not len(others) or not rows.shape[1]:
        return None
    values = others[:64].unique()
    if len(values) > MOST_LEVELS or values[0] < 0 or values[-1] > 1:
        return None
    for steps in range(1, MOST_LEVELS):
        # 4 terms of at most columns * 255^2 in a sum of 32 bits
        if _levels(values, steps) is None or 4 * rows.shape[1] * steps**2 >= 2**31:
            continue
        found = _levels(rows, steps), _levels(others, steps)
        if found[0] is not None and found[1] is not None:
            return found[0], found[1]
    return None


def _levels(values: Tensor, steps: int) -> Tensor | None:
    """`steps` times the values, with the offset, int8, or None if one is not a whole number from 0 to `steps`."""
    offset, parts = 0 if steps < 128 else 128, []
    for block in values.split(ROWS):
        scaled = steps * block
        rounded = scaled.round()
        least, most = rounded.aminmax()
        if least < 0 or most > steps or (scaled - rounded).abs().max() > 1e-3:
            return None
        parts.append(rounded.sub_(offset).to(torch.int8))
    return torch.cat(parts)


def _closest_of_integers(rows: Tensor, others: Tensor) -> Tensor:
    """`closest` for levels, int8: exact. An offset of all levels does not change a distance."""
    parts = [
        (part.T, part.to(torch.int32).square().sum(1, dtype=torch.int32)) for part in others.split(OTHERS)
    ]  # the squared length of a row is the same for all others
    found = []
    for block in rows.split(ROWS):
        least = torch.full((len(block),), torch.iinfo(torch.int32).max, dtype=torch.int32)
        at = torch.zeros(len(block), dtype=torch.int64)
        for number, (part, lengths) in enumerate(parts):
            distances = torch.add(lengths, _PRODUCT(block, part), alpha=-2)
            smallest = distances.amin(1)  # much faster than the index, which few rows need
            nearer = (smallest < least).nonzero()[:, 0]
            least[nearer] = smallest[nearer]
            at[nearer] = distances[nearer].argmin(1) + OTHERS * number
        found.append(at)
    return torch.cat(found)

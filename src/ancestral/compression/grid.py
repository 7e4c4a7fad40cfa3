"""The numbers of exact calculations: multiples of 2^-16 in double precision."""

from __future__ import annotations

from torch import Tensor

from ancestral.core.errors import InputError

FRACTION = 16
UNIT = float(1 << FRACTION)
EXACT = 53 - 2 * FRACTION  # sums of products are exact below 2^21
ARITHMETIC = f"fixed-point-{FRACTION}"
HIGHEST = float(1 << 20)  # larger results, such as infinities, are limited to this


class NotExact(InputError):
    """The calculation cannot be repeated exactly on another machine.

    It is no TypeError, as NotComputable is: the operators of tensors replace a TypeError by one of their own.
    """


def on_grid(x: Tensor) -> Tensor:
    """The nearest multiple of 2^-16, ties upwards, limited to +-2^20, in double precision."""
    return (x.double() * UNIT + 0.5).floor_().clamp_(-HIGHEST * UNIT, HIGHEST * UNIT).div_(UNIT)

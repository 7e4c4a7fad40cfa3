"""Elementary functions in double precision that give the same bits on every machine.

They use only operations that IEEE 754 rounds correctly (+, -, *, /, square root, rounding down), each in a call of its
own, so that no compiler can fuse two of them. The functions of a mathematics library differ between machines in the
last bits.
"""

from __future__ import annotations

import math
from functools import cache

import torch
from torch import Tensor

LOG2E = 1.4426950408889634
LN2_HIGH, LN2_LOW = 0.6931471803691238, 1.9082149292705877e-10  # the first has 21 zero bits at its end
PART_BITS = 5
PARTS = 1 << PART_BITS  # of a power of two: the table of exp holds 2^(j / PARTS)
TERMS = 6
LARGEST_EXPONENT = 700.0
FINEST, FARTHEST = 12, 9  # the table of the normal distribution: steps of 2^-12 from -9 to 9


def exp(x: Tensor) -> Tensor:
    """e^x: x = (e + j / 32) log 2 + r with |r| <= log(2) / 64, a table of 2^(j / 32), and a Taylor polynomial of r."""
    x = x.clamp(-LARGEST_EXPONENT, LARGEST_EXPONENT)
    k = (x * (LOG2E * PARTS) + 0.5).floor_()
    r = (x - k * (LN2_HIGH / PARTS)) - k * (LN2_LOW / PARTS)
    total = torch.full_like(r, 1 / math.factorial(TERMS))
    for n in range(TERMS - 1, -1, -1):
        total.mul_(r).add_(1 / math.factorial(n))
    whole = k.long()
    return total.mul_(_parts_of_two()[whole & (PARTS - 1)]).mul_(_power_of_two(whole >> PART_BITS))


def log(x: Tensor) -> Tensor:
    """log x for x > 0: x = 2^e m with sqrt(1/2) <= m < sqrt(2), and the series of log m in (m - 1) / (m + 1).

    Returns a very large negative number for 0, NaN for negative numbers.
    """
    bits = x.contiguous().view(torch.int64)
    exponent = (bits >> 52) - 1023
    m = ((bits & ((1 << 52) - 1)) | (1023 << 52)).view(torch.float64)
    upper = m > math.sqrt(2)
    m = torch.where(upper, m * 0.5, m)
    e = (exponent + upper).double()
    f = (m - 1) / (m + 1)
    square = f * f
    total = torch.full_like(f, 1 / 23)
    for n in range(21, 0, -2):
        total.mul_(square).add_(1 / n)
    found = (total * f * 2 + e * LN2_LOW) + e * LN2_HIGH
    found = torch.where(x == 0, -1e6, found)
    return torch.where(x < 0, math.nan, found)


def sigmoid(x: Tensor) -> Tensor:
    """1 / (1 + e^-x)."""
    return 1 / (exp(-x) + 1)


def tanh(x: Tensor) -> Tensor:
    """(1 - e^-2|x|) / (1 + e^-2|x|), with the sign of x."""
    e = exp(x.abs() * -2)
    return (1 - e) / (e + 1) * x.sign()


def softplus(x: Tensor) -> Tensor:
    """log(1 + e^x), as max(x, 0) + log(1 + e^-|x|)."""
    return x.clamp_min(0) + log(exp(-x.abs()) + 1)


def normal_cdf(x: Tensor) -> Tensor:
    """The standard normal distribution function, by linear interpolation in a table; its error is below 1e-8."""
    table = _normal_table()
    at = (x.clamp(-FARTHEST, FARTHEST) + FARTHEST) * (1 << FINEST)
    low = at.floor().clamp_max_(len(table) - 2)
    where = low.long()
    left = table[where]
    return left + (table[where + 1] - left) * (at - low)


@cache
def _normal_table() -> Tensor:
    """Phi(x) = 1/2 + phi(x) (x + x^3 / 3 + x^5 / (3 5) + ...) at x >= 0, mirrored."""
    x = torch.arange((FARTHEST << FINEST) + 1, dtype=torch.float64) / (1 << FINEST)
    square, term = x * x, x.clone()
    total = x.clone()
    for n in range(3, 401, 2):
        term = term * square / n
        total = total + term
    density = exp(square * -0.5) * 0.3989422804014327
    upper = (total * density + 0.5).clamp(max=1.0)
    return torch.cat([1 - upper.flip(0)[:-1], upper])


@cache
def _parts_of_two() -> Tensor:
    """2^(j / 32) for j from 0 to 31, as products of repeated square roots of 2, which IEEE 754 rounds correctly."""
    roots = [math.sqrt(2)]
    while len(roots) < PART_BITS:
        roots.append(math.sqrt(roots[-1]))
    table = []
    for j in range(PARTS):
        value = 1.0
        for bit, root in enumerate(reversed(roots)):
            value *= root if j >> bit & 1 else 1.0
        table.append(value)
    return torch.tensor(table, dtype=torch.float64)


def _power_of_two(k: Tensor) -> Tensor:
    return ((k + 1023) << 52).view(torch.float64)

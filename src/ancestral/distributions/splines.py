"""Monotonic rational-quadratic splines: increasing functions of one variable with an inverse in closed form."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

MIN_BIN = 1e-3  # smallest width of a bin, as a share of the interval
MIN_SLOPE = 1e-3


@dataclass(frozen=True)
class Knots:
    """The K + 1 points (x, y) of a spline and its slopes there, in one table of shape (B, 3, K + 1, ...).

    One table needs one operation where three tensors need three: the time of small flows is that of their operations.
    """

    table: Tensor

    @property
    def x(self) -> Tensor:
        return self.table[:, 0]

    @property
    def y(self) -> Tensor:
        return self.table[:, 1]


def knots_from(raw: Tensor, bound: float) -> Knots:
    """Knots from unconstrained numbers. Zeros give the identity.

    Args:      raw: shape (B, 3 K - 1, ...): K widths, K heights, K - 1 inner slopes. bound: the spline maps
               [-bound, bound] to itself; its slope is 1 at both ends, because it is the identity outside.
    """
    bins, sides = (raw.shape[1] + 1) // 3, (0, 0) * (raw.dim() - 2)
    sizes, inner = raw.split([2 * bins, bins - 1], dim=1)
    # each bin has the least share, and a part of the rest: knot k is at k least shares plus the sum of k parts
    parts = F.pad(sizes.unflatten(1, (2, bins)).softmax(2).cumsum(2)[:, :, :-1], (*sides, 1, 1))
    least = 2 * bound * MIN_BIN * torch.arange(bins, dtype=raw.dtype, device=raw.device) - bound
    least = F.pad(least, (0, 1), value=bound)  # the part of the last knot is 0
    positions = torch.add(least.view(-1, *[1] * (raw.dim() - 2)), parts, alpha=2 * bound * (1 - MIN_BIN * bins))
    one = math.log(math.expm1(1 - MIN_SLOPE))  # its softplus is 1 minus the least slope
    slopes = MIN_SLOPE + F.softplus(F.pad(inner, (*sides, 1, 1)) + one)
    return Knots(torch.cat([positions, slopes.unsqueeze(1)], 1))


class _Bin(NamedTuple):
    x: Tensor
    y: Tensor
    width: Tensor
    height: Tensor
    left: Tensor  # slope at the bin's left end
    right: Tensor


def _bin_of(value: Tensor, ends: Tensor, knots: Knots) -> _Bin:
    """The bin of each value. ends: `knots.x` for values x, `knots.y` for values y."""
    index = (value.unsqueeze(1) >= ends[:, 1:-1]).sum(1, keepdim=True)
    both = torch.cat([index, index + 1], 1).unsqueeze(1).expand(-1, 3, *[-1] * value.dim())
    (x, y, left), (x1, y1, right) = (part.unbind(1) for part in knots.table.gather(2, both).unbind(2))
    return _Bin(x, y, x1 - x, y1 - y, left, right)


def spline(x: Tensor, knots: Knots) -> tuple[Tensor, Tensor]:
    """y = g(x) and log g'(x), both of the shape of x, (B, ...). Outside the outer knots, g is the identity.

    Reference: Durkan et al., 2019, eqs. 4 and 5, arXiv 1906.04032.
    """
    outside = (x < knots.x[:, 0]) | (x > knots.x[:, -1])
    b = _bin_of(x, knots.x, knots)
    # values outside are replaced by values inside, so that the unused branch has finite gradients
    t = ((x - b.x) / b.width).masked_fill(outside, 0.5)
    mean_slope, mixed = b.height / b.width, t * (1 - t)
    denominator = torch.addcmul(mean_slope, torch.sub(b.left + b.right, mean_slope, alpha=2), mixed)
    y = b.y + b.height * torch.addcmul(b.left * mixed, mean_slope, t.square()) / denominator
    return torch.where(outside, x, y), _log_slope(b, t, mean_slope, denominator).masked_fill(outside, 0)


def inverse_spline(y: Tensor, knots: Knots) -> tuple[Tensor, Tensor]:
    """x = g^-1(y) and the log of its derivative, -log g'(x).

    Reference: Durkan et al., 2019, eqs. 6 to 8 and 29, arXiv 1906.04032.
    """
    inside = (y >= knots.y[:, 0]) & (y <= knots.y[:, -1])
    b = _bin_of(y, knots.y, knots)
    mean_slope = b.height / b.width
    rise = torch.where(inside, y - b.y, 0.5 * b.height)
    bend = b.left + b.right - 2 * mean_slope
    quadratic = b.height * (mean_slope - b.left) + rise * bend
    linear = b.height * b.left - rise * bend
    constant = -mean_slope * rise
    discriminant = (linear.square() - 4 * quadratic * constant).clamp_min(0)  # below 0 by rounding only
    t = 2 * constant / (-linear - discriminant.sqrt())
    denominator = mean_slope + bend * t * (1 - t)
    log_slope = _log_slope(b, t, mean_slope, denominator)
    return torch.where(inside, b.x + t * b.width, y), torch.where(inside, -log_slope, 0.0)


def _log_slope(b: _Bin, t: Tensor, mean_slope: Tensor, denominator: Tensor) -> Tensor:
    ends = torch.addcmul(b.right * t.square(), b.left, (1 - t).square())
    numerator = torch.addcmul(ends, mean_slope, t - t.square(), value=2)
    return 2 * (mean_slope / denominator).log() + numerator.log()

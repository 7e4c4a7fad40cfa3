"""Monotonic rational-quadratic splines: increasing functions of one variable with an inverse in closed form."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

MIN_BIN = 1e-3  # smallest width of a bin, as a share of the interval
MIN_SLOPE = 1e-3


class Knots(NamedTuple):
    """The K + 1 points (x, y) of a spline and its slopes there. Axis 1 counts the knots, the others are as in x."""

    x: Tensor
    y: Tensor
    slopes: Tensor


def knots_from(raw: Tensor, bound: float) -> Knots:
    """Knots from unconstrained numbers. Zeros give the identity.

    Args:      raw: shape (B, 3 K - 1, ...): K widths, K heights, K - 1 inner slopes. bound: the spline maps
               [-bound, bound] to itself; its slope is 1 at both ends, because it is the identity outside.
    """
    bins = (raw.shape[1] + 1) // 3
    widths, heights, inner = raw.split([bins, bins, bins - 1], dim=1)
    one = math.log(math.expm1(1 - MIN_SLOPE))  # its softplus is 1 minus the least slope
    slopes = MIN_SLOPE + F.softplus(F.pad(inner, (0, 0) * (raw.dim() - 2) + (1, 1)) + one)
    return Knots(_positions(widths, bound), _positions(heights, bound), slopes)


def _positions(raw: Tensor, bound: float) -> Tensor:
    bins = raw.shape[1]
    shares = MIN_BIN + (1 - MIN_BIN * bins) * raw.softmax(1)
    inner = 2 * bound * shares[:, :-1].cumsum(1) - bound
    end = torch.full_like(raw[:, :1], bound)
    return torch.cat([-end, inner, end], 1)


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
    x, x1, y, y1, left, right = (part.gather(1, at).squeeze(1) for part in knots for at in (index, index + 1))
    return _Bin(x, y, x1 - x, y1 - y, left, right)


def spline(x: Tensor, knots: Knots) -> tuple[Tensor, Tensor]:
    """y = g(x) and log g'(x), both of the shape of x, (B, ...). Outside the outer knots, g is the identity.

    Reference: Durkan et al., 2019, eqs. 4 and 5, arXiv 1906.04032.
    """
    inside = (x >= knots.x[:, 0]) & (x <= knots.x[:, -1])
    b = _bin_of(x, knots.x, knots)
    # values outside are replaced by values inside, so that the unused branch has finite gradients
    t = torch.where(inside, (x - b.x) / b.width, 0.5)
    mean_slope = b.height / b.width
    mixed = t * (1 - t)
    denominator = mean_slope + (b.left + b.right - 2 * mean_slope) * mixed
    y = b.y + b.height * (mean_slope * t.square() + b.left * mixed) / denominator
    return torch.where(inside, y, x), torch.where(inside, _log_slope(b, t, mean_slope, denominator), 0.0)


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
    numerator = b.right * t.square() + 2 * mean_slope * t * (1 - t) + b.left * (1 - t).square()
    return 2 * (mean_slope.log() - denominator.log()) + numerator.log()

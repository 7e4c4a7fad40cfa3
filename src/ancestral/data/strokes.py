"""Masks of thick free-form strokes, as drawn by hand over an image, for images of any size."""

from __future__ import annotations

import torch
from torch import Tensor

POINTS = 12  # of a curve between two of its given points
THICKNESS = 0.15  # of a stroke, as a part of the shorter side

Curve = tuple[tuple[float, float], ...]
"""Points (x, y) of a smooth curve, as fractions of the width and the height from the top left corner."""

SCRIBBLES: tuple[tuple[Curve, ...], ...] = (
    (((0.1, 0.2), (0.85, 0.15), (0.55, 0.5), (0.2, 0.75), (0.9, 0.85)),),
    (((0.3, 0.4), (0.5, 0.15), (0.8, 0.3), (0.75, 0.65), (0.5, 0.85), (0.2, 0.7), (0.4, 0.5), (0.95, 0.5)),),
    (
        ((0.3, 0.05), (0.25, 0.5), (0.4, 0.95)),
        ((0.6, 0.0), (0.72, 0.4), (0.55, 0.7), (0.65, 1.0)),
    ),
    (((0.0, 0.35), (0.25, 0.85), (0.45, 0.3), (0.7, 0.9), (1.0, 0.25)),),
    (
        ((0.05, 0.4), (0.3, 0.25), (0.55, 0.45), (0.95, 0.3)),
        ((0.0, 0.7), (0.35, 0.6), (0.6, 0.8), (1.0, 0.65)),
    ),
    (
        ((0.15, 0.1), (0.4, 0.5), (0.85, 0.9)),
        ((0.9, 0.1), (0.5, 0.45), (0.15, 0.7), (0.3, 0.95)),
    ),
)
"""The strokes of each mask. Successive images get the masks in turn."""


def stroke_mask(number: int, height: int, width: int) -> Tensor:
    """The mask of the image of a number: False under the strokes of a scribble, which are hidden.

    The strokes depend on the number and the size only. At least one pixel is hidden, and at least one is observed if
    there are two or more.

    Args:      number: of the image, from 0; it has the scribble `number` modulo the number of scribbles.
    Returns:   boolean, shape (H, W), True for observed pixels.
    """
    size = torch.tensor([width, height], dtype=torch.float64)
    places = torch.cartesian_prod(torch.arange(height), torch.arange(width)).view(-1, 2).flip(1) + 0.5  # (H W, 2)
    strokes = [size * _curve(stroke) for stroke in SCRIBBLES[number % len(SCRIBBLES)]]
    distances = torch.stack([_distances(places.double(), line) for line in strokes]).amin(0)
    seen = distances > THICKNESS * min(height, width) / 2
    if height * width > 1:
        seen[distances.argmax()] = True
    seen[distances.argmin()] = False
    return seen.view(height, width)


def _curve(stroke: Curve) -> Tensor:
    """Points along a Catmull-Rom spline, shape (N, 2)."""
    given = torch.tensor(stroke, dtype=torch.float64)
    before, a, b, after = (given[i] for i in _neighbours(len(given)))
    t = torch.arange(POINTS, dtype=torch.float64)[:, None, None] / POINTS
    slope_a, slope_b = (b - before) / 2, (after - a) / 2
    found = a + slope_a * t + (3 * (b - a) - 2 * slope_a - slope_b) * t**2 + (2 * (a - b) + slope_a + slope_b) * t**3
    return torch.cat([found.transpose(0, 1).flatten(0, 1), given[-1:]])


def _neighbours(count: int) -> tuple[Tensor, ...]:
    """For each of the parts of a curve: indices of the point before it, its two ends, and the point after it."""
    first = torch.arange(count - 1)
    return (first - 1).clamp_min(0), first, first + 1, (first + 2).clamp_max(count - 1)


def _distances(places: Tensor, line: Tensor) -> Tensor:
    """Distance of each place to a line through points. places: (P, 2), line: (N, 2); returns (P,)."""
    start, along = line[:-1], line.diff(dim=0)
    offsets = places[:, None] - start  # (P, N - 1, 2)
    share = ((offsets * along).sum(2) / along.square().sum(1)).clamp(0, 1)
    return (offsets - share[..., None] * along).norm(dim=2).amin(1)

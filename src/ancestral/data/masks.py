"""Masks of observed pixels: halves by name, random pixels, or strokes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ancestral.core.errors import InputError
from ancestral.core.text import close_matches
from ancestral.data.strokes import SCRIBBLES, stroke_mask

HALVES = ("left", "right", "top", "bottom")
HIDDEN = (*HALVES, "random", "halves", "drawn")


def seen_pixels(
    hide: str,
    count: int,
    event_shape: Sequence[int],
    share: float = 0.5,
    generator: torch.Generator | None = None,
    first: int = 0,
) -> Tensor:
    """Masks of observed pixels for `count` images. All channels of a pixel have the same value.

    Args:      hide: left, right, top or bottom half (the middle row or column of an odd side is observed), random
               pixels, halves: the four halves in turn, or drawn: thick strokes, a few different ones in turn, see
               `stroke_mask`. share: share of hidden pixels for `random`, 0 to 1. first: number of the first image, for
               the masks in turn.
    Returns:   boolean, shape (count, C, H, W).
    Raises:    InputError: an unknown name, a share outside [0, 1], or x that is not an image.
    Example:
        >>> seen_pixels("left", 1, (1, 2, 4)).int()[0, 0].tolist()
        [[0, 0, 1, 1], [0, 0, 1, 1]]
    """
    if len(event_shape) != 3:
        raise InputError(f"--hide needs images, not vectors of shape {tuple(event_shape)}: use --columns")
    if hide not in HIDDEN:
        raise InputError(f"unknown part {hide!r} to hide: choose {', '.join(HIDDEN)}")
    if not 0 <= share <= 1:
        raise InputError(f"a share of {share:g} cannot be hidden: give a number from 0 to 1")
    channels, height, width = event_shape
    if hide == "random":
        seen = torch.rand(count, height * width, generator=generator).argsort(1) >= round(share * height * width)
        seen = seen.view(count, height, width)
    elif hide == "drawn":
        masks = [stroke_mask(number, height, width) for number in range(first, first + min(count, len(SCRIBBLES)))]
        seen = torch.stack([masks[i % len(masks)] for i in range(count)])
    else:
        names = [HALVES[(first + i) % 4] for i in range(count)] if hide == "halves" else [hide] * count
        halves = {name: _half(name, height, width) for name in set(names)}
        seen = torch.stack([halves[name] for name in names])
    return seen[:, None].expand(count, channels, height, width).clone()


def seen_columns(names: Sequence[str], hidden: Sequence[str], count: int) -> Tensor:
    """Masks of observed columns for `count` points.

    Args:      names: names of all columns. hidden: names of the hidden columns.
    Returns:   boolean, shape (count, D).
    Raises:    InputError: an unknown column, no hidden column, all columns hidden, or a table with one column.
    """
    if len(names) < 2:
        raise InputError("a table of one column has no other columns to complete it from")
    for name in hidden:
        if name not in names:
            raise InputError(f"--columns {name}: no such column; {close_matches(name, names)}")
    if not 0 < len(set(hidden)) < len(names):
        raise InputError(f"--columns: hide from 1 to {len(names) - 1} of the {len(names)} columns")
    return torch.tensor([name not in hidden for name in names]).expand(count, len(names))


def _half(hide: str, height: int, width: int) -> Tensor:
    seen = torch.ones(height, width, dtype=torch.bool)
    down, across = height // 2, width // 2
    parts = {
        "left": seen[:, :across],
        "right": seen[:, width - across :],
        "top": seen[:down],
        "bottom": seen[height - down :],
    }
    parts[hide].fill_(False)
    return seen

"""Which pixels of an image are seen: halves by name, or a share at random."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ancestral.core.errors import InputError
from ancestral.core.text import close_matches

HALVES = ("left", "right", "top", "bottom")
HIDDEN = (*HALVES, "random", "halves")


def seen_pixels(
    hide: str,
    count: int,
    event_shape: Sequence[int],
    share: float = 0.5,
    generator: torch.Generator | None = None,
) -> Tensor:
    """A mask for each of `count` images, true where a pixel is seen; the channels of a pixel go together.

    Args:      hide: left, right, top or bottom half (the middle of an odd side is seen), random pixels, or
               halves: the four in turn. share: of the pixels that `random` hides, 0 to 1.
    Returns:   boolean, shape (count, C, H, W).
    Raises:    InputError: an unknown name, a share outside [0, 1], or x that is no image.
    Example:
        >>> seen_pixels("left", 1, (1, 2, 4)).int()[0, 0].tolist()
        [[0, 0, 1, 1], [0, 0, 1, 1]]
    """
    if len(event_shape) != 3:
        raise InputError(f"halves and shares are of images, not of vectors of shape {tuple(event_shape)}")
    if hide not in HIDDEN:
        raise InputError(f"unknown part {hide!r} to hide: choose {', '.join(HIDDEN)}")
    if not 0 <= share <= 1:
        raise InputError(f"a share of {share:g} cannot be hidden: choose from 0 to 1")
    channels, height, width = event_shape
    if hide == "random":
        seen = torch.rand(count, height * width, generator=generator).argsort(1) >= round(share * height * width)
        seen = seen.view(count, height, width)
    else:
        names = [HALVES[i % 4] for i in range(count)] if hide == "halves" else [hide] * count
        halves = {name: _half(name, height, width) for name in set(names)}
        seen = torch.stack([halves[name] for name in names])
    return seen[:, None].expand(count, channels, height, width).clone()


def seen_columns(names: Sequence[str], hidden: Sequence[str], count: int) -> Tensor:
    """A mask for each of `count` points, true where a column is seen.

    Args:      names: of all columns. hidden: those that are not seen.
    Returns:   boolean, shape (count, D).
    Raises:    InputError: an unknown column, none, or all of them; a table of one column.
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

"""Masks of halves for odd sides, and of strokes."""

from __future__ import annotations

import math

import pytest
import torch

from ancestral.data.masks import seen_pixels
from ancestral.data.strokes import SCRIBBLES


def test_the_middle_of_an_odd_side_is_seen() -> None:
    row, column = torch.arange(5)[:, None].expand(5, 7), torch.arange(7).expand(5, 7)
    wanted = {"left": column >= 3, "right": column <= 3, "top": row >= 2, "bottom": row <= 2}
    for hide, seen in wanted.items():
        assert torch.equal(seen_pixels(hide, 1, (1, 5, 7))[0, 0], seen), hide


@pytest.mark.parametrize("sides", [(1, 1), (1, 2), (3, 3), (5, 1), (28, 28), (17, 64)], ids=str)
def test_strokes_hide_a_part_of_every_image_and_show_another(sides: tuple[int, int]) -> None:
    seen = seen_pixels("drawn", 2 * len(SCRIBBLES), (3, *sides))
    assert seen.shape == (2 * len(SCRIBBLES), 3, *sides) and torch.equal(seen, seen[:, :1].expand_as(seen))
    assert (~seen).flatten(1).any(1).all() and (seen.flatten(1).any(1).all() or math.prod(sides) == 1)
    assert torch.equal(seen[: len(SCRIBBLES)], seen[len(SCRIBBLES) :])  # in turn


def test_strokes_are_thick_differ_and_scale_with_the_image() -> None:
    """Strokes have the same shape at each size: halving the image changes few pixels. They cross every image."""
    masks = {side: ~seen_pixels("drawn", len(SCRIBBLES), (1, side, side))[:, 0] for side in (28, 56)}
    shares = masks[28].double().mean((1, 2))
    assert ((shares > 0.15) & (shares < 0.5)).all()
    assert len(masks[28].flatten(1).unique(dim=0)) == len(SCRIBBLES)
    halved = masks[56].double().unflatten(1, (28, 2)).unflatten(3, (28, 2)).mean((2, 4)) > 0.5
    assert (halved != masks[28]).double().mean() < 0.05
    for mask in masks[28]:
        assert (mask[1:] & mask[:-1]).any() and (mask[:, 1:] & mask[:, :-1]).any()  # thicker than a line of one pixel
        assert mask.any(0).sum() >= 12 and mask.any(1).sum() >= 12


def test_masks_in_turn_continue_at_a_given_image() -> None:
    for hide in ("halves", "drawn"):
        whole = seen_pixels(hide, 20, (1, 12, 10))
        parts = [seen_pixels(hide, 7, (1, 12, 10)), seen_pixels(hide, 13, (1, 12, 10), first=7)]
        assert torch.equal(torch.cat(parts), whole), hide

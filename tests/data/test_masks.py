"""Masks of halves for odd sides."""

from __future__ import annotations

import torch

from ancestral.data.masks import seen_pixels


def test_the_middle_of_an_odd_side_is_seen() -> None:
    row, column = torch.arange(5)[:, None].expand(5, 7), torch.arange(7).expand(5, 7)
    wanted = {"left": column >= 3, "right": column <= 3, "top": row >= 2, "bottom": row <= 2}
    for hide, seen in wanted.items():
        assert torch.equal(seen_pixels(hide, 1, (1, 5, 7))[0, 0], seen), hide

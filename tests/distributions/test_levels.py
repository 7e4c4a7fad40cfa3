"""What a network sees of levels: numbers from 0 to 1."""

from __future__ import annotations

import torch
from torch import nn

from ancestral.distributions.pixels import CategoricalPixels


def test_levels_become_numbers_from_0_to_1() -> None:
    pixels = CategoricalPixels(nn.Identity(), (1, 1, 3), 17)
    assert pixels.to_unit(torch.tensor([0.0, 8.0, 16.0])).tolist() == [0.0, 0.5, 1.0]

"""Pixels that are drawn: each batch of an epoch and each epoch has draws of its own."""

from __future__ import annotations

import torch

from ancestral.data.pixels import PixelBatches, PixelSpace


def test_batches_of_an_epoch_have_draws_of_their_own() -> None:
    grey = torch.full((60, 1, 8, 8), 8, dtype=torch.uint8)
    batches = PixelBatches(grey, PixelSpace("binary", 17), seed=3, fresh=True)
    first, second, third = (batch.x for batch in batches.shuffled(0, 20))
    again = next(iter(batches.shuffled(1, 20))).x
    for other in (second, third, again):
        # independent fair pixels agree in half of 1280 places, with a standard deviation of 0.014
        assert abs((first == other).float().mean().item() - 0.5) < 0.07

"""Sampled pixels: each batch, block and epoch has its own random numbers. Labels stay with their images."""

from __future__ import annotations

import pytest
import torch

from ancestral.data import pixels
from ancestral.data.pixels import PixelBatches, PixelSpace
from ancestral.data.splits import Split


def test_batches_of_an_epoch_have_draws_of_their_own() -> None:
    grey = torch.full((60, 1, 8, 8), 8, dtype=torch.uint8)
    batches = PixelBatches(grey, PixelSpace("binary", 17), seed=3, fresh=True)
    first, second, third = (batch.x for batch in batches.shuffled(0, 20))
    again = next(iter(batches.shuffled(1, 20))).x
    for other in (second, third, again):
        # independent fair pixels agree in half of 1280 places, with a standard deviation of 0.014
        assert abs((first == other).float().mean().item() - 0.5) < 0.07


def test_blocks_of_held_out_images_have_draws_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pixels, "BLOCK", 20)
    grey = torch.full((60, 1, 8, 8), 8, dtype=torch.uint8)
    first, second, third = PixelBatches(grey, PixelSpace("binary", 17)).first(60).split(20)
    for one, other in ((first, second), (first, third), (second, third)):
        assert abs((one == other).float().mean().item() - 0.5) < 0.07


@pytest.mark.parametrize("chosen", [None, torch.arange(40, 10, -1)])
def test_images_keep_their_labels_in_every_batch(chosen: torch.Tensor | None) -> None:
    """The label of each image is its grey level here."""
    levels = torch.arange(50, dtype=torch.uint8)
    labels = levels.long() if chosen is None else levels[chosen].long()
    split = Split(levels.view(50, 1, 1, 1), labels, chosen=chosen)
    batches = PixelBatches(split, PixelSpace("levels", 50), labels=split.labels)
    for epoch in range(2):
        found = [(batch.x.flatten(), batch.labels) for batch in batches.shuffled(epoch, 8)]
        assert all(torch.equal(x, y.float()) for x, y in found if y is not None)
        assert torch.cat([y for _, y in found if y is not None]).sort().values.tolist() == labels.sort().values.tolist()


def test_the_first_of_the_chosen_images_are_those() -> None:
    chosen = torch.tensor([7, 2, 9, 4])
    split = Split(torch.arange(10, dtype=torch.uint8).view(10, 1, 1, 1), chosen * 10, chosen=chosen)
    first = split.first(3)
    assert first.images.flatten().tolist() == [7, 2, 9] and first.labels is not None
    assert first.labels.tolist() == [70, 20, 90]
    assert PixelBatches(split, PixelSpace("levels", 10)).first(2).flatten().tolist() == [7, 2]

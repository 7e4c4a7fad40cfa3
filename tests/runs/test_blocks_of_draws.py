"""Draws that are made in blocks: each block has noise of its own, and all of it follows from the seed."""

from __future__ import annotations

import pytest
import torch
from pretended_processes import of_all
from torch import Tensor

from ancestral.core.dividing import Alone, dividing
from ancestral.core.random import seed_for, seeded_noise
from ancestral.families.run_settings import settings_for
from ancestral.models.base import Model
from ancestral.runs import quality, sample
from ancestral.runs.quality import View
from ancestral.runs.run_data import RunData
from ancestral.runs.sample import sample_labelled, sample_model


class Noise(Model):
    """Draws that hardly ever occur twice; a class asked for is the whole part of all pixels."""

    event_shape, spaces, levels, classes = (1, 8, 8), ("unit",), None, 3

    def sample(self, n: int) -> Tensor:
        return torch.rand(n, 1, 8, 8)

    def sample_classes(self, labels: Tensor) -> Tensor:
        return labels[:, None, None, None] + self.sample(len(labels))


def test_blocks_of_samples_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sample, "AT_ONCE", 4)
    drawn = sample_model(Noise(), 10, seed=1)
    assert len(drawn.flatten(1).unique(dim=0)) == 10
    assert torch.equal(drawn, sample_model(Noise(), 10, seed=1))
    assert not torch.equal(drawn, sample_model(Noise(), 10, seed=2))
    with seeded_noise(seed_for(1, "sample")):  # up to 1,000 samples are those of earlier versions
        assert torch.equal(drawn[:4], Noise().sample(4))

    def work(processes: Alone) -> Tensor:
        with dividing(processes):
            return sample_model(Noise(), 10, seed=1)

    assert all(torch.equal(found, drawn) for world in (2, 3, 5) for found in of_all(world, work))


def test_samples_whose_quality_is_measured_differ_from_block_to_block(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quality, "AT_ONCE", 4)
    view = View(RunData(settings_for("gan", data="digits", pixels="unit").data))
    drawn = view.drawn(Noise(), 10, seed=1)
    assert len(drawn.flatten(1).unique(dim=0)) == 10
    assert torch.equal(drawn, view.drawn(Noise(), 10, seed=1))
    assert not torch.equal(drawn, view.drawn(Noise(), 10, seed=2))


def test_samples_are_returned_with_their_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sample, "AT_ONCE", 4)
    drawn, labels = sample_labelled(Noise(), 30, seed=1)
    assert torch.equal(drawn.flatten(1).trunc(), labels[:, None].expand(30, 64).float())
    assert len(labels.unique()) == 3 and len(drawn.flatten(1).unique(dim=0)) == 30

"""Values of single images and of hidden pixels: their units, their order, and what they are counted among."""

from __future__ import annotations

import csv
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from ancestral.data.splits import Split
from ancestral.evaluation.hidden import hidden_method
from ancestral.evaluation.score import Score
from ancestral.families.run_settings import settings_for
from ancestral.models.base import ExactModel
from ancestral.runs.complete import _score_hidden
from ancestral.runs.evaluate import _each
from ancestral.runs.hiding import MASKED, Hiding
from ancestral.runs.per_item import write_items
from ancestral.runs.run_data import RunData


def test_bits_per_dimension_of_an_image_are_those_of_the_score() -> None:
    values = torch.tensor([-10.0, -30.0], dtype=torch.float64)
    score = Score.of(
        values, method="log p(x)", kind="exact", side=None, samples=0, space="s", split="test", dimensions=5
    )
    columns = _each(score, values, None)
    assert columns["bits_per_dim"].mean().item() == pytest.approx(score.bits_per_dim)
    assert columns["bits_per_dim"].tolist() == pytest.approx([10 / 5 / math.log(2), 30 / 5 / math.log(2)])


def test_rows_of_a_file_have_the_requested_order(tmp_path: Path) -> None:
    split = Split(torch.zeros(3, 1, 1, 1, dtype=torch.uint8), torch.tensor([5, 6, 7]))
    data: Any = SimpleNamespace(stored=lambda name: split, classes=None)
    write_items(tmp_path / "a.csv", data, "test", {"value": torch.tensor([0.0, 1.0, 2.0])}, torch.tensor([1, 2, 0]))
    rows = list(csv.DictReader((tmp_path / "a.csv").open()))
    assert [(row["index"], row["label"], row["value"]) for row in rows] == [
        ("1", "6", "1.0"), ("2", "7", "2.0"), ("0", "5", "0.0")
    ]  # fmt: skip


class Coins(ExactModel):
    """Every pixel is a fair coin: each hidden one costs one bit."""

    event_shape, spaces, levels = (1, 8, 8), ("threshold",), 2

    def log_prob_missing(self, x: Tensor, observed: Tensor) -> Tensor:
        return -(~observed).flatten(1).sum(1) * math.log(2)


def test_bits_of_hidden_pixels_are_per_hidden_pixel() -> None:
    settings = settings_for("mixture", data="digits", pixels="threshold")
    run: Any = SimpleNamespace(data=RunData(settings.data))
    mask = torch.ones(1, 1, 8, 8, dtype=torch.bool)
    mask[..., :3, :4] = False
    coins = Coins()
    method = hidden_method(coins, run.data.held("test").first(1), mask)
    found = _score_hidden(run, coins, method, Hiding(MASKED, 0, mask), "test", 20, seed=0)
    assert found is not None and found.dimensions == 12
    assert found.bits_per_dim == pytest.approx(1.0)


def test_masks_are_joined_in_order_and_keep_missing_pixels_hidden() -> None:
    masks = torch.eye(6, dtype=torch.bool).view(6, 1, 1, 6)  # image i shows pixel i
    hiding = Hiding(MASKED, 0, masks)
    there = torch.ones(6, 1, 1, 6, dtype=torch.bool)
    there[2] = False
    first, second = hiding.seen(2, (1, 1, 6), there), hiding.seen(2, (1, 1, 6), there)
    assert torch.equal(first, masks[:2]) and torch.equal(second[1], masks[3]) and not second[0].any()


def test_proportions_of_classes_are_among_labelled_images() -> None:
    data = RunData(settings_for("mixture", data="digits", pixels="threshold").data)
    train = data.dataset.train
    labels = torch.full((len(train),), -1)
    labels[:4] = torch.tensor([0, 0, 0, 2])
    some: Any = SimpleNamespace(dataset=SimpleNamespace(train=Split(train.images, labels)))
    assert RunData._proportions(some, 3) == (0.75, 0.0, 0.25)


def test_sampled_pixels_of_a_split_depend_only_on_the_version_of_the_reading() -> None:
    """A run of the first version keeps the one draw that all splits shared then."""
    for version, own in ((1, False), (2, True)):
        data: Any = SimpleNamespace(version=version)
        assert [RunData._draw(data, split) for split in ("train", "valid", "test")] == (
            ["train", "valid", "test"] if own else ["test"] * 3
        )

"""The images that sample quality compares: samples with test images, and training images with the same test images."""

from __future__ import annotations

import pytest
import torch

from ancestral.evaluation.pixel_features import rows_of
from ancestral.evaluation.quality import Quality, near_copies
from ancestral.families.run_settings import settings_for
from ancestral.runs.quality import Comparison, View
from ancestral.runs.run_data import RunData

BOTH_WAYS = ("fid", "kid", "precision", "recall", "density", "coverage")


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    data = RunData(settings_for("mixture", data="digits", pixels="threshold", valid_size=0).data)
    return Comparison(View(data), features="pixels")


def of(comparison: Comparison, split: str) -> Quality:
    """The images of a split that are compared with, as if a model had drawn them."""
    view = comparison.view
    stored = rows_of(view.data.stored(split), comparison.count)
    return comparison.of(view.real(stored, "training" if split == "train" else "test"))


def test_test_images_as_samples_are_perfect(comparison: Comparison) -> None:
    found = of(comparison, "test")
    assert abs(found.fid.value) < 1e-6 and found.fid[1] > 1e-3
    assert found.precision.value == found.recall.value == found.coverage.value == 1 > found.recall[1]
    assert found.nearest.value == found.nearest[1] > 0
    assert found.near_copies.value == found.near_copies[1] < 0.05


def test_training_images_as_samples_have_the_values_of_real_images_and_are_copies(comparison: Comparison) -> None:
    found = of(comparison, "train")
    for name in BOTH_WAYS:
        value, of_real = getattr(found, name)
        assert value == pytest.approx(of_real), name
    assert found.fid.value > 1e-3 and found.precision.value < 1 and found.recall.value < 1
    assert found.precision.value != found.recall.value  # else the two could be exchanged
    assert (found.near_copies.value, found.nearest.value) == (1.0, 0.0) and found.nearest[1] > 0


def test_near_copies_are_the_nearest_hundredth() -> None:
    """Of 200 fresh images at distances 1, ..., 200 two are the nearest hundredth, and the second sets the limit."""
    fresh = torch.arange(1, 201, dtype=torch.float64)
    assert near_copies(torch.tensor([1.0, 2.0, 2.5, 3.0]), fresh) == (0.5, 0.01)

"""Demonstrations of `csds600`: the gain of a tighter bound, and information in codes."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from ancestral.core.errors import NotComputable
from ancestral.core.maths import mean_and_error
from ancestral.families.run_settings import settings_for
from ancestral.runs.evaluate import score_run
from ancestral.runs.fit import fit_settings
from ancestral.runs.quality import recognised
from ancestral.runs.run import Run
from ancestral.runs.run_data import RunData
from ancestral.settings.data import DataSettings
from ancestral.studies.demonstrations.code_worth import class_kept, error_of_mean_image
from ancestral.studies.demonstrations.tighter_bound import tightening

PADDED = DataSettings(data="digits", pixels="unit", pad_to=12)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    settings = settings_for("vae", data="digits", pixels="threshold", latents=2, hidden=(16,), epochs=2)
    return fit_settings(settings, tmp_path_factory.mktemp("vae"))


# ---- the tighter bound


def test_the_gain_equals_the_difference_of_scores_on_the_same_images(run: Run) -> None:
    found = tightening(run, samples=20, count=200)
    low, high = (score_run(run, samples=samples, count=200) for samples in (0, 20))
    assert found.elbo == pytest.approx((low.nats, low.stderr))
    assert found.tighter == pytest.approx((high.nats, high.stderr))
    assert found.gain[0] == pytest.approx(high.nats - low.nats, abs=1e-9)
    assert (found.count, found.samples) == (200, 20)
    assert found.gain[1] < math.hypot(low.stderr, high.stderr)  # the images are the same
    assert found.gain[0] > 0 and found.clear


def test_one_sample_gives_no_gain(run: Run) -> None:
    found = tightening(run, samples=1, count=300)
    assert abs(found.gain[0]) < 4 * found.gain[1]


def test_a_model_without_latents_has_no_tighter_bound(tmp_path: Path) -> None:
    exact = fit_settings(settings_for("made", data="digits", pixels="threshold", hidden=(8,), epochs=1), tmp_path)
    with pytest.raises(NotComputable, match="MADE"):
        tightening(exact, 5, 10)
    with pytest.raises(NotComputable, match="MADE"):
        class_kept(exact, 10)


def test_the_mean_and_its_standard_error() -> None:
    assert mean_and_error(torch.tensor([1.0, 2.0, 3.0, 4.0])) == pytest.approx((2.5, math.sqrt(5 / 3) / 2))


# ---- what a code keeps


class Coder:
    """A model whose codes are the images; decoding shifts them within the batch."""

    inference = "the image"
    dtype = torch.float32

    def __init__(self, shift: int) -> None:
        self.shift = shift

    def encode(self, x: Tensor) -> Tensor:
        return x.flatten(1)

    def decode(self, z: Tensor) -> Tensor:
        return z.roll(self.shift, 0).unflatten(1, (1, 12, 12))


def coded(shift: int) -> Run:
    return SimpleNamespace(load=lambda: Coder(shift), data=RunData(PADDED))  # type: ignore[return-value]


def test_perfect_reconstructions_keep_their_class() -> None:
    kept = class_kept(coded(0), 150)
    assert kept.shape == (150,) and kept.all()


def test_a_reconstruction_of_another_image_has_the_class_of_that_image() -> None:
    data = RunData(PADDED)
    classes = recognised(data, data.held("test").first(150)).classes
    assert torch.equal(class_kept(coded(1), 150), classes == classes.roll(1))
    labels = data.dataset.test.labels
    assert labels is not None and (classes == labels[:150]).double().mean() > 0.9  # padding is ignored


def test_the_error_of_the_mean_image_is_variance_plus_squared_bias() -> None:
    data = RunData(PADDED)
    found = error_of_mean_image(coded(0), 10_000)
    test = data.space.convert(data.dataset.test.images).double().flatten(1)
    mean = data.space.convert(data.dataset.train.images).double().flatten(1).mean(0)
    expected = (test.var(0, correction=0).sum() + (test.mean(0) - mean).square().sum()) / 2
    assert len(found) == len(test)
    assert found.mean().item() == pytest.approx(expected.item(), rel=1e-6)

"""The images that a detection uses: a random order, and a background of training images."""

from __future__ import annotations

import torch

from ancestral.data.pixels import PixelBatches
from ancestral.evaluation.detection import PixelBackground
from ancestral.runs.detect import _background, divided
from ancestral.runs.run_data import RunData
from ancestral.settings.data import DataSettings

DATA = RunData(DataSettings(valid_size=300, pixels="levels"))


def test_each_purpose_takes_images_from_the_whole_file() -> None:
    """The order of a file may mean something: its first half is natural, calibration and source in equal shares."""
    place = {row.tobytes(): i for i, row in enumerate(DATA.dataset.test.images.numpy())}
    half = len(place) / 2
    pools = divided(DATA, "test")
    for part in (pools.calibration, pools.natural, pools.source):
        early = sum(place[row.tobytes()] < half for row in part.images.numpy()) / len(part)
        assert abs(early - 0.5) < 5 * 0.5 / len(part) ** 0.5


def test_the_background_is_that_of_the_training_images() -> None:
    images = PixelBatches(DATA.dataset.test.images[:50], DATA.space)
    fitted = PixelBackground([DATA.dataset.train.images], 17)
    assert torch.allclose(_background(DATA, images), fitted.log_prob(DATA.dataset.test.images[:50]))

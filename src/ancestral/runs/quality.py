"""Sample quality of a run, stored with it: for every family, with a likelihood or without."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ancestral.core.errors import InputError
from ancestral.core.random import lasting_permutation, seed_for, seeded_noise
from ancestral.core.threads import keep_large_blocks
from ancestral.data.datasets import Dataset, load_dataset
from ancestral.data.pixels import PixelSpace
from ancestral.evaluation.neighbours import nearest
from ancestral.evaluation.quality import DRAWS, MEANS, Quality, assess
from ancestral.evaluation.recogniser import Recogniser, Recognition, recogniser_for
from ancestral.models.base import Model
from ancestral.runs.records import QUALITY
from ancestral.runs.run import Run
from ancestral.runs.run_data import RunData

MOST_SAMPLES = 10_000
AT_ONCE = 500  # samples drawn together
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class View:
    """How samples and real images of a run are looked at.

    Args:      data: of the run. means: E[x | z] in place of draws. threshold: grey values are cut at one half.
    Raises:    InputError: points have no image quality; drawn binary pixels have no half to be cut at.
    """

    data: RunData
    means: bool = False
    threshold: bool = False

    def __post_init__(self) -> None:
        if self.data.space.noun != "images":
            raise InputError(f"sample quality is of images; {self.data.name} are points: score them instead")
        if self.threshold and self.data.space.name in ("binary", "static") and not self.means:
            raise InputError(
                "--threshold cuts grey values at one half, and pixels drawn binary have none: leave it out"
            )

    @property
    def space(self) -> PixelSpace:
        """What a pixel is in the end; of cut grey values the same as where the data were cut beforehand."""
        return PixelSpace("threshold", self.data.space.levels) if self.threshold else self.data.space

    def real(self, raw: Tensor, use: str) -> Tensor:
        """Stored images, shape (N, C, H, W), as grey values in [0, 1]; `use` names the draw of binary pixels."""
        generator = torch.Generator().manual_seed(seed_for(0, "quality", use))
        return self.space.to_unit(self.space.convert(raw, generator))

    @torch.no_grad()
    def drawn(self, model: Model, count: int, seed: int = 0, progress: Progress | None = None) -> Tensor:
        """Samples of a model as grey values in [0, 1], shape (count, C, H, W)."""
        parts: list[Tensor] = []
        with seeded_noise(seed_for(seed, "quality")):
            for first in range(0, count, AT_ONCE):
                n = min(AT_ONCE, count - first)
                x = model.sample_mean(n) if self.means else model.sample(n)
                parts.append(self.data.space.to_unit(x.float()))
                if progress:
                    progress(first + n, count)
        x = torch.cat(parts)
        if not bool(x.isfinite().all()):
            raise InputError("this model draws values that are not finite (NaN or infinite): train it anew")
        return (x > 0.5).float() if self.threshold else x


def measure_run(
    run: Run | Path | str,
    count: int | None = None,
    *,
    means: bool = False,
    threshold: bool = False,
    seed: int = 0,
    progress: Progress | None = None,
) -> Quality:
    """Measure samples of a trained run against real images of its pixel space, and add the record to the run.

    Args:      run: the run or its folder. count: how many samples, and test and training images to compare with;
               10,000, or as many as there are test images. means: take E[x | z] in place of draws, where the model
               has such a mean. threshold: cut grey samples and real images at one half, so that families of grey and
               of thresholded pixels stand in one table. seed: of the draws. progress: called with (samples drawn,
               samples in all).
    Raises:    InputError: as `View`; the data have no labels, there are too few images, or samples are not finite.
    """
    keep_large_blocks()
    run = run if isinstance(run, Run) else Run(run)
    model, data = run.load(), run.data
    view = view_of(model, data, means, threshold)
    whole = _whole(data)
    recogniser = recogniser_for(whole)
    count = _checked(count, data, whole)
    samples = view.drawn(model, count, seed, progress)
    record = _assessed(view, samples, whole, recogniser, seed)
    QUALITY.add(run, record)
    return record


def measure_images(view: View, images: Tensor, seed: int = 0) -> Quality:
    """Measure images that did not come from a run's own model, as if they were its samples. Nothing is stored.

    Args:      view: of the data they are held against. images: grey values in [0, 1], shape (N, C, H, W), N as `count`
               in `measure_run`. seed: for the record.
    Raises:    InputError: as `measure_run`.
    """
    keep_large_blocks()
    whole = _whole(view.data)
    recogniser = recogniser_for(whole)
    _checked(len(images), view.data, whole)
    return _assessed(view, images, whole, recogniser, seed)


def _assessed(view: View, samples: Tensor, whole: Dataset, recogniser: Recogniser, seed: int) -> Quality:
    """Samples beside as many test and training images."""
    count, data = len(samples), view.data
    test, training = (_chosen(images, count) for images in (data.dataset.test.images, whole.train.images))
    real = view.real(test, "test")
    learned = view.real(data.dataset.train.images, "training")
    return assess(
        _look(recogniser, samples),
        _look(recogniser, real),
        _look(recogniser, view.real(training, "training")),
        nearest(samples, learned)[0],
        nearest(real, learned)[0],
        recogniser=recogniser,
        space=view.space.describe(data.name),
        drawn=MEANS if view.means else DRAWS,
        seed=seed,
    )


def recognised(data: RunData, images: Tensor) -> Recognition:
    """What the frozen network sees in images of a run's data.

    Args:      images: grey values in [0, 1], shape (N, *event_shape).
    Raises:    InputError: the data have no labels.
    """
    return _look(recogniser_for(_whole(data)), images)


def view_of(model: Model, data: RunData, means: bool, threshold: bool) -> View:
    has_mean = type(model).sample_mean is not Model.sample_mean  # else it gives draws, and they are called so
    return View(data, means and has_mean, threshold)


def _whole(data: RunData) -> Dataset:
    """The data set of a run before any choice of training images or padding: the recogniser is the same for all."""
    return load_dataset(data.settings.data, valid_size=0, split_seed=data.settings.split_seed)


def _checked(count: int | None, data: RunData, whole: Dataset) -> int:
    """How many samples; as many test images are compared with, and the floor takes as many training images."""
    most = min(len(data.dataset.test), len(whole.train))
    count = min(MOST_SAMPLES, most) if count is None else count
    if not 1 <= count <= most:
        raise InputError(
            f"{count} samples: {data.name} has {len(data.dataset.test)} test and {len(whole.train)} training images, "
            f"and as many are compared with: choose up to {most}"
        )
    return count


def _chosen(images: Tensor, count: int) -> Tensor:
    """`count` of the images, the same ones for every run."""
    return images[torch.from_numpy(lasting_permutation(len(images), 0)[:count].copy())]


def _look(recogniser: Recogniser, x: Tensor) -> Recognition:
    """What the network sees; of padded images it looks at the middle, where all images of the data set are."""
    height, width = recogniser.network.in_shape[1:]
    top, left = (x.shape[2] - height) // 2, (x.shape[3] - width) // 2
    return recogniser(x[:, :, top : top + height, left : left + width])

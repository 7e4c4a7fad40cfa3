"""Sample quality of a run, which is stored with the run; for models with and without a likelihood."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from ancestral.core.dividing import in_blocks, present
from ancestral.core.errors import InputError, NotComputable
from ancestral.core.random import seed_for, seed_of_block, seeded_noise
from ancestral.core.threads import keep_large_blocks
from ancestral.data.datasets import Dataset, load_dataset
from ancestral.data.pixels import PixelSpace
from ancestral.data.splits import Split
from ancestral.evaluation.assess import FeatureNetwork, Seen, assess
from ancestral.evaluation.closest import BLOCK
from ancestral.evaluation.neighbours import Nearest
from ancestral.evaluation.pixel_features import FeaturesOnly, fit_pixels, rows_of
from ancestral.evaluation.quality import DRAWS, MEANS, Quality, class_divergence, class_shares
from ancestral.evaluation.recogniser import (
    Recogniser,
    Recognition,
    is_shipped,
    recogniser_for,
    shipped_recogniser,
    why_not_learned,
)
from ancestral.models.base import Model
from ancestral.models.orders import SamplesInSteps, with_steps
from ancestral.models.vectors import has_mean, under_random_vectors
from ancestral.networks.classifier import classifier_for
from ancestral.runs.divided import refuse_other_weights
from ancestral.runs.records import QUALITY
from ancestral.runs.run import Run
from ancestral.runs.run_data import RunData
from ancestral.runs.vectors import sampler, vectors_in_words

MOST_SAMPLES = 10_000
AT_ONCE = 500  # samples of a block, which has its own seed
PARALLEL = 64  # steps of samples from a model that otherwise evaluates its network once for each pixel
NEIGHBOURS = 5  # of density and coverage; there must be more images than this
Progress = Callable[[int, int], None]
Features = Literal["auto", "pixels", "recogniser"]


@dataclass(frozen=True)
class View:
    """How samples and real images of a run are converted before they are compared.

    Args:      data: of the run. means: use E[x | z] instead of samples. threshold: set grey values to 0 or 1, split at
               one half. steps: sample in this number of parallel steps, if the model can; None: exact samples.
               given: the words for the record that say which vectors the samples are given; "" for none.
    Raises:    InputError: the data are points; or `threshold` for pixels that are drawn binary.
    """

    data: RunData
    means: bool = False
    threshold: bool = False
    steps: int | None = None
    given: str = ""

    def __post_init__(self) -> None:
        if self.data.space.noun != "images":
            raise InputError(
                f"sample quality needs images; {self.data.name} has points: use ancestral evaluate instead"
            )
        if self.threshold and self.data.space.name in ("binary", "static") and not self.means:
            raise InputError("--threshold needs grey values, and these pixels are binary: leave it out")

    @property
    def space(self) -> PixelSpace:
        """The pixel space after the conversion."""
        return PixelSpace("threshold", self.data.space.levels) if self.threshold else self.data.space

    def real(self, raw: Tensor, use: str) -> Tensor:
        """Stored images, shape (N, C, H, W), as grey values in [0, 1]; `use` seeds the draw of binary pixels."""
        generator = torch.Generator().manual_seed(seed_for(0, "quality", use))
        return self.space.to_unit(self.space.convert(raw, generator))

    def blocks(self, split: Split, use: str) -> Iterator[Tensor]:
        """The images of a split as grey values, in order and in blocks."""
        generator = torch.Generator().manual_seed(seed_for(0, "quality", use))
        return (self.space.to_unit(self.space.convert(raw, generator)) for raw in split.blocks())

    @torch.no_grad()
    def drawn(self, model: Model, count: int, seed: int = 0, progress: Progress | None = None) -> Tensor:
        """Samples of a model as grey values in [0, 1], shape (count, C, H, W), in blocks with their own seeds."""

        def block(number: int, rows: slice) -> Tensor:
            with seeded_noise(seed_of_block(seed, "quality", number)):
                return self.data.space.to_unit(self._sampled(model, rows.stop - rows.start).float())

        x = in_blocks(count, AT_ONCE, block, None if progress is None else lambda done: progress(done, count))
        if not bool(x.isfinite().all()):
            raise InputError("the samples of this model are not finite (NaN or infinite): train it again")
        return (x > 0.5).float() if self.threshold else x

    def _sampled(self, model: Model, n: int) -> Tensor:
        if self.means:
            return model.sample_mean(n)
        model = under_random_vectors(model, n)
        return model.sample(n) if self.steps is None else with_steps(model).sample_in_steps(n, self.steps)


def measure_run(
    run: Run | Path | str,
    count: int | None = None,
    *,
    means: bool = False,
    threshold: bool = False,
    seed: int = 0,
    features: Features = "auto",
    steps: int | None = None,
    progress: Progress | None = None,
) -> Quality:
    """Compare samples of a trained run with real images, and store the record with the run.

    Inside of `core.dividing.dividing`, samples, features and distances are computed in blocks that are divided among
    the processes, and the first process stores the record.

    Args:      run: the run or its folder; for a run on other data, these replace the test images, and nothing is
               stored. count: number of samples, of test images and of training images; default: 10,000, or the number
               of test images if that is smaller. means: use E[x | z] instead of samples, if the model has such a mean.
               threshold: set grey samples and real images to 0 or 1, split at one half, so that models of grey and of
               binary pixels can be compared. seed: of the samples. features: see `Comparison`. steps: parallel steps of
               each sample; default: see `usual_steps`. progress: called with (samples drawn, total samples).
    Raises:    InputError: as `View` and `Comparison`, samples are not finite, or the number of steps is out of range.
               NotComputable: the model has no parallel steps.
    """
    keep_large_blocks()
    run = run if isinstance(run, Run) else Run(run)
    model, data = run.load(), run.data
    refuse_other_weights(present(), model)
    steps = usual_steps(model) if steps is None else exact_or(model, steps)
    model = sampler(model, data)
    comparison = Comparison(view_of(model, data, means, threshold, steps), count, features)
    record = comparison.of(comparison.view.drawn(model, comparison.count, seed, progress), seed)
    if present().first:
        QUALITY.add(run, record)
    return record


def measure_images(view: View, images: Tensor, seed: int = 0, features: Features = "auto") -> Quality:
    """Compare any images with real images, as if they were samples. Nothing is stored.

    Args:      view: of the real images. images: grey values in [0, 1], shape (N, C, H, W), N as `count` in
               `measure_run`. seed: for the record. features: see `Comparison`.
    Raises:    InputError: as `measure_run`.
    """
    keep_large_blocks()
    return Comparison(view, len(images), features).of(images, seed)


class Comparison:
    """The real images and the features for a comparison with samples.

    All checks are made here, before samples are drawn.

    Args:      view: of samples and real images. count: number of samples, of test images and of training images;
               default: 10,000, or fewer if there are fewer images. features: "recogniser", a classifier of the data's
               classes; "pixels", the principal components of the training images; "auto", the classifier if the data
               have labels, else the MNIST classifier for grey images of 28 x 28 (without its classes), else pixels.
    Raises:    InputError: too few images, or no labels for the classifier.
    """

    def __init__(self, view: View, count: int | None = None, features: Features = "auto") -> None:
        self.view = view
        whole = _whole(view.data)
        _refuse_missing_pixels(view.data)
        test, self._pool = view.data.stored("test"), view.data.stored("train")
        self.count = _checked(count, view.data.name, len(test), len(whole.train))
        self.network = _network_of_all(whole, features, self._refuse_few)
        self._refuse_few(self.network.num_features)
        self._real = view.real(rows_of(test, self.count), "test")
        self._seen = _look(self.network, self._real)
        training = view.real(rows_of(whole.train, self.count), "training")
        self._seen_training = _look(self.network, training)
        _refuse_missing_classes(self._seen, self.network, view.data.classes)

    def _refuse_few(self, num_features: int) -> None:
        """Raises:    InputError: the number of images does not exceed that of features or neighbours."""
        least = max(num_features, NEIGHBOURS) + 1
        if self.count < least:
            raise InputError(
                f"{self.count} images of {self.view.data.name} are too few for {num_features} features: "
                f"at least {least} samples, test images and training images are needed"
            )

    def of(self, samples: Tensor, seed: int = 0) -> Quality:
        """The record of `count` samples, grey values in [0, 1], shape (count, C, H, W); `seed` is stored in it."""
        distances, test_distances = self._nearest(samples, self._real)
        return assess(
            _look(self.network, samples),
            self._seen,
            self._seen_training,
            distances,
            test_distances,
            network=self.network,
            space=self.view.space.describe(self.view.data.name) + self.view.given,
            drawn=MEANS if self.view.means else DRAWS,
            seed=seed,
            steps=self.view.steps,
        )

    def _nearest(self, *sets: Tensor) -> list[Tensor]:
        """For each set, the distance of each image to its nearest training image; training images are read in
        blocks."""
        processes = present()
        searches = [Nearest(processes.share(images, BLOCK)) for images in sets]
        for pool in self.view.blocks(self._pool, "training"):
            for search in searches:
                search.among(pool)
        found = [search.distances.split(BLOCK) for search in searches]
        return [processes.rows(d, len(images), BLOCK) for d, images in zip(found, sets, strict=True)]


def recognised(data: RunData, images: Tensor) -> Recognition:
    """The classes and features that the classifier of a run's data assigns to images.

    Args:      images: grey values in [0, 1], shape (N, *event_shape).
    Raises:    InputError: the data have no labels.
    """
    network = recogniser_for(_whole(data))
    return network(_middle(images, network.in_shape))


def view_of(model: Model, data: RunData, means: bool, threshold: bool, steps: int | None = None) -> View:
    return View(data, means and has_mean(model), threshold, steps, vectors_in_words(model))


def usual_steps(model: Model) -> int | None:
    """Parallel steps in which a model is sampled for measures of quality, which need many samples; None: exact samples.

    A model that can sample in parallel steps has `PARALLEL` of them, because an exact sample needs an evaluation of its
    network for each pixel.
    """
    return exact_or(model, PARALLEL) if isinstance(model, SamplesInSteps) else None


def exact_or(model: Model, steps: int) -> int | None:
    """A number of parallel steps; None if it is not smaller than the number of pixels, so that samples are exact.

    Raises:    NotComputable: the model has no parallel steps. InputError: fewer than one step.
    """
    with_steps(model)
    if steps < 1:
        raise InputError(f"--steps {steps}: give a whole number of at least 1")
    return steps if steps < math.prod(model.event_shape) else None


def _whole(data: RunData) -> Dataset:
    """The run's own data, without a smaller training set or padding, so that all runs use the same features."""
    own = data.settings
    how: dict[str, Any] = {"split_seed": own.split_seed, "options": own.read_options, "version": data.version}
    return load_dataset(data.source, valid_size=0, **how, fetch=False, notes=False)


def _checked(count: int | None, name: str, test: int, training: int) -> int:
    """The number of samples; there must be at least as many test and training images."""
    most = min(test, training)
    count = min(MOST_SAMPLES, most) if count is None else count
    if not 1 <= count <= most:
        raise InputError(
            f"{count} samples need as many test and training images; {name} has {test} and {training}: choose at most "
            f"{most}"
        )
    return count


def _network_of_all(whole: Dataset, features: Features, refuse_few: Callable[[int], None]) -> FeatureNetwork:
    """The same as `_network`. The first process trains and stores a classifier that does not exist; the others wait."""
    processes = present()
    if not processes.first:
        processes.barrier()
    network = _network(whole, features, refuse_few)
    if processes.first:
        processes.barrier()
    return network


def _network(whole: Dataset, features: Features, refuse_few: Callable[[int], None]) -> FeatureNetwork:
    """The features for these data, see `Comparison`; the number of images is checked before a classifier is trained."""
    reason = "" if is_shipped(whole) else why_not_learned(whole)
    if features != "pixels":
        if not reason and (features == "recogniser" or _mostly_labelled(whole.train)):
            with torch.device("meta"):  # only the number of features is needed
                refuse_few(classifier_for(whole.event_shape, 2).num_features)
            return recogniser_for(whole)
        shipped = shipped_recogniser()
        if whole.event_shape == shipped.in_shape:
            return FeaturesOnly(shipped)
        if features == "recogniser":
            raise InputError(f"{reason}: use --features pixels, which needs no labels")
    return fit_pixels(whole.train, whole.levels, whole.name)


def _mostly_labelled(split: Split) -> bool:
    return split.labels is not None and int((split.labels >= 0).sum()) * 2 >= len(split)


def _refuse_missing_pixels(data: RunData) -> None:
    """Raises:    NotComputable: test or training images have missing pixels, which no stored value stands for."""
    for split in ("test", "train"):
        if data.stored(split).seen is not None:
            raise NotComputable(
                f"{split} images of {data.name} have missing pixels: samples can only be compared with complete images"
            )


def _refuse_missing_classes(seen: Seen, network: FeatureNetwork, names: Sequence[str] | None) -> None:
    """Raises:    InputError: the classifier finds no real image of a class, so that class KL could be infinite."""
    if seen.logits is None or not isinstance(network, Recogniser):
        return
    shares = class_shares(seen.logits)
    known = None if names is None else [names[label] for label in network.facts.classes]
    class_divergence(shares, shares, known)


def _look(network: FeatureNetwork, x: Tensor) -> Seen:
    return network(_middle(x, network.in_shape))


def _middle(x: Tensor, shape: Sequence[int]) -> Tensor:
    """The centre of padded images, shape (N, *shape), without the padding."""
    height, width = shape[1:]
    top, left = (x.shape[2] - height) // 2, (x.shape[3] - width) // 2
    return x[:, :, top : top + height, left : left + width]

"""What does not belong to the data of a run: told per image and per batch, and how well it is told."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from ancestral.core.errors import InputError, NotComputable
from ancestral.core.random import lasting_permutation
from ancestral.core.threads import keep_large_blocks
from ancestral.data.anomalies import ANOMALIES, other_images, refuse_training_images
from ancestral.data.datasets import Dataset, Split
from ancestral.data.pixels import PixelBatches
from ancestral.distributions.pixels import BINARY_SPACES
from ancestral.evaluation.detection import (
    PixelBackground,
    anomaly_scores,
    auroc,
    code_lengths,
    drift,
    largest_batch,
    rates,
)
from ancestral.evaluation.detection_record import DetectionRecord
from ancestral.evaluation.likelihood import counted, log_probs
from ancestral.models.base import ExactModel, LatentModel, Model
from ancestral.runs.records import DETECTIONS
from ancestral.runs.run import Run
from ancestral.runs.run_data import RunData

SIZES = (1, 2, 5, 10, 20, 50, 100, 200)
TRIALS = 1000
ROWS = 2000  # images coded and counted together
Calibration = Literal["valid", "test"]
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Pools:
    """Images for three purposes, none of them in two, none of them trained on.

    Args:      calibration: what the tests are calibrated on. natural: what they should let pass. source: what
               anomalies are made of. calibrated_on: split of the first. words: which images these are.
    """

    calibration: Split
    natural: Split
    source: Split
    calibrated_on: Calibration
    words: str


@dataclass(frozen=True)
class Detection(DetectionRecord):
    """The record of a detection with what it was made of: log p(x) or its bound of each image.

    Args:      natural, anomalous: shapes (N,) and (M,), nats.
    """

    natural: Tensor
    anomalous: Tensor


def detect_run(
    run: Run | Path | str,
    against: str = "frankenstein",
    *,
    samples: int = 0,
    sizes: Sequence[int] = (),
    alpha: float = 0.05,
    trials: int = TRIALS,
    calibrate: Calibration = "valid",
    count: int | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Detection:
    """Tell anomalies from natural images by a trained run, image by image and batch by batch; the run keeps the record.

    Args:      run: the run or its folder. against: a key of `ANOMALIES`, the name of another data set, or a file or
               folder of images. samples: latent draws per image for the importance-weighted bound (0: exact value or
               ELBO). sizes: of the batches; those of `SIZES` that the images suffice for. alpha: false-positive rate
               of the batch test. trials: batches of each kind and size. calibrate: on which images. count: at most so
               many images of each kind. seed: of anomalies and batches. progress: called with (images scored, in all).
    Raises:    NotComputable: the model has no likelihood. InputError: points, no labels for Frankenstein images,
               other images of another shape or trained on, too few images, alpha outside (0, 1).
    """
    keep_large_blocks()
    run = run if isinstance(run, Run) else Run(run)
    model, data = run.load(), run.data
    refuse_unable(model, data)
    pools = divided(data, calibrate, count)
    anomalous = _anomalies(data, pools.source, against, seed)[:count]
    raw = (pools.calibration.images, pools.natural.images, anomalous)
    images = PixelBatches(torch.cat(raw), data.space)
    log_prob, method = log_probs(model, images, samples, progress=counted(progress, len(images)))
    # of calibration and natural images alike: both must be scored by what treats them alike, or ranks are not even
    expected = log_prob[: len(raw[0]) + len(raw[1])].mean().item()
    scores = anomaly_scores(log_prob, _code_lengths(images), _background(data, images), expected)
    split = {name: score.split([len(part) for part in raw]) for name, score in scores.items()}
    sizes = sizes or _usual_sizes(pools.natural.images, anomalous)
    natural, anomalies = (-part for part in split["log_prob"][1:])
    found = Detection(
        against=against,
        method=method,
        kind=_kind_of(model),
        space=data.space.describe(data.name),
        pools=f"{pools.words}; {against}: {len(anomalous)} images",
        alpha=alpha,
        trials=trials,
        calibrated_on=pools.calibrated_on,
        drift=drift(split["log_prob"][0], split["log_prob"][1], seed),
        calibration=len(raw[0]),
        counts=(len(natural), len(anomalies)),
        nats=(natural.mean().item(), anomalies.mean().item()),
        auroc={name: auroc(*parts[1:]) for name, parts in split.items()},
        rates={name: rates(c, n, a, sizes, alpha, trials, seed) for name, (c, n, a) in split.items()},
        natural=natural,
        anomalous=anomalies,
    )
    DETECTIONS.add(run, found)
    return found


def divided(data: RunData, calibrate: Calibration = "valid", count: int | None = None) -> Pools:
    """Held-out images for three purposes: in a lasting random order, since the order of a file may mean something
    (the second half of MNIST's test images is the harder one).

    Calibration takes the validation images; where there are none, or `calibrate` is test, half of the test images,
    which are then not tested. The other test images are natural ones and what anomalies are made of, half and half.
    """
    assert isinstance(data.dataset, Dataset)
    test, valid = (_in_lasting_order(part) for part in (data.dataset.test, data.dataset.valid))
    if calibrate == "valid" and len(valid):
        calibration, split, words = valid, "valid", "validation"
    else:
        half = len(test) // 2
        calibration, split, words = _rows(test, slice(half)), "test", "test"
        test = _rows(test, slice(half, None))
    half = len(test) // 2
    parts = calibration, _rows(test, slice(half)), _rows(test, slice(half, None))
    calibration, natural, source = (_rows(part, slice(count)) for part in parts)
    return Pools(
        calibration,
        natural,
        source,
        split,
        f"calibrated on {len(calibration)} {words} images; natural: {len(natural)} other test images",
    )


def refuse_unable(model: Model, data: RunData) -> None:
    if not isinstance(model, (ExactModel, LatentModel)):
        raise NotComputable(
            f"a {type(model).__name__} has no likelihood, so it cannot say what does not belong to its data"
        )
    if data.space.noun != "images":
        raise NotComputable(f"what does not belong is told of images; {data.name} are {data.space.noun}")


def _kind_of(model: Model) -> str:
    """What log p(x) is, in words."""
    return ("exact" if isinstance(model, ExactModel) else "lower bound") + ("" if model.discrete else ", density")


def _usual_sizes(natural: Tensor, anomalous: Tensor) -> Sequence[int]:
    """Sizes of batches that there are images for."""
    most = largest_batch(natural, anomalous)
    return [size for size in SIZES if size <= most] or SIZES[:1]


def _anomalies(data: RunData, source: Split, against: str, seed: int) -> Tensor:
    dataset = data.dataset
    if against in ANOMALIES:
        return ANOMALIES[against](source, dataset.levels, seed)
    if against == data.settings.data:
        raise InputError(f"--against {against}: these are the data that the model learned, choose others")
    images = other_images(against, dataset.event_shape, dataset.levels, data.settings.pad_to)
    refuse_training_images(images, dataset.train.images, against)
    return images


def _code_lengths(images: PixelBatches) -> Tensor:
    space = images.space
    return torch.cat([code_lengths(space.to_unit(x), _levels(images)) for x in images.in_order(ROWS)])


def _background(data: RunData, images: PixelBatches) -> Tensor:
    """log b(x) of each image, of a background fitted on the training images."""
    train = data.held("train")
    background = PixelBackground((_whole(train, x) for x in train.in_order(ROWS)), _levels(train))
    return torch.cat([background.log_prob(_whole(images, x)) for x in images.in_order(ROWS)])


def _levels(images: PixelBatches) -> int:
    """How many values a pixel takes in its space."""
    return 2 if images.space.name in BINARY_SPACES else images.space.levels


def _whole(images: PixelBatches, x: Tensor) -> Tensor:
    """Pixels as whole numbers 0..levels-1."""
    return (images.space.to_unit(x) * (_levels(images) - 1)).round()


def _in_lasting_order(part: Split) -> Split:
    return _rows(part, torch.from_numpy(lasting_permutation(len(part), 0).copy()))


def _rows(part: Split, rows: slice | Tensor) -> Split:
    return Split(part.images[rows], None if part.labels is None else part.labels[rows])

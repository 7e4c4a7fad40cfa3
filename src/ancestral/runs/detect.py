"""Detection of out-of-distribution images with a trained run, per image and per batch, and its error rates."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from ancestral.core.errors import InputError, NotComputable
from ancestral.core.random import lasting_permutation
from ancestral.core.text import type_in_words
from ancestral.core.threads import keep_large_blocks
from ancestral.data.anomalies import ANOMALIES, other_images, refuse_training_images
from ancestral.data.datasets import Dataset, Split
from ancestral.data.pixels import PixelBatches
from ancestral.data.storage import refuse_at_once
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
    """Three disjoint sets of images that were not used for training.

    Args:      calibration: images that set the thresholds of the tests. natural: in-distribution images, which the
               tests should accept. source: images that anomalies are made from. calibrated_on: split of the first.
               words: a description of the sets.
    """

    calibration: Split
    natural: Split
    source: Split
    calibrated_on: Calibration
    words: str


@dataclass(frozen=True)
class Detection(DetectionRecord):
    """The record of a detection, with log p(x) or its bound of each image.

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
    """Test how well a trained run separates anomalies from natural images, per image and per batch.

    The record is stored with the run.

    Args:      run: the run or its folder. against: a key of `ANOMALIES`, the name of another data set, or a file or
               folder of images. samples: latent samples per image for the importance-weighted bound (0: exact value or
               ELBO). sizes: batch sizes; default: those of `SIZES` for which there are enough images. alpha:
               false-positive rate of the batch test. trials: number of batches of each kind and size. calibrate: split
               of the calibration images. count: largest number of images of each kind. seed: of anomalies and batches.
               progress: called with (images scored, total images).
    Raises:    NotComputable: the model has no likelihood, or the data are points. InputError: no labels for
               Frankenstein images, other images of a wrong shape or from the training data, too few images, alpha
               outside (0, 1).
    """
    keep_large_blocks()
    run = run if isinstance(run, Run) else Run(run)
    model, data = run.load(), run.data
    refuse_unable(model, data)
    pools = divided(data, calibrate, count)
    held = len(pools.calibration) + len(pools.natural) + len(pools.source)  # one anomaly for each image of the last
    refuse_at_once("detect", (held, *data.event_shape), "use fewer images with --count N")
    anomalous = _anomalies(data, pools.source, against, seed)[:count]
    raw = (pools.calibration.images, pools.natural.images, anomalous)
    images = PixelBatches(torch.cat(raw), data.space)
    log_prob, method = log_probs(model, images, samples, progress=counted(progress, len(images)))
    # the mean uses calibration and natural images, so that both are treated equally and ranks are uniform
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
    """Divide the held-out images into three sets, in a fixed random order.

    The order of a file is not random in general: the second half of MNIST's test images is harder. Calibration uses the
    validation images; without any, or if `calibrate` is "test", it uses half of the test images, which are then not
    tested. One half of the other test images are the natural images, anomalies are made from the other half.
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
        raise NotComputable(f"{type_in_words(model)} has no likelihood, so it cannot detect out-of-distribution images")
    if data.space.noun != "images":
        raise NotComputable(f"detection needs images; {data.name} has {data.space.noun}")


def _kind_of(model: Model) -> str:
    """The kind of log p(x): exact or lower bound, and whether it is a density."""
    return ("exact" if isinstance(model, ExactModel) else "lower bound") + ("" if model.discrete else ", density")


def _usual_sizes(natural: Tensor, anomalous: Tensor) -> Sequence[int]:
    """The batch sizes for which there are enough images."""
    most = largest_batch(natural, anomalous)
    return [size for size in SIZES if size <= most] or SIZES[:1]


def _anomalies(data: RunData, source: Split, against: str, seed: int) -> Tensor:
    dataset = data.dataset
    if against in ANOMALIES:
        return ANOMALIES[against](source, dataset.levels, seed)
    if against == data.settings.data:
        raise InputError(f"--against {against}: the model was trained on these data; choose other data")
    images = other_images(against, dataset.event_shape, dataset.levels, data.settings.pad_to)
    refuse_training_images(images, dataset.train, against)
    return images


def _code_lengths(images: PixelBatches) -> Tensor:
    space = images.space
    return torch.cat([code_lengths(space.to_unit(x), _levels(images)) for x in images.in_order(ROWS)])


def _background(data: RunData, images: PixelBatches) -> Tensor:
    """log b(x) of each image under a background model, which is fitted to the training images."""
    train = data.held("train")
    background = PixelBackground((_whole(train, x) for x in train.in_order(ROWS)), _levels(train))
    return torch.cat([background.log_prob(_whole(images, x)) for x in images.in_order(ROWS)])


def _levels(images: PixelBatches) -> int:
    """The number of values of a pixel in its space."""
    return 2 if images.space.name in BINARY_SPACES else images.space.levels


def _whole(images: PixelBatches, x: Tensor) -> Tensor:
    """Pixels as integers 0..levels-1."""
    return (images.space.to_unit(x) * (_levels(images) - 1)).round()


def _in_lasting_order(part: Split) -> Split:
    return _rows(part, torch.from_numpy(lasting_permutation(len(part), 0).copy()))


def _rows(part: Split, rows: slice | Tensor) -> Split:
    return part.take(rows)

"""What does not belong to the data of a run: told per image and per batch, and how well it is told."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from ancestral.data.anomalies import ANOMALIES, frankenstein, other_images, refuse_training_images
from ancestral.data.datasets import ImageDataset, Split
from ancestral.data.pixels import PixelBatches
from ancestral.distributions.pixels import BINARY_SPACES
from ancestral.errors import InputError, NotComputable
from ancestral.evaluation.detection import (
    SCORES,
    Auroc,
    PixelBackground,
    Rate,
    Share,
    anomaly_scores,
    auroc,
    code_lengths,
    drift,
    largest_batch,
    rates,
    size_of_power,
)
from ancestral.evaluation.likelihood import counted, log_probs
from ancestral.figures.grids import image_grid
from ancestral.figures.histograms import histograms_and_shares
from ancestral.figures.series import Curve
from ancestral.models.kinds import ExactModel, LatentModel, Model
from ancestral.numerics import keep_large_blocks, lasting_permutation
from ancestral.report import Table
from ancestral.run import Run, RunData

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SIZES = (1, 2, 5, 10, 20, 50, 100, 200)
TRIALS, POWER = 1000, 0.95
DRIFTED = 0.01  # below this p-value a person is told
ROWS = 2000  # images coded and counted together
SHOWN, SHOWN_DRAWS = 10, 100  # of each kind in the picture, and latent draws of their bounds
Calibration = Literal["valid", "test"]
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Pools:
    """Images for three purposes, none of them in two, none of them trained on.

    Args:      calibration: what the tests are calibrated on. natural: what they should let pass. source: what
               anomalies are made of. words: which images these are.
    """

    calibration: Split
    natural: Split
    source: Split
    words: str


@dataclass(frozen=True)
class Detection:
    """How well a model tells anomalous images from natural ones.

    Args:      against: the anomalies. method, kind, space: of log p, as in a `Score`. pools: which images were used.
               alpha: the false-positive rate asked for. trials: batches of each kind and size. calibrated_on: valid
               or test. drift: p-value of calibration and natural images being alike, by log p.
               auroc, rates: by score, keys of `SCORES`. natural, anomalous: log p(x) or its bound,
               shapes (N,) and (M,), nats.
    """

    against: str
    method: str
    kind: str
    space: str
    pools: str
    alpha: float
    trials: int
    calibrated_on: str
    drift: float
    auroc: dict[str, Auroc]
    rates: dict[str, list[Rate]]
    natural: Tensor
    anomalous: Tensor

    @property
    def conditions(self) -> list[str]:
        """What the numbers rest on, a line each; and whether the calibration fits the natural images."""
        lines = [
            f"{self.method}, {self.kind}; {self.space}; {self.pools}",
            f"{self.trials} random batches of each kind and size; level asked for: {self.alpha:.1%}; 95 % intervals",
            f"calibration and natural images differ among themselves with p = {self.drift:.2g}",
        ]
        if self.drift < DRIFTED and self.calibrated_on == "valid":
            lines.append("the level will not hold for large batches: --calibrate test takes both from the test images")
        return lines

    def to_json(self) -> dict[str, Any]:
        """The record for `--json`: a score each with its batches."""
        words = {name: getattr(self, name) for name in ("against", "method", "kind", "space", "pools")}
        return {
            **words,
            "alpha": self.alpha,
            "trials": self.trials,
            "calibrated_on": self.calibrated_on,
            "drift": self.drift,
            "natural": len(self.natural),
            "anomalous": len(self.anomalous),
            "natural_nats": self.natural.mean().item(),
            "anomalous_nats": self.anomalous.mean().item(),
            "scores": [
                {
                    "score": name,
                    "auroc": self.auroc[name].value,
                    "stderr": self.auroc[name].stderr,
                    "size_of_95_power": size_of_power(found, POWER),
                    "batches": [
                        {
                            "size": rate.size,
                            "false_positives": rate.false_positives.value,
                            "false_positives_95": rate.false_positives.interval,
                            "power": rate.power.value,
                            "power_95": rate.power.interval,
                        }
                        for rate in found
                    ],
                }
                for name, found in self.rates.items()
            ],
        }


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
    """Tell anomalies from natural images by a trained run, image by image and batch by batch.

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
    _refuse_unable(model, data)
    pools = divided(data, calibrate, count)
    anomalous = _anomalies(data, pools.source, against, seed)[:count]
    raw = (pools.calibration.images, pools.natural.images, anomalous)
    images = PixelBatches(torch.cat(raw), data.space)
    log_prob, method = log_probs(model, images, samples, progress=counted(progress, len(images)))
    expected = log_prob[: len(raw[0])].mean().item()
    scores = anomaly_scores(log_prob, _code_lengths(images), _background(data, images), expected)
    split = {name: score.split([len(part) for part in raw]) for name, score in scores.items()}
    kept = largest_batch(pools.natural.images, anomalous)
    sizes = sizes or [size for size in SIZES if size <= kept] or SIZES[:1]
    return Detection(
        against=against,
        method=method,
        kind=("exact" if isinstance(model, ExactModel) else "lower bound") + ("" if model.discrete else ", density"),
        space=data.space.describe(data.name),
        pools=f"{pools.words}; {against}: {len(anomalous)} images",
        alpha=alpha,
        trials=trials,
        calibrated_on="valid" if calibrate == "valid" and len(data.dataset.valid) else "test",
        drift=drift(split["log_prob"][0], split["log_prob"][1], seed),
        auroc={name: auroc(*parts[1:]) for name, parts in split.items()},
        rates={name: rates(c, n, a, sizes, alpha, trials, seed) for name, (c, n, a) in split.items()},
        natural=-split["log_prob"][1],
        anomalous=-split["log_prob"][2],
    )


def divided(data: RunData, calibrate: Calibration = "valid", count: int | None = None) -> Pools:
    """Held-out images for three purposes: in a lasting random order, since the order of a file may mean something
    (the second half of MNIST's test images is the harder one).

    Calibration takes the validation images; where there are none, or `calibrate` is test, half of the test images,
    which are then not tested. The other test images are natural ones and what anomalies are made of, half and half.
    """
    assert isinstance(data.dataset, ImageDataset)
    test, valid = (_in_lasting_order(part) for part in (data.dataset.test, data.dataset.valid))
    if calibrate == "valid" and len(valid):
        calibration, words = valid, "validation"
    else:
        half = len(test) // 2
        calibration, words, test = _rows(test, slice(half)), "test", _rows(test, slice(half, None))
    half = len(test) // 2
    parts = calibration, _rows(test, slice(half)), _rows(test, slice(half, None))
    calibration, natural, source = (_rows(part, slice(count)) for part in parts)
    return Pools(
        calibration,
        natural,
        source,
        f"calibrated on {len(calibration)} {words} images; natural: {len(natural)} other test images",
    )


def detection_tables(found: Detection) -> list[Table]:
    """The scores of single images, and the batch test by log p, as tables."""
    by_image = [
        [SCORES[name], f"{value:.4f}", f"{stderr:.4f}", str(size_of_power(found.rates[name], POWER) or "-")]
        for name, (value, stderr) in found.auroc.items()
    ]
    header = ["score", "AUROC", "± s.e.", f"batch for {POWER:.0%} power"]
    by_batch = [
        [str(rate.size), *_in_percent(rate.false_positives), *_in_percent(rate.power)]
        for rate in found.rates["log_prob"]
    ]
    columns = ["batch", "false positives", "95 %", "power", "95 %"]
    return [Table(header, by_image, numeric={1, 2, 3}), Table(columns, by_batch, numeric={0, 1, 2, 3, 4})]


def detection_figure(found: Detection) -> Figure:
    """Histograms of log p of natural and anomalous images, and the power of the batch test by its size."""

    def curve(label: str, name: str, what: Literal["false_positives", "power"], dashed: bool = False) -> Curve:
        shares: list[Share] = [getattr(rate, what) for rate in found.rates[name]]
        low, high = zip(*(share.interval for share in shares), strict=True)
        sizes, values = [rate.size for rate in found.rates[name]], [share.value for share in shares]
        return Curve(label, sizes, values, None if dashed else (low, high), "dashed" if dashed else "line")

    against = Path(found.against).name
    others = [curve(SCORES[name], name, "power", dashed=True) for name in SCORES if name != "log_prob"]
    return histograms_and_shares(
        [("natural", found.natural), (against, found.anomalous)],
        [curve("natural", "log_prob", "false_positives"), curve(against, "log_prob", "power"), *others],
        titles=(f"{found.method} of single images, nats ({found.kind})", "batches found out (dashed: by other scores)"),
        xlabel="images in a batch",
        levels=(found.alpha, POWER),
        title=f"{against} against {found.space}",
    )


def frankenstein_sheet(run: Run, count: int = SHOWN, seed: int = 0) -> Figure:
    """Test images, none picked, and as many Frankenstein images, with log p(x) or its bound under each."""
    model, data = run.load(), run.data
    _refuse_unable(model, data)
    pools = divided(data)
    if count > len(pools.natural):
        raise InputError(f"{count} natural images are more than there are: {len(pools.natural)}")
    natural = pools.natural.images[:count]
    images = PixelBatches(torch.cat([natural, frankenstein(pools.source, seed, count).images]), data.space)
    values, method = log_probs(model, images, SHOWN_DRAWS)
    columns = next(n for n in range(min(count, SHOWN), 0, -1) if count % n == 0)  # no row of both kinds
    kind = "exact" if isinstance(model, ExactModel) else "a lower bound on log p(x)"
    return image_grid(
        data.space.to_unit(images.first(2 * count)),
        columns=columns,
        captions=[f"{value:.1f}" for value in values.tolist()],
        row_titles=["natural"] * (count // columns) + ["Frankenstein"] * (count // columns),
        title=f"{method}, nats ({kind})",
    )


def _refuse_unable(model: Model, data: RunData) -> None:
    if not isinstance(model, (ExactModel, LatentModel)):
        raise NotComputable(
            f"a {type(model).__name__} has no likelihood, so it cannot say what does not belong to its data"
        )
    if data.space.noun != "images":
        raise NotComputable(f"what does not belong is told of images; {data.name} are {data.space.noun}")


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


def _in_percent(share: Share) -> list[str]:
    low, high = share.interval
    return [f"{share.value:.1%}", f"{low:.1%}-{high:.1%}"]

"""A model with classes as a classifier: p(y | x) by Bayes' rule, its accuracy and its calibration."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from ancestral.core.errors import InputError
from ancestral.core.maths import mean_and_error
from ancestral.data.pixels import PixelBatches
from ancestral.evaluation.likelihood import Progress, block_for, log_mean_weight, per_image_seen
from ancestral.models.base import ExactModel, Model
from ancestral.models.classes import WeighsClasses, log_joint_of_classes

BINS = 15  # of the confidence, for the calibration error
LEAST_SAMPLES = 10  # of the latents of each class: the posterior of one sample has an error of several nats


@dataclass(frozen=True)
class ClassScores:
    """How well a model with classes predicts labelled images, and their classes.

    Args:      nats: mean of log p(x | y) for the label y, nats. stderr: its standard error. exact: whether it is exact;
               else it is an importance-weighted lower bound. samples: latent samples per image and class; 0 if exact.
               accuracy: share of images whose most probable class is the label. accuracy_stderr: its standard error.
               label_nll: mean of -log p(y | x) for the label, nats. label_nll_stderr: its standard error.
               calibration_error: expected calibration error, see `calibration_error`. space: data and pixel space.
               split: of the images. count: number of labelled images. discrete: log-probabilities, not log-densities.
    """

    nats: float
    stderr: float
    exact: bool
    samples: int
    accuracy: float
    accuracy_stderr: float
    label_nll: float
    label_nll_stderr: float
    calibration_error: float
    space: str
    split: str
    count: int
    discrete: bool = True

    @property
    def kind_in_words(self) -> str:
        """`exact` or `lower bound, IWAE_10`, followed by `, density` for a density."""
        kind = "exact" if self.exact else f"lower bound, IWAE_{self.samples}"
        return kind if self.discrete else f"{kind}, density"

    @property
    def summary(self) -> str:
        """All values, on one line."""
        return (
            f"log p(x | class) {self.nats:.2f} ± {self.stderr:.2f} nats ({self.kind_in_words}); "
            f"p(class | x) has the accuracy {self.accuracy:.2%} ± {self.accuracy_stderr:.2%}, "
            f"-log p(class | x) {self.label_nll:.3f} ± {self.label_nll_stderr:.3f} nats, "
            f"calibration error {self.calibration_error:.2%} ({self.count:,} labelled {self.split} images)"
        )

    def to_json(self) -> dict[str, Any]:
        """The record as stored in `classes.json`."""
        return asdict(self)

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> ClassScores:
        """Read a stored record.

        Raises:    InputError: fields are missing or unknown.
        """
        try:
            return cls(**record)
        except TypeError as error:
            raise InputError(f"not the record of a classification: {error}; run `ancestral evaluate` again") from error


def log_joint_classes(
    model: Model, images: PixelBatches, samples: int = 0, seed: int = 0, progress: Progress | None = None
) -> Tensor:
    """log p(x, y) of each image and class, shape (N, K), float64, nats: exact, or an importance-weighted estimate.

    The exponential of an estimate is unbiased for p(x, y), so its mean logarithm is a lower bound.

    Args:      samples: latent samples per image and class, at least 1; not used if the model is exact.
    Raises:    InputError: the model has no classes.
    """
    if isinstance(model, ExactModel) or not isinstance(model, WeighsClasses):
        return per_image_seen(model, images, block_for(1), log_joint_of_classes, seed, progress)
    classes = model.classes

    def value(of_seen: WeighsClasses, x: Tensor) -> Tensor:
        def weights(k: int) -> Tensor:
            return of_seen.log_weights_classes(x, k).flatten(0, 1)

        return log_mean_weight(weights, len(x) * classes, samples)[:, 0].unflatten(0, (len(x), classes))

    return per_image_seen(model, images, max(1, block_for(samples) // classes), value, seed, progress)


def class_scores(
    joint: Tensor,
    log_class_probs: Tensor,
    labels: Tensor,
    *,
    exact: bool,
    samples: int,
    space: str,
    split: str,
    discrete: bool = True,
) -> ClassScores:
    """The scores of labelled images. Others, with the label -1 or of an unknown class, are left out.

    Args:      joint: log p(x, y), shape (N, K). log_class_probs: log p(y), shape (K,). labels: shape (N,).
    Raises:    InputError: no image has a label of the model.
    """
    rows = ((labels >= 0) & (labels < joint.shape[1])).nonzero()[:, 0]
    if not len(rows):
        raise InputError(f"no {split} image has a label of this model")
    joint, labels = joint[rows].double(), labels[rows].long()
    log_posterior = joint.log_softmax(1)
    at_label = torch.arange(len(labels)), labels
    given = joint[at_label] - log_class_probs.double()[labels]
    given = given.nan_to_num(nan=-math.inf)  # a class without training images
    confidence, guessed = log_posterior.exp().max(1)
    right = (guessed == labels).double()
    nats, stderr = mean_and_error(given)
    accuracy, accuracy_stderr = mean_and_error(right)
    nll, nll_stderr = mean_and_error(-log_posterior[at_label])
    error = calibration_error(confidence, right)
    return ClassScores(
        nats,
        stderr,
        exact,
        samples,
        accuracy,
        accuracy_stderr,
        nll,
        nll_stderr,
        error,
        space,
        split,
        len(labels),
        discrete,
    )


def calibration_error(confidence: Tensor, right: Tensor, bins: int = BINS) -> float:
    """Expected calibration error of predictions.

        ECE = sum_b (n_b / N) |share of right predictions in bin b - mean confidence in bin b|

    Args:      confidence: probability of the predicted class, shape (N,). right: 1 where it is the label, else 0.
               bins: number of bins of equal width of the confidence, (0, 1/B], ..., ((B - 1)/B, 1].
    Reference: Naeini et al., 2015; Guo et al., 2017, eq. 3, arXiv 1706.04599.
    Example:
        >>> round(calibration_error(torch.tensor([0.9, 0.9]), torch.tensor([1.0, 0.0])), 6)
        0.4
    """
    place = (confidence * bins).ceil().long().clamp(1, bins) - 1
    gap = torch.zeros(bins, dtype=torch.double).index_add(0, place.cpu(), (right - confidence).double().cpu())
    return gap.abs().sum().item() / len(confidence)

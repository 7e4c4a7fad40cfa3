"""A model with classes as a classifier: p(y | x), its accuracy and its calibration.

p(y | x) is by Bayes' rule, from log p(x, y) of all classes, or from the model itself if it has one.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ancestral.core.errors import InputError
from ancestral.core.maths import mean_and_error
from ancestral.data.pixels import PixelBatches
from ancestral.evaluation.likelihood import Progress, block_for, log_mean_weight, per_image_at, per_image_seen
from ancestral.models.base import ExactModel, LatentModel, Model
from ancestral.models.classes import HasClasses, PredictsClasses, WeighsClasses, log_joint_of_classes

BINS = 15  # of the confidence, for the calibration error
LEAST_SAMPLES = 10  # of the latents of each class: the posterior of one sample has an error of several nats


@dataclass(frozen=True)
class ClassScores:
    """How well a model with classes predicts labelled images, and their classes.

    Args:      nats: mean of log p(x | y) for the label y, nats. stderr: its standard error. exact: whether it is exact;
               else it is a lower bound. samples: latent samples per image and class; 0 if exact, or for the ELBO.
               accuracy: share of images whose most probable class is the label. accuracy_stderr: its standard error.
               label_nll: mean of -log p(y | x) for the label, nats. label_nll_stderr: its standard error.
               calibration_error: expected calibration error, see `calibration_error`. space: data and pixel space.
               split: of the images. count: number of labelled images. discrete: log-probabilities, not log-densities.
               predicted: whether p(y | x) is from the model itself; else it is by Bayes' rule.
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
    predicted: bool = False

    @property
    def kind_in_words(self) -> str:
        """`exact`, `lower bound, ELBO` or `lower bound, IWAE_10`, followed by `, density` for a density."""
        bound = f"IWAE_{self.samples}" if self.samples else "ELBO"
        kind = "exact" if self.exact else f"lower bound, {bound}"
        return kind if self.discrete else f"{kind}, density"

    @property
    def posterior_in_words(self) -> str:
        """Where p(y | x) is from."""
        return "by a network" if self.predicted else "by Bayes' rule"

    @property
    def summary(self) -> str:
        """All values, on one line."""
        return (
            f"log p(x | class) {self.nats:.2f} ± {self.stderr:.2f} nats ({self.kind_in_words}); "
            f"p(class | x) {self.posterior_in_words} has the accuracy {self.accuracy:.2%} "
            f"± {self.accuracy_stderr:.2%}, "
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


class OfClasses(NamedTuple):
    """What a model computes of some images and their classes, float64, nats.

    Attributes: given: log p(x | y) for the label y, shape (N,); -inf for a class without training images, and any
                number for an image without a label. log_posterior: log p(y | x), shape (N, K). exact, samples,
                predicted: as in `ClassScores`. log_probs: log p(x) of each image, shape (N,); None if not exact.
    """

    given: Tensor
    log_posterior: Tensor
    exact: bool
    samples: int
    predicted: bool
    log_probs: Tensor | None


def of_classes(
    model: Model,
    images: PixelBatches,
    labels: Tensor,
    samples: int = 0,
    seed: int = 0,
    progress: Progress | None = None,
) -> OfClasses:
    """log p(x | y) and log p(y | x) of images, in the way that the model offers.

    Args:      labels: shape (N,); -1 for unknown ones. samples: as in `log_joint_classes`; at least `LEAST_SAMPLES` are
               used where latents are sampled.
    Raises:    InputError: the model has no classes.
    """
    if isinstance(model, LatentModel) and isinstance(model, PredictsClasses):
        columns = _predicted(model, images, labels, seed, progress)
        return OfClasses(columns[:, 0], columns[:, 1:], exact=False, samples=0, predicted=True, log_probs=None)
    exact = isinstance(model, ExactModel)
    each = 0 if exact else max(samples, LEAST_SAMPLES)
    joint = log_joint_classes(model, images, each, seed, progress)
    assert isinstance(model, HasClasses)
    return by_bayes(joint, model.log_class_probs().detach().cpu(), labels, exact, each)


def by_bayes(joint: Tensor, log_class_probs: Tensor, labels: Tensor, exact: bool, samples: int) -> OfClasses:
    """log p(x | y) and log p(y | x) from log p(x, y) of all classes.

    Args:      joint: shape (N, K). log_class_probs: log p(y), shape (K,). labels: shape (N,). exact, samples: of joint.
    """
    known = labels.long().clamp(0, joint.shape[1] - 1)
    given = joint.double().gather(1, known[:, None])[:, 0] - log_class_probs.double()[known]
    given = given.nan_to_num(nan=-math.inf)  # a class without training images
    total = joint.logsumexp(1) if exact else None
    return OfClasses(given, joint.double().log_softmax(1), exact, samples, False, total)


def log_class_posterior(model: Model, images: PixelBatches, progress: Progress | None = None) -> Tensor:
    """log p(y | x) of each image and class, shape (N, K), float64, nats: exact, of the model itself, or an estimate.

    Raises:    InputError: the model has no classes.
    """
    if isinstance(model, LatentModel) and isinstance(model, PredictsClasses):
        return per_image_seen(model, images, block_for(1), lambda seen, x: _of_whole(seen, x), 0, progress)
    return log_joint_classes(model, images, LEAST_SAMPLES, progress=progress).log_softmax(1)


def _of_whole(model: PredictsClasses, x: Tensor) -> Tensor:
    return model.log_class_posterior(x, torch.ones_like(x, dtype=torch.bool))


def _predicted(model: Any, images: PixelBatches, labels: Tensor, seed: int, progress: Progress | None) -> Tensor:
    """The ELBO of log p(x | y) for the label y, and log p(y | x) of the model itself, shape (N, 1 + K)."""
    known = labels.long().clamp(0, model.classes - 1)

    def value(of_seen: Any, x: Tensor, rows: slice) -> Tensor:
        given = of_seen.given(known[rows].to(x.device)).elbo(x)
        return torch.cat([given[:, None], _of_whole(of_seen, x)], 1)

    return per_image_at(model, images, block_for(1), value, seed, progress)


def class_scores(found: OfClasses, labels: Tensor, *, space: str, split: str, discrete: bool = True) -> ClassScores:
    """The scores of labelled images. Others, with the label -1 or of an unknown class, are left out.

    Args:      labels: shape (N,).
    Raises:    InputError: no image has a label of the model.
    """
    rows = ((labels >= 0) & (labels < found.log_posterior.shape[1])).nonzero()[:, 0]
    if not len(rows):
        raise InputError(f"no {split} image has a label of this model")
    log_posterior, labels = found.log_posterior[rows], labels[rows].long()
    confidence, guessed = log_posterior.exp().max(1)
    right = (guessed == labels).double()
    nats, stderr = mean_and_error(found.given[rows])
    accuracy, accuracy_stderr = mean_and_error(right)
    nll, nll_stderr = mean_and_error(-log_posterior[torch.arange(len(labels)), labels])
    return ClassScores(
        nats,
        stderr,
        found.exact,
        found.samples,
        accuracy,
        accuracy_stderr,
        nll,
        nll_stderr,
        calibration_error(confidence, right),
        space,
        split,
        len(labels),
        discrete,
        found.predicted,
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

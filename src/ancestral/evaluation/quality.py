"""Sample quality: measures that compare samples with real images, each with its reference value for real images.

The values depend on the features, the number of images and the pixel space, so a `Quality` records them. Do not expect
a model to have better values than real images.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from ancestral.core.errors import InputError
from ancestral.core.notebook import as_html
from ancestral.evaluation.neighbours import check_vectors
from ancestral.evaluation.recogniser import Recognition

CONFIDENT = 0.9
COVERED = 0.1  # a class is covered if its share of samples is at least this part of its share of the data
COPY_SHARE = 0.01
Drawn = Literal["draws", "E[x | z], not draws"]
DRAWS: Drawn = "draws"
MEANS: Drawn = "E[x | z], not draws"


def inception_score(logits: Tensor) -> float:
    """Inception score, exp E KL(p(y | x) || p(y)): from 1 to the number of classes.

    It is larger if the classifier is confident and the classes are equally frequent.

    Args:      logits: of N images, shape (N, classes).
    Raises:    InputError: as `check_vectors`.
    Deviation: over all images at once, not the mean over ten parts, which would be smaller.
    Reference: Salimans et al., 2016, section 4, arXiv 1606.03498.
    Example:
        >>> round(inception_score(50 * torch.eye(4).repeat(5, 1)), 6)
        4.0
    """
    check_vectors(logits=logits)
    log_p = logits.double().log_softmax(1)  # log p(y | x)
    log_marginal = log_p.logsumexp(0) - math.log(len(log_p))
    return (log_p.exp() * (log_p - log_marginal)).sum(1).mean().exp().item()


def frechet_distance(reference: Tensor, samples: Tensor) -> float:
    """FID: the squared Fréchet distance between Gaussians with the means and covariances of two sets.

        |m - m'|^2 + tr(S + S' - 2 (S S')^(1/2))

    Args:      reference, samples: features, shapes (N, F) and (M, F).
    Returns:   0 for equal Gaussians; smaller is better. The estimate is biased upwards. For two sets from one Gaussian
               whose covariance has eigenvalues l, the bias to first order in 1/N + 1/M is

                   (1/N + 1/M) [5/4 sum_i l_i + 1/2 sum_ij l_i l_j / (l_i + l_j)]

               With unit variances, this is (1/N + 1/M) (F + F (F + 1) / 4): 11.0 for 64 features and 200 images each.
    Raises:    InputError: as `check_vectors`: a covariance needs more images than features.
    Reference: Heusel et al., 2017, eq. 6, arXiv 1706.08500. Bias: if D is the difference of the two covariances, the
               trace is sum_ij D_ij^2 / (2 (l_i + l_j)), and E D_ij^2 = (1/N + 1/M) l_i l_j (1 + [i = j]).
    """
    check_vectors(reference=reference, samples=samples)
    centre = reference.double().mean(0)  # reduces rounding errors; the distance does not change
    sets = [x.double() - centre for x in (reference, samples)]
    first, second = (torch.atleast_2d(x.T.cov()) for x in sets)  # of one feature, it is a number
    between = (sets[0].mean(0) - sets[1].mean(0)).square().sum()
    root = torch.linalg.eigvals(first @ second).sqrt().real.sum()  # the product has no negative eigenvalues
    return (between + first.trace() + second.trace() - 2 * root).item()


def class_shares(logits: Tensor) -> Tensor:
    """The share of images that are classified as each class, shape (classes,)."""
    check_vectors(logits=logits)
    return torch.bincount(logits.argmax(1), minlength=logits.shape[1]).double() / len(logits)


def class_divergence(shares: Tensor, data_shares: Tensor, names: Sequence[str] | None = None) -> float:
    """KL(shares || data_shares) in nats. It is 0 if samples and data have the same proportions of classes.

    Args:      shares, data_shares: shares of the classes, shape (classes,). names: names of the classes.
    Raises:    InputError: the data do not have a class, so the divergence could be infinite.
    """
    if not bool((data_shares > 0).all()):
        missing = (data_shares == 0).nonzero()[:, 0].tolist()
        which = f"class number {missing}" if names is None else " or ".join(names[int(i)] for i in missing)
        raise InputError(f"no real image is classified as {which}: compare more images")
    return torch.special.xlogy(shares, shares / data_shares).sum().item()


def covered_classes(shares: Tensor, data_shares: Tensor) -> int:
    """Number of classes whose share of the samples is at least a tenth of their share of the data."""
    return int(((shares >= COVERED * data_shares) & (data_shares > 0)).sum())


def near_copies(distances: Tensor, fresh_distances: Tensor) -> tuple[float, float]:
    """The share of samples whose distance to a training image is within the smallest 1 % of the distances of test
    images.

    Args:      distances: of samples to their nearest training images, shape (N,). fresh_distances: of test images
               to their nearest training images, shape (M,).
    Returns:   this share, and the same for the test images: about 0.01, more if distances are equal. A model that
               copies training images has 1. Smooth images, such as means, are closer to all images, so they have more.
    """
    closest = fresh_distances.sort().values[max(0, math.ceil(COPY_SHARE * len(fresh_distances)) - 1)]
    return (distances <= closest).double().mean().item(), (fresh_distances <= closest).double().mean().item()


class Measured(NamedTuple):
    """A value for samples. real: the same value for real images, as a reference."""

    value: float
    real: float

    @classmethod
    def from_json(cls, record: dict[str, float]) -> Measured:
        """Read a stored value; older files have `real` under the name `floor`."""
        return cls(record["value"], record["real"] if "real" in record else record["floor"])


CLASS_MEASURES = ("inception_score", "recognised", "classes", "class_kl")


@dataclass(frozen=True)
class Quality:
    """Measures of the samples of a model.

    Args:
        fid, kid, precision, recall, density, coverage, class_kl: samples against test images. The reference value
            (`real`) is that of equally many training images. Smaller is better for fid, kid and class_kl, larger for
            the others. inception_score, recognised, classes and class_kl are None without a classifier of the classes
            (with the type `Any`, callers need no check if there is one).
        inception_score: of samples. The reference value is that of the test images, also for the next five.
        recognised: share of samples that are classified with a confidence of at least 0.9.
        classes: number of the data's classes that the samples cover.
        near_copies: share of samples that are as close to a training image as the closest 1 % of test images.
        nearest: mean pixel distance to the nearest training image.
        count: number of samples, of test images and of training images. seed: random seed of the samples.
        drawn: samples, or the means E[x | z]. space: the pixel space.
        network, network_sha256, network_accuracy: the features; no accuracy without classes. steps: parallel steps in
            which each sample was generated, fewer than it has pixels; None for exact samples.
    """

    fid: Measured
    kid: Measured
    inception_score: Measured | Any
    precision: Measured
    recall: Measured
    density: Measured
    coverage: Measured
    recognised: Measured | Any
    classes: Measured | Any
    class_kl: Measured | Any
    near_copies: Measured
    nearest: Measured
    count: int
    seed: int
    drawn: Drawn
    space: str
    network: str
    network_sha256: str
    network_accuracy: dict[str, float]
    steps: int | None = None
    _repr_html_ = as_html

    @property
    def compared(self) -> tuple[object, ...]:
        """Properties that must be equal for two records to be comparable."""
        return self.space, self.drawn, self.count, self.network, self.network_sha256

    @property
    def conditions(self) -> str:
        """Number of images, kind of samples, pixel space and features, on one line."""
        accuracy = ", ".join(f"{share:.2%} {pixels}" for pixels, share in self.network_accuracy.items())
        known = f", test accuracy {accuracy}" if accuracy else ""
        kind = self.drawn.replace("draws", "samples")
        return (
            f"{self.count:,} {kind}, test images and training images each; {self.space}; "
            f"{self.network} (SHA-256 {self.network_sha256[:12]}…{known})"
        )

    def to_json(self) -> dict[str, Any]:
        """The record as stored in `quality.json`."""
        return {name: value._asdict() if isinstance(value, Measured) else value for name, value in vars(self).items()}

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> Quality:
        """Read a stored record.

        Raises:    InputError: fields are missing or unknown.
        """
        try:
            values = {
                name: None if record[name] is None and name in CLASS_MEASURES else Measured.from_json(record[name])
                for name in MEASURES
            }
            return cls(**{**record, **values})
        except (KeyError, TypeError) as error:
            raise InputError(f"not a record of sample quality: {error}; run `ancestral quality` again") from error


MEASURES = {
    "fid": "FID",
    "kid": "KID",
    "inception_score": "IS",
    "precision": "precision",
    "recall": "recall",
    "density": "density",
    "coverage": "coverage",
    "recognised": "recognised",
    "classes": "classes",
    "class_kl": "class KL",
    "near_copies": "near copies",
    "nearest": "nearest",
}
SMALLER_IS_BETTER = {"fid", "kid", "class_kl"}
NOT_RANKED = {"near_copies", "nearest"}  # best if equal to the value of test images


def recognised_share(images: Recognition) -> float:
    return (images.confidence >= CONFIDENT).double().mean().item()


def rank_quality(records: Sequence[Quality], measure: str = "fid") -> list[int]:
    """Indices of the records from best to worst by one measure.

    Raises:    InputError: the records differ in pixel space, network, number of images or kind of samples, so they are
               not comparable; or the measure cannot be ranked.
    """
    if measure not in MEASURES or measure in NOT_RANKED:
        ranked = ", ".join(name for name in MEASURES if name not in NOT_RANKED)
        raise InputError(f"samples cannot be ranked by {measure!r}: choose one of {ranked}")
    if len({record.compared for record in records}) > 1:
        different = "; ".join(
            sorted({f"{r.space}, {r.count} {r.drawn}, {r.network} {r.network_sha256[:12]}" for r in records})
        )
        raise InputError(f"these records are not comparable, so they cannot be ranked: {different}")
    values = [getattr(record, measure) for record in records]
    if None in values:
        raise InputError(
            f"samples cannot be ranked by {MEASURES[measure]}: it needs a classifier, so some runs do not have it"
        )
    sign = 1 if measure in SMALLER_IS_BETTER else -1
    return sorted(range(len(records)), key=lambda i: sign * values[i].value)

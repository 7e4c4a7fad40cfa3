"""All measures of samples beside test images, and of training images beside the same, in fixed features."""

from __future__ import annotations

from typing import Any, Protocol

from torch import Tensor

from ancestral.core.errors import InputError
from ancestral.evaluation.neighbours import density_coverage, precision_recall
from ancestral.evaluation.quality import (
    CLASS_MEASURES,
    DRAWS,
    Drawn,
    Measured,
    Quality,
    class_divergence,
    class_shares,
    covered_classes,
    frechet_distance,
    inception_score,
    kernel_distance,
    near_copies,
    recognised_share,
)
from ancestral.evaluation.recogniser import Recognition


class Seen(Protocol):
    """What a network finds in images: features (N, F), and logits (N, classes) where it is a classifier of them."""

    @property
    def features(self) -> Tensor: ...

    @property
    def logits(self) -> Tensor | None: ...


class FeatureNetwork(Protocol):
    """A fixed map of grey values, shape (N, *in_shape), to features, with what a record says of it."""

    @property
    def name(self) -> str: ...

    @property
    def sha256(self) -> str: ...

    @property
    def in_shape(self) -> tuple[int, ...]: ...

    @property
    def num_features(self) -> int: ...

    @property
    def accuracy(self) -> dict[str, float]: ...

    def __call__(self, images: Tensor) -> Seen: ...


def assess(
    samples: Seen,
    test: Seen,
    training: Seen,
    distances: Tensor,
    test_distances: Tensor,
    *,
    network: FeatureNetwork,
    space: str,
    drawn: Drawn = DRAWS,
    seed: int = 0,
) -> Quality:
    """All there is to measure of samples.

    Args:      samples, test, training: what the network finds in equally many of each, in one pixel space.
               distances, test_distances: of samples and of test images to their nearest training images.
               network, space, drawn, seed: for the record.
    Raises:    InputError: not equally many, too few for the number of features, or not finite.
    """
    counts = {len(part.features) for part in (samples, test, training)}
    if len(counts) != 1:
        raise InputError(f"samples, test and training images must be equally many, not {sorted(counts)}")
    references = [(part.features, test.features) for part in (samples, training)]
    found, real = (_against(reference, features, seed) for features, reference in references)
    return Quality(
        **{name: Measured(found[name], real[name]) for name in found},
        **_class_measures(samples, test, training),
        near_copies=Measured(*near_copies(distances, test_distances)),
        nearest=Measured(distances.mean().item(), test_distances.mean().item()),
        count=counts.pop(),
        seed=seed,
        drawn=drawn,
        space=space,
        network=network.name,
        network_sha256=network.sha256,
        network_accuracy=network.accuracy,
    )


def _class_measures(*seen: Seen) -> dict[str, Any]:
    """What needs the classes of samples, test and training images, each beside that of real images; None without."""
    parts = [Recognition(part.features, part.logits) for part in seen if part.logits is not None]
    if len(parts) < len(seen):
        return dict.fromkeys(CLASS_MEASURES)
    samples, test, _ = parts
    shares, data_shares, training_shares = (class_shares(part.logits) for part in parts)
    return {
        "inception_score": Measured(inception_score(samples.logits), inception_score(test.logits)),
        "recognised": Measured(recognised_share(samples), recognised_share(test)),
        "classes": Measured(covered_classes(shares, data_shares), covered_classes(data_shares, data_shares)),
        "class_kl": Measured(class_divergence(shares, data_shares), class_divergence(training_shares, data_shares)),
    }


def _against(reference: Tensor, samples: Tensor, seed: int) -> dict[str, float]:
    """What compares two sets of features."""
    precision, recall = precision_recall(reference, samples)
    density, coverage = density_coverage(reference, samples)
    return {
        "fid": frechet_distance(reference, samples),
        "kid": kernel_distance(reference, samples, seed=seed),
        "precision": precision,
        "recall": recall,
        "density": density,
        "coverage": coverage,
    }

"""All measures of sample quality: samples against test images, and training images against the same test images."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Protocol

from torch import Tensor

from ancestral.core.dividing import present
from ancestral.core.errors import InputError
from ancestral.evaluation.kid import kernel_distance
from ancestral.evaluation.neighbours import Neighbours
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
    near_copies,
    recognised_share,
)
from ancestral.evaluation.recogniser import Recognition


class Seen(Protocol):
    """Output of a network for images: features (N, F), and logits (N, classes) if it is a classifier for them."""

    @property
    def features(self) -> Tensor: ...

    @property
    def logits(self) -> Tensor | None: ...


class FeatureNetwork(Protocol):
    """A fixed map from grey values, shape (N, *in_shape), to features, with its description for records."""

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
    steps: int | None = None,
) -> Quality:
    """All measures of the quality of samples.

    Args:      samples, test, training: output of the network for equal numbers of images, in the same pixel space.
               distances, test_distances: distances of samples and of test images to their nearest training images.
               network, space, drawn, seed, steps: for the record.
    Raises:    InputError: different numbers of images, too few for the number of features, or values that are not
               finite.
    """
    counts = {len(part.features) for part in (samples, test, training)}
    if len(counts) != 1:
        raise InputError(f"give equal numbers of samples, test images and training images, not {sorted(counts)}")
    near_test = Neighbours(test.features)  # the real images are the reference of both
    found, real = _against_each(test.features, near_test, [samples.features, training.features], seed)
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
        steps=steps,
    )


def _class_measures(*seen: Seen) -> dict[str, Any]:
    """Measures that need classes, each with its value for real images. None if there is no classifier."""
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


def _against_each(reference: Tensor, near: Neighbours, sets: Sequence[Tensor], seed: int) -> list[dict[str, float]]:
    """`_against` of each set of features. Inside of `dividing`, the sets are divided among the processes."""
    processes = present()
    own = [json.dumps(_against(reference, near, sets[number], seed)) for number in processes.own(len(sets))]
    return [json.loads(one) for one in processes.collect([one.encode() for one in own], len(sets))]


def _against(reference: Tensor, near: Neighbours, samples: Tensor, seed: int) -> dict[str, float]:
    """Measures that compare two sets of features."""
    return {
        "fid": frechet_distance(reference, samples),
        "kid": kernel_distance(reference, samples, seed=seed),
        **near.of(samples),
    }

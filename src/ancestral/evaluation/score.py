"""A number never travels alone: what it is, of what, and how sure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from torch import Tensor

from ancestral.core.errors import InputError
from ancestral.core.maths import bits_per_dimension, mean_and_error
from ancestral.core.notebook import as_html


@dataclass(frozen=True)
class Score:
    """Mean log-probability of the images of a split, in nats per image (larger is better).

    Args:      nats: the mean over images. stderr: its standard error over images. method: how it was found,
               `log p(x)`, `ELBO`, `IWAE_5000`. kind: exact, bound or estimate. side: of a bound, `lower` means
               that the true value is at least this. space: what a pixel was. samples: latent draws per image
               (0 where none). split, count: the images. dimensions: numbers per image.
               discrete: probabilities, not densities. weights_sha256, data_sha256: of the model and the data that it
               was computed from; None where that is not known.
    """

    nats: float
    stderr: float
    method: str
    kind: Literal["exact", "bound", "estimate"]
    side: Literal["lower", "upper"] | None
    samples: int
    space: str
    split: str
    count: int
    dimensions: int
    discrete: bool = True
    weights_sha256: str | None = None
    data_sha256: str | None = None
    _repr_html_ = as_html

    @classmethod
    def of(cls, log_probs: Tensor, **what: Any) -> Score:
        """The score that these log-probabilities, one an image, come to.

        Args:      log_probs: shape (N,), nats. what: the fields besides nats, stderr and count.
        """
        nats, stderr = mean_and_error(log_probs)
        return cls(nats=nats, stderr=stderr, count=len(log_probs), **what)

    @property
    def bits_per_dim(self) -> float:
        """Negative log-likelihood in bits per dimension (smaller is better)."""
        return bits_per_dimension(self.nats, self.dimensions)

    @property
    def kind_in_words(self) -> str:
        """`exact`, `lower bound`, `estimate`; densities say so."""
        words = f"{self.side} bound" if self.kind == "bound" else self.kind
        return words if self.discrete else f"{words}, density"

    def to_json(self) -> dict[str, Any]:
        """The record as it stands in `scores.json`."""
        return {**asdict(self), "bits_per_dim": self.bits_per_dim}

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> Score:
        """Read a record back.

        Raises:    InputError: fields missing or unknown.
        """
        try:
            return cls(**{name: value for name, value in record.items() if name != "bits_per_dim"})
        except TypeError as error:
            raise InputError(f"not a score: {error}") from error


def rank(scores: Sequence[Score]) -> list[int]:
    """Indices of the scores from best to worst.

    Raises:    InputError: they are of different spaces, splits or counts of images, so no order between them
               means anything.
    """
    compared = {(score.space, score.split, score.count) for score in scores}
    if len(compared) > 1:
        different = "; ".join(f"{space}, {split}, {count} images" for space, split, count in sorted(compared))
        raise InputError(f"these scores are of different things and cannot be ranked: {different}")
    # a score that is not a number says that something is infinitely improbable, or broken: it comes last
    return sorted(
        range(len(scores)),
        key=lambda i: -math.inf if math.isnan(scores[i].nats) else scores[i].nats,
        reverse=True,
    )


def best_of(scores: Sequence[Score], owner: str, split: str = "test") -> Score:
    """The score that says most about a model: exact before bounds, tighter bounds before looser ones.

    Args:      scores: of one model. owner: its name, for the message. split: the images asked about.
    Raises:    InputError: there is none on that split.
    """
    there = [score for score in scores if score.split == split]
    if not there:
        raise InputError(f"{owner} has no score on {split} images yet: run `ancestral evaluate {owner}`")
    largest = max(score.count for score in there)  # all images before a part of them
    whole = [score for score in there if score.count == largest]
    return max(whole, key=lambda score: (score.kind == "exact", score.nats))

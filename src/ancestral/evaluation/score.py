"""Labelled scores: a value with its method, its data and its standard error."""

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

    Args:      nats: mean over images. stderr: its standard error over images. method: `log p(x)`, `ELBO` or
               `IWAE_5000`, for example. kind: exact, bound, estimate, or file: the size of a compressed file. side: of
               a bound; `lower`: the true value is at least this. samples: latent samples per image; 0 if there are
               none. space: the pixel space. split, count: split and number of the images. dimensions: numbers per
               image, or their mean if it differs. discrete: a log-probability, not a log-density. weights_sha256,
               data_sha256: of the model and of the data; None if not known.
    """

    nats: float
    stderr: float
    method: str
    kind: Literal["exact", "bound", "estimate", "file"]
    side: Literal["lower", "upper"] | None
    samples: int
    space: str
    split: str
    count: int
    dimensions: float
    discrete: bool = True
    weights_sha256: str | None = None
    data_sha256: str | None = None
    _repr_html_ = as_html

    @classmethod
    def of(cls, log_probs: Tensor, **what: Any) -> Score:
        """The score of log-probabilities of images.

        Args:      log_probs: one per image, shape (N,), nats. what: all fields except nats, stderr and count.
        """
        nats, stderr = mean_and_error(log_probs)
        return cls(nats=nats, stderr=stderr, count=len(log_probs), **what)

    @property
    def bits_per_dim(self) -> float:
        """Negative log-likelihood in bits per dimension (smaller is better)."""
        return bits_per_dimension(self.nats, self.dimensions)

    @property
    def kind_in_words(self) -> str:
        """`exact`, `lower bound` or `estimate`, followed by `, density` for a density."""
        words = f"{self.side} bound" if self.kind == "bound" else self.kind
        return words if self.discrete else f"{words}, density"

    def to_json(self) -> dict[str, Any]:
        """The record as stored in `scores.json`."""
        return {**asdict(self), "bits_per_dim": self.bits_per_dim}

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> Score:
        """Read a stored record.

        Raises:    InputError: fields are missing or unknown.
        """
        try:
            return cls(**{name: value for name, value in record.items() if name != "bits_per_dim"})
        except TypeError as error:
            raise InputError(f"not the record of a score: {error}; run `ancestral evaluate` again") from error


def rank(scores: Sequence[Score]) -> list[int]:
    """Indices of the scores from best to worst.

    Raises:    InputError: the scores are of different pixel spaces, splits or numbers of images, or sizes of files are
               among log-probabilities, so they are not comparable.
    """
    if len({score.kind == "file" for score in scores}) > 1:
        raise InputError("sizes of files and log-probabilities cannot be ranked together: leave out one of them")
    compared = {(score.space, score.split, score.count) for score in scores}
    if len(compared) > 1:
        different = "; ".join(f"{space}, {split}, {count} images" for space, split, count in sorted(compared))
        raise InputError(f"these scores are not comparable, so they cannot be ranked: {different}")
    # NaN means that an image has probability 0, or that the model is damaged: it is ranked last
    return sorted(
        range(len(scores)),
        key=lambda i: -math.inf if math.isnan(scores[i].nats) else scores[i].nats,
        reverse=True,
    )


def best_of(scores: Sequence[Score], owner: str, split: str = "test") -> Score:
    """The most informative score of a model: exact before bounds, tighter bounds before looser ones; no size of a file.

    Args:      scores: of one model. owner: its name, for the message. split: split of the images.
    Raises:    InputError: there is no score on this split.
    """
    there = [score for score in scores if score.split == split and score.kind != "file"]
    if not there:
        raise InputError(f"{owner} has no score on {split} images yet: run `ancestral evaluate {owner}`")
    largest = max(score.count for score in there)  # scores of all images are preferred
    whole = [score for score in there if score.count == largest]
    return max(whole, key=lambda score: (score.kind == "exact", score.nats))

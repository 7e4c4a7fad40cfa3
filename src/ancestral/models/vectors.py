"""Models of p(x | c) for a vector c of real numbers, such as measurements of each image.

Unlike a class, a vector has no distribution in the model: there is no p(x), and no p(c | x). A likelihood or a sample
needs a vector, and is refused without one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Self, TypeVar

import torch
from torch import Tensor

from ancestral.core.errors import InputError, NotComputable
from ancestral.models.base import ImplicitModel, Model

M = TypeVar("M")
NO_VECTOR = "it is p(x | c) for a vector c, which is not given: use given_vectors(c), or --condition where there is one"


class TakesVectors(Model):
    """Base class of models whose networks can get a condition c: K real numbers, standardised.

    A subclass that can get them has `takes_vectors = True` and calls `set_vector` in its constructor.

    Attributes: vector_size: K, 0 for none. condition: c standardised, shape (1 or B, K); None if none is given.
    """

    takes_vectors: ClassVar[bool] = False
    vector_size: int = 0
    condition: Tensor | None = None
    statistics: Tensor

    def set_vector(self, statistics: Sequence[Sequence[float]]) -> None:
        """Set the length of the vector, and how it is standardised.

        Args:      statistics: mean and standard deviation in the training data of each entry; () for no vector.
        Raises:    InputError: a standard deviation that is not above 0.
        """
        self.vector_size = len(statistics)
        if any(len(entry) != 2 or not entry[1] > 0 for entry in statistics):
            raise InputError(f"{statistics}: each entry of a vector needs its mean and its standard deviation above 0")
        values = torch.tensor([list(entry) for entry in statistics], dtype=torch.float64).reshape(-1, 2)
        self.register_buffer("statistics", values, persistent=False)

    @property
    def needs_vector(self) -> bool:
        """Whether the model is one of p(x | c), and no c is given."""
        return self.vector_size > 0 and self.condition is None

    def refuse_without_vector(self) -> None:
        """Raises:    NotComputable: the model is one of p(x | c), and no c is given."""
        if self.needs_vector:
            raise NotComputable(f"this {type(self).__name__} has no p(x): {NO_VECTOR}")

    def standardised(self, vectors: Tensor) -> Tensor:
        """(c - mean) / standard deviation, with the statistics of the training data. vectors: shape (..., K)."""
        mean, scale = self.statistics.T
        return ((vectors.to(self.statistics) - mean) / scale).to(self.dtype)

    def given_vectors(self, vectors: Tensor | Sequence[float] | Sequence[Sequence[float]]) -> Self:
        """The distribution p(x | c), which shares all parameters with this model.

        Args:      vectors: one for all x, shape (K,); or one for each x of a batch, shape (B, K).
        Raises:    InputError: the model has no vector, another shape, or numbers that are not finite.
        """
        return self.under(self.standardised(checked_vectors(self, vectors)))

    def under(self, condition: Tensor) -> Self:
        """The distribution p(x | c), which shares all parameters with this model. condition: shape (1 or B, K)."""
        raise NotImplementedError

    def rows_of(self, rows: Tensor | slice) -> Self:
        """This distribution for some rows of the batch whose conditions were given. rows: indices, boolean, or a
        range."""
        if self.condition is None or len(self.condition) == 1:
            return self
        return self.under(self.condition[rows])


def has_vector(model: Any) -> bool:
    """Whether a model is one of p(x | c) for a vector c."""
    return isinstance(model, TakesVectors) and model.vector_size > 0


def needs_vector(model: Any) -> bool:
    """Whether a model is one of p(x | c), and no c is given."""
    return isinstance(model, TakesVectors) and model.needs_vector


def given_batch(model: M, vectors: Tensor | None) -> M:
    """The model given the vectors of a batch; a model without vectors, or with a given one, is returned unchanged.

    Args:      vectors: of the data, checked when they were read, shape (B, K); None: the data have none.
    Raises:    NotComputable: the model needs vectors, and the data have none.
    """
    if not isinstance(model, TakesVectors) or not model.needs_vector:
        return model
    if vectors is None:
        model.refuse_without_vector()
    assert vectors is not None
    return model.under(model.standardised(vectors))


def checked_vectors(model: Any, vectors: Any) -> Tensor:
    """Vectors as float64, shape (1, K) or (B, K).

    Raises:    InputError: the model has no vector, another shape, or numbers that are not finite.
    """
    if not has_vector(model):
        raise InputError(f"this {type(model).__name__} is not conditioned on a vector: train one with --conditions")
    try:
        found = torch.as_tensor(vectors)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"a condition is a list of numbers: {error}") from error
    if found.is_complex() or found.dtype == torch.bool or found.ndim not in (1, 2):
        raise InputError(f"a condition is a list of numbers, not {found.dtype} of {found.ndim} dimensions")
    if found.shape[-1] != model.vector_size:
        raise InputError(f"a condition of {found.shape[-1]} numbers: this model needs {model.vector_size}")
    found = found.reshape(-1, model.vector_size).double()
    if not bool(found.isfinite().all()):
        raise InputError("a condition has a number that is not finite: give finite numbers")
    return found


class UnderRandomVectors(ImplicitModel):
    """A model of p(x | c) as a source of samples: each sample gets a vector that is drawn at random from some rows.

    Args:      model: of p(x | c). vectors: the rows, not standardised, shape (N, K).
    """

    def __init__(self, model: TakesVectors, vectors: Tensor) -> None:
        super().__init__()
        self.model, self.vectors = model, vectors
        self.event_shape, self.spaces, self.levels = model.event_shape, model.spaces, model.levels
        self.eval()

    def given_random(self, n: int) -> TakesVectors:
        """The distribution p(x | c) for n random rows as vectors."""
        rows = torch.randint(len(self.vectors), (n,))
        return given_batch(self.model, self.vectors[rows].to(self.model.statistics.device))

    @torch.no_grad()
    def sample(self, n: int) -> Tensor:
        return self.given_random(n).sample(n)

    @torch.no_grad()
    def sample_mean(self, n: int) -> Tensor:
        return self.given_random(n).sample_mean(n)


def under_random_vectors(model: Model, n: int) -> Model:
    """The model of n samples: given random vectors if they are to be drawn, otherwise unchanged."""
    return model.given_random(n) if isinstance(model, UnderRandomVectors) else model


def without_random_vectors(model: Model) -> Model:
    """The model of which samples are drawn, without the vectors that they are given at random."""
    return model.model if isinstance(model, UnderRandomVectors) else model


def has_mean(model: Model) -> bool:
    """Whether `sample_mean` returns means E[x | z]; otherwise it returns samples."""
    return type(without_random_vectors(model)).sample_mean is not Model.sample_mean

"""Samples of a run whose model is one of p(x | c): the vectors of samples for which the user gives none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ancestral.core.errors import InputError
from ancestral.models.vectors import TakesVectors, UnderRandomVectors, checked_vectors

if TYPE_CHECKING:
    from ancestral.models.base import Model
    from ancestral.runs.run import Run
    from ancestral.runs.run_data import RunData

OF_DATA = "each given the vector c of a test example, drawn at random"


def sampler_of(run: Run) -> Model:
    """The model of a run as a source of samples, see `sampler`."""
    return sampler(run.load(), run.data)


def sampler(model: Model, data: RunData) -> Model:
    """A model of p(x | c) whose samples get vectors of the test data, drawn at random; any other model is unchanged.

    Raises:    InputError: the data are not at hand, or have no vectors.
    """
    if not isinstance(model, TakesVectors) or not model.needs_vector:
        return model
    vectors = data.stored("test").conditions
    if vectors is None or not len(vectors):
        raise InputError(f"{data.name} has no test vectors, which samples of p(x | c) need: give one with --condition")
    return UnderRandomVectors(model, vectors)


def vectors_in_words(model: Model) -> str:
    """How the vectors of samples are chosen, after a comma; "" for a model without vectors."""
    if isinstance(model, UnderRandomVectors):
        return f", {OF_DATA}"
    return ", all given one vector c" if isinstance(model, TakesVectors) and model.vector_size else ""


def given_each(model: Model, vectors: Any, n: int | None = None) -> Model:
    """The distribution p(x | c) of a model for one vector, or for one of each of n samples.

    Raises:    InputError: the model takes no vector, or another number of numbers, or of vectors.
    """
    found = checked_vectors(model, vectors)
    if n is not None and len(found) not in (1, n):
        raise InputError(f"{len(found)} vectors for {n} samples: give one, or one for each sample")
    assert isinstance(model, TakesVectors)
    return model.given_vectors(found)

"""Scores of a model on a split, and scores again by the method of a stored score."""

from __future__ import annotations

import math
import re

from torch import Tensor

from ancestral.core.errors import InputError
from ancestral.data.pixels import PixelBatches
from ancestral.evaluation.likelihood import EXACT, EXACT_GIVEN, Progress, Request, log_probs_with_errors
from ancestral.evaluation.score import Score
from ancestral.models.base import ExactModel, Model
from ancestral.models.vectors import TakesVectors


def request_of(method: str) -> Request:
    """The request that computes the values of a method again. method: its name in a `Score`.

    Raises:    InputError: not a method of this module, so its values cannot be computed again.
    Example:
        >>> request_of("IWAE_50"), request_of("ELBO").samples, request_of("prior MC_1").from_prior
        (Request(samples=50, from_prior=False, order=None, steps=None), 0, True)
    """
    if method in (EXACT, EXACT_GIVEN, "ELBO"):
        return Request()
    if order := re.fullmatch(r"log p\(x\), (\S+) order", method):
        return Request(order=order[1])
    if steps := re.fullmatch(r"ELBO, ([1-9]\d*) steps", method):
        return Request(steps=int(steps[1]))
    found = re.fullmatch(r"(IWAE|prior MC)_([1-9]\d*)", method)
    if found is None:
        raise InputError(f"values of the method {method!r} cannot be computed again: use `ancestral evaluate`")
    return Request(int(found[2]), found[1] == "prior MC")


def score_again(model: Model, images: PixelBatches, stored: Score, dataset: str) -> Score:
    """The score of these images by the method of a stored score, with the same random seed.

    Raises:    InputError: as `request_of`. NotComputable: as `score`.
    """
    return score_each(model, images, request_of(stored.method), dataset=dataset, split=stored.split)[0]


def score(
    model: Model,
    images: PixelBatches,
    *,
    dataset: str,
    split: str,
    samples: int = 0,
    from_prior: bool = False,
    seed: int = 0,
    progress: Progress | None = None,
    order: str | None = None,
    steps: int | None = None,
) -> Score:
    """The score of a model on a split: exact if possible, otherwise the ELBO or an importance-weighted bound.

    Args:      images: in a pixel space of the model. dataset, split: for the record. samples: latent samples per image;
               0: the ELBO of a latent model. from_prior: sample latents from the prior (plain Monte Carlo), not from q.
               order: compute the exact score in this order of the pixels. steps: compute the bound for samples in so
               many parallel steps.
    Returns:   a `Score`, nats per image. Values that are not finite are included in the mean, so that they are noticed.
    Raises:    NotComputable: the model has no likelihood. InputError: pixels outside the model's space.
    """
    request = Request(samples, from_prior, order, steps)
    return score_each(model, images, request, dataset=dataset, split=split, seed=seed, progress=progress)[0]


def seen_in_words(images: PixelBatches) -> str:
    """The words in a score that state that it is of the seen pixels only; "" if none are missing."""
    if images.seen is None:
        return ""
    what = "values" if images.space.name == "points" else "pixels"
    return f", of the seen {what} only ({images.seen.double().mean().item():.1%})"


def vector_in_words(model: Model) -> str:
    """The words in a score that state that it is given one vector c; "" for a model that gets the vectors of the data,
    whose names the pixel space states."""
    one = isinstance(model, TakesVectors) and model.vector_size and model.condition is not None
    return ", given one vector c" if one else ""


def _dimensions(images: PixelBatches) -> int:
    """Numbers per image; if some are missing, the mean number of the seen ones, at least 1."""
    if images.seen is None:
        return math.prod(images.event_shape)
    return max(1, round(images.seen.flatten(1).double().sum(1).mean().item()))


def score_each(
    model: Model,
    images: PixelBatches,
    request: Request = Request(),  # noqa: B008  (immutable)
    *,
    dataset: str,
    split: str,
    seed: int = 0,
    progress: Progress | None = None,
    known: Tensor | None = None,
) -> tuple[Score, Tensor, Tensor | None]:
    """As `score`, with the value of each image and its standard error, if it has one, shapes (N,), float64, nats.

    Args:      known: the exact log p(x) of each image, if it was computed before.
    """
    exact = isinstance(model, ExactModel) or request.order is not None
    if known is not None and exact:
        values, errors, method = known, None, EXACT
    else:
        values, errors, method = log_probs_with_errors(model, images, request, seed, progress)
    found = Score.of(
        values,
        method=method,
        kind="exact" if exact else "bound",
        side=None if exact else "lower",
        samples=0 if exact else request.samples or 1,
        space=images.space.describe(dataset) + seen_in_words(images) + vector_in_words(model),
        split=split,
        dimensions=_dimensions(images),
        discrete=model.discrete,
    )
    return found, values, errors

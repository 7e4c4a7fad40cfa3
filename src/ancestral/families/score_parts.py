"""The terms of the score of an image: by name, by latent, by pixel."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ancestral.core.errors import InputError, NotComputable
from ancestral.core.text import type_in_words, with_article
from ancestral.families.catalogue import family_of
from ancestral.families.hooks import calling
from ancestral.models.autoregressive import AutoregressiveModel
from ancestral.models.base import ExactModel, HasConditionals, ImplicitModel, Model, SplitsElbo
from ancestral.models.classes import split_divergences
from ancestral.models.vectors import TakesVectors

CHECKED = 8  # images whose terms are compared with log p(x)
STRETCHES = 4  # an autoregressive score is split into this number of consecutive stretches of pixels


class ScoreParts(NamedTuple):
    """The terms of the score of each image.

    Attributes: names: of the P terms. values: shape (B, P), nats; their sum over P is log p(x), or a one-sample
                estimate of its lower bound. divergences: KL divergence of each single latent, shape (B, J), nats; J = 0
                if there is none.
    """

    names: list[str]
    values: Tensor
    divergences: Tensor


def score_parts(model: Model, x: Tensor) -> ScoreParts:
    """The terms of the score of each image, as the family of the model or its kind defines them.

        ELBO with parts    log p(x | z) - KL(q(z | x) || p(z)) = ELBO; with classes, also - KL(q(y | x) || p(y))
        autoregressive     sums of log p(x_d | x_<d) over stretches of the order = log p(x), in the first ordering

    Args:      x: shape (B, *event_shape), in the model's pixel space.
    Raises:    NotComputable: the model has no likelihood, or no definition of terms.
    Reference: Kingma and Welling, 2014, eq. 3.
    """
    refuse_without_likelihood(model)
    family = family_of(model)
    own = family.code("score_parts") if family else None
    if family is not None and own is not None:
        with calling(family.name, "score_parts"):
            found = own(model, x)
        return _checked(found, model, x)
    if isinstance(model, SplitsElbo):
        return _of_split_bound(model, x)
    if isinstance(model, AutoregressiveModel):
        return _of_conditionals(model, x)
    name = type(model).__name__
    raise NotComputable(
        f"the score of {with_article(name)} cannot be split into terms: its family defines no score_parts"
    )


def refuse_without_likelihood(model: Model) -> None:
    """Raises:    NotComputable: the model has no likelihood, and its family defines no terms."""
    family = family_of(model)
    if isinstance(model, ImplicitModel) and not (family and family.code("score_parts")):
        raise NotComputable(f"{type_in_words(model)} has no likelihood, so its score has no terms")


def _checked(found: object, model: Model, x: Tensor) -> ScoreParts:
    """Raises:    InputError: a family's own terms have a wrong type or shape, or do not add up to an exact score."""
    name = type(model).__name__
    tensors = isinstance(found, ScoreParts) and all(isinstance(part, Tensor) for part in found[1:])
    if not isinstance(found, ScoreParts) or not tensors or found.values.shape != (len(x), len(found.names)):
        raise InputError(
            f"the score_parts of {with_article(name)} must return ScoreParts with one column of values for each name"
        )
    if found.divergences.ndim != 2 or len(found.divergences) != len(x):
        raise InputError(
            f"the score_parts of {with_article(name)} must return divergences of shape (B, J), J = 0 for none"
        )
    if isinstance(model, ExactModel):
        first = slice(CHECKED)
        of_first = model.rows_of(first) if isinstance(model, TakesVectors) else model
        total, exact = found.values[first].sum(1), of_first.log_prob(x[first])
        if not torch.allclose(total, exact, rtol=1e-3, atol=1e-2):
            raise InputError(
                f"the score_parts of {with_article(name)} add up to {total[0]:.4f} nats, but log p(x) is {exact[0]:.4f}"
            )
    return found


def surprise_maps(model: Model, x: Tensor) -> Tensor:
    """-log p(x_d | x_<d) of every pixel, shape of x, nats; in the first ordering if the model has several.

    Raises:    NotComputable: the model has no conditional distribution of each pixel.
    """
    return -with_conditionals(model).conditionals(x).log_prob(x)


def with_conditionals(model: Model) -> HasConditionals:
    """The model, checked for a conditional distribution of each pixel.

    Raises:    NotComputable: it has none.
    """
    if not isinstance(model, HasConditionals):
        raise NotComputable(
            f"{type_in_words(model)} has no conditional distribution of each pixel, so it has no surprise per pixel: "
            "use a MADE or a PixelCNN"
        )
    return model


def _of_split_bound(model: SplitsElbo, x: Tensor) -> ScoreParts:
    reconstruction, divergences = model.elbo_parts(x)
    latents, of_class = split_divergences(model, divergences)  # type: ignore[arg-type]
    names = ["log p(x | z)", "-KL(q(z | x) || p(z))"]
    if of_class.shape[1]:
        names = ["log p(x | z, y)", "-KL(q(z | x, y) || p(z))", "-KL(q(y | x) || p(y))"]
    values = torch.cat([reconstruction[:, None], -latents.sum(1, keepdim=True), -of_class], 1)
    whole = latents.shape[1] == 1  # one estimate for all latents together
    return ScoreParts(names, values, latents[:, :0] if whole else latents)


def _of_conditionals(model: AutoregressiveModel, x: Tensor) -> ScoreParts:
    model.output.check(x)
    stretches = (-surprise_maps(model, x)).flatten(1)[:, model.order].tensor_split(STRETCHES, 1)
    ends = torch.tensor([part.shape[1] for part in stretches]).cumsum(0).tolist()
    names = [f"pixels {end - part.shape[1] + 1}-{end} in order" for part, end in zip(stretches, ends, strict=True)]
    values = torch.stack([part.sum(1) for part in stretches], 1)
    return ScoreParts(names, values, values[:, :0])

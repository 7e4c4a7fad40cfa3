"""The contract of all models, as checks that run on any model, including the user's own.

Small discrete models are checked by a sum over all possible images. Statistical checks have fixed seeds and a
false-alarm rate below 1 in 10,000.
"""

from __future__ import annotations

import copy
import math
import tempfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from ancestral.core.arguments import refuse_other_type
from ancestral.core.errors import NotComputable
from ancestral.core.maths import log_mean_exp
from ancestral.core.random import seeded_noise
from ancestral.core.serialization import holds_given
from ancestral.evaluation.conditional_checks import (
    class_probs_sum_to_one,
    conditions_differ,
    each_condition_sums_to_one,
    hidden_pixels_do_not_tell_the_class,
    present_classes,
    refuses_without_vector,
    samples_of_each_class_fit,
    samples_of_each_vector_fit,
    some_vectors,
    sums_over_classes,
    vectors_keep_their_images,
)
from ancestral.evaluation.enumeration import enumerable, log_probs_of_all, samples_fit, sums_to_one
from ancestral.models.base import ExactModel, ImplicitModel, LatentModel, Model, Reconstructs, load_saved
from ancestral.models.classes import PredictsClasses, scores_classes
from ancestral.models.modes import in_evaluation_mode
from ancestral.models.orders import HasOrders
from ancestral.models.saved import read_into
from ancestral.models.vectors import TakesVectors


class Check(NamedTuple):
    """Result of one check of the contract: its name, whether the model passed, and the evidence."""

    name: str
    passed: bool
    detail: str


Clause = Callable[[Model], tuple[bool, str]]


def check_model(model: Model) -> list[Check]:
    """Check a model against the contract of its kind.

    Args:      model: any model. Checks that need all possible images are skipped if there are more than 4096.
    Returns:   one `Check` for each clause of the contract. A failed check does not raise.
    Raises:    InputError: `model` is not a model.
    """
    refuse_other_type("check_model: model", model, Model)
    with seeded_noise(0), in_evaluation_mode(model):
        return [Check(name, *_kept(clause, model)) for name, clause in _clauses(model)]


def _kept(clause: Clause, model: Model) -> tuple[bool, str]:
    try:
        return clause(model)
    except Exception as error:  # the user's model may raise anything; this fails the check
        return False, f"{type(error).__name__}: {error}"


def _clauses(model: Model) -> Iterator[tuple[str, Clause]]:
    if isinstance(model, TakesVectors) and model.needs_vector:
        yield from _clauses_of_vectors(model)
        return
    yield from _general_clauses(model)
    if not isinstance(model, ImplicitModel) and enumerable(model):
        known = cache(lambda: log_probs_of_all(model))  # they take most of the time
        yield "probabilities of all images sum to one", lambda _: sums_to_one(model, *known())
        yield "samples fit the probabilities", lambda _: samples_fit(model, *known())
    yield from _clauses_of_classes(model)


def _general_clauses(model: Model) -> Iterator[tuple[str, Clause]]:
    """The checks that need no list of all images."""
    yield "samples lie in its pixel space", samples_in_space
    yield "saving and loading keeps all weights exactly", survives_saving
    if isinstance(model, ImplicitModel):
        yield "a likelihood raises NotComputable", refuses_likelihood
        return
    yield "every parameter gets a gradient", every_parameter_learns
    if isinstance(model, ExactModel):
        yield "an image's score does not depend on its batch", batch_does_not_matter
    # a sample of the weights of an order needs an evaluation for each pixel: hours for a large image
    if isinstance(model, LatentModel) and (enumerable(model) or not isinstance(model, HasOrders)):
        yield "more importance samples never loosen the bound", bounds_are_ordered


def samples_in_space(model: Model) -> tuple[bool, str]:
    x = model.sample(64)
    right_shape = x.shape == (64, *model.event_shape)
    inside = bool(x.isfinite().all()) and any(_in_space(x, space, model) for space in model.spaces)
    return right_shape and inside, f"64 draws of shape {tuple(x.shape[1:])} in [{x.min():.3g}, {x.max():.3g}]"


def _in_space(x: Tensor, space: str, model: Model) -> bool:
    """Whether samples are in a pixel space.

    A density over pixels in [0, 1] may have samples outside [0, 1]. Samples of a model without a density must be in
    [0, 1]. A model that reconstructs and has no density returns means of pixels, which may be between two levels.
    """
    means = isinstance(model, ImplicitModel) and isinstance(model, Reconstructs)
    if model.levels is not None:
        return bool((((x == x.round()) | means) & (x >= 0) & (x <= model.levels - 1)).all())
    if space == "unit" and isinstance(model, ImplicitModel):
        return bool(((x >= 0) & (x <= 1)).all())
    return True


def survives_saving(model: Model) -> tuple[bool, str]:
    own = holds_given(model)
    with tempfile.TemporaryDirectory() as folder:
        model.save(Path(folder), given=own)
        loaded = read_into(Path(folder), _emptied(model)) if own else load_saved(Path(folder))
    before, after = model.state_dict(), loaded.state_dict()
    same = before.keys() == after.keys() and all(torch.equal(before[name].cpu(), after[name]) for name in before)
    return same, f"{len(before)} tensors, {sum(t.numel() for t in before.values())} numbers"


@torch.no_grad()
def _emptied(model: Model) -> Model:
    """A copy with zero weights, like a model that the user constructs again to load the weights."""
    copied = copy.deepcopy(model)
    for tensor in copied.state_dict().values():
        tensor.zero_()
    return copied


def refuses_likelihood(model: Model) -> tuple[bool, str]:
    try:
        model.log_prob(model.sample(2))  # type: ignore[operator]
    except NotComputable as error:
        return True, str(error)
    return False, "it returned a number"


def every_parameter_learns(model: Model) -> tuple[bool, str]:
    x = model.sample(64).detach()
    model.zero_grad()
    if isinstance(model, ExactModel):
        model.log_prob(x).mean().backward()
    elif isinstance(model, LatentModel):
        model.elbo(x).mean().backward()
    if scores_classes(model) and isinstance(model, PredictsClasses):
        model.log_class_posterior(x, torch.ones_like(x, dtype=torch.bool))[:, 0].mean().backward()
    idle = [name for name, p in model.named_parameters() if p.grad is None or not bool(p.grad.abs().sum() > 0)]
    model.zero_grad()
    return (
        not idle,
        f"without: {', '.join(idle)}" if idle else f"{sum(1 for _ in model.parameters())} tensors",
    )


@torch.no_grad()
def batch_does_not_matter(model: Model) -> tuple[bool, str]:
    assert isinstance(model, ExactModel)
    x = model.sample(7)
    together, apart = model.log_prob(x), torch.cat([model.log_prob(part) for part in x.split(3)])
    gap = (together - apart).abs().max().item()
    return gap <= 1e-4 * together.abs().max().item(), f"largest difference {gap:.1e} nats"


@torch.no_grad()
def bounds_are_ordered(model: Model) -> tuple[bool, str]:
    assert isinstance(model, LatentModel)
    x = model.sample(32)
    log_w = model.log_weights(x, 2000)
    bounds = {k: log_mean_exp(log_w.unflatten(1, (-1, k)), 2) for k in (1, 10, 100)}
    means = {k: bound.mean().item() for k, bound in bounds.items()}
    slack = 4 * bounds[1].mean(0).std().item() / math.sqrt(2000)
    ordered = means[1] <= means[10] + slack and means[10] <= means[100] + slack
    return ordered and all(map(math.isfinite, means.values())), ", ".join(
        f"k={k}: {mean:.3f}" for k, mean in means.items()
    )


def _clauses_of_vectors(model: TakesVectors) -> Iterator[tuple[str, Clause]]:
    """The checks of a model of p(x | c): those of any model for one vector c, and those of several vectors."""
    yield "a likelihood without a vector raises NotComputable", refuses_without_vector
    vectors = some_vectors(model)
    one = model.given_vectors(vectors[0])
    for name, clause in _general_clauses(one):
        yield f"given a vector, {name}", lambda _, clause=clause: clause(one)
    if isinstance(model, ExactModel):
        yield "the vectors of a batch give the same as one at a time", vectors_keep_their_images
    if enumerable(model):
        known = cache(
            lambda: {
                row: (given, *log_probs_of_all(given)) for row, given in enumerate(map(model.given_vectors, vectors))
            }
        )
        yield "p(x | c) of each vector sums to one", lambda _: each_condition_sums_to_one(known(), "vector")
        yield "samples of each vector fit p(x | c)", lambda _: samples_of_each_vector_fit(model, known())
        yield "p(x | c) depends on the vector", lambda _: conditions_differ(known())


def _clauses_of_classes(model: Model) -> Iterator[tuple[str, Clause]]:
    """The checks of a model with classes, by name; none for a model without."""
    if not scores_classes(model):
        return
    yield "the probabilities of the classes sum to one", class_probs_sum_to_one
    if isinstance(model, ExactModel):
        yield "log p(x) is the sum over the classes, in any batch", sums_over_classes
    if isinstance(model, PredictsClasses):
        yield "p(y | observed pixels) sums to one and uses no other pixels", hidden_pixels_do_not_tell_the_class
    if enumerable(model):
        known = cache(lambda: {label: (given, *log_probs_of_all(given)) for label, given in present_classes(model)})
        yield "p(x | y) of each class sums to one", lambda _: each_condition_sums_to_one(known())
        yield "samples of each class fit p(x | y)", lambda _: samples_of_each_class_fit(model, known())
        yield "p(x | y) depends on the class", lambda _: conditions_differ(known())

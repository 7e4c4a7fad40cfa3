"""The contract of all models, as checks that run on any model, including the user's own.

Small discrete models are checked by a sum over all possible images. Statistical checks have fixed seeds and a
false-alarm rate below 1 in 10,000.
"""

from __future__ import annotations

import copy
import itertools
import math
import tempfile
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ancestral.core.arguments import refuse_other_type
from ancestral.core.errors import NotComputable
from ancestral.core.maths import log_mean_exp
from ancestral.core.random import seeded_noise
from ancestral.core.serialization import holds_given
from ancestral.models.base import (
    ExactModel,
    ImplicitModel,
    LatentModel,
    Model,
    Reconstructs,
    SamplesClasses,
    load_saved,
)
from ancestral.models.classes import HasClasses, PredictsClasses, ScoresClasses, scores_classes
from ancestral.models.modes import in_evaluation_mode
from ancestral.models.orders import HasOrders
from ancestral.models.saved import read_into
from ancestral.models.vectors import TakesVectors

MAX_STATES = 4096
DRAWS = 20_000
IMPORTANCE_SAMPLES = 4_000
FALSE_ALARM = 1e-4
WORST_ERROR = 0.05


class Check(NamedTuple):
    """Result of one check of the contract: its name, whether the model passed, and the evidence."""

    name: str
    passed: bool
    detail: str


Clause = Callable[[Model], tuple[bool, str]]
ByClass = Mapping[int, tuple[Model, Tensor, Tensor]]
"""For each class or vector, the model given it, log p(x | y) of all images, and the relative error of each p(x | y)."""


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


def enumerable(model: Model) -> bool:
    """Whether there are few enough possible images (at most 4096) to enumerate them."""
    return model.levels is not None and model.levels ** math.prod(model.event_shape) <= MAX_STATES


def all_images(model: Model) -> Tensor:
    """All possible images of an enumerable model, shape (L^D, *event_shape), in the model's number format."""
    assert model.levels is not None
    values = itertools.product(range(model.levels), repeat=math.prod(model.event_shape))
    return torch.tensor(list(values), dtype=model.dtype).unflatten(1, model.event_shape)


def log_probs_of_all(model: Model) -> tuple[Tensor, Tensor]:
    """log p(x) of all images, nats, and the relative standard error of each p(x).

    Exact, or an importance-sampled estimate for a latent model.
    """
    x = all_images(model)
    with torch.no_grad():
        if isinstance(model, ExactModel):
            log_p = model.log_prob(x)
            return log_p, torch.zeros_like(log_p)
        assert isinstance(model, LatentModel)
        log_w = torch.cat([model.log_weights(part, IMPORTANCE_SAMPLES) for part in x.split(64)])
    log_p = log_mean_exp(log_w, 1)
    relative = (log_w - log_p[:, None]).exp().std(1) / math.sqrt(IMPORTANCE_SAMPLES)
    return log_p, relative


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


def sums_to_one(model: Model, log_p: Tensor, relative: Tensor) -> tuple[bool, str]:
    p = log_p.double().exp()
    total, error = p.sum().item(), (p * relative).square().sum().sqrt().item()
    tolerance = 1e-10 if model.dtype == torch.float64 else 1e-4
    gap = abs(total - 1)
    evidence = f"sum over {len(p)} images is 1 {total - 1:+.1e} (s.e. {error:.1e})"
    # with a very inaccurate estimate, any model would pass
    return error < WORST_ERROR and gap <= max(tolerance, 5 * error), evidence


def samples_fit(model: Model, log_p: Tensor, relative: Tensor, drawn: Tensor | None = None) -> tuple[bool, str]:
    """Pearson's chi-square test of the counts of all images against their probabilities; rare images share one cell.

    Args:      drawn: the samples; None: `DRAWS` samples of the model.
    """
    from scipy import stats

    drawn = model.sample(DRAWS) if drawn is None else drawn
    p = log_p.double().exp()
    expected = len(drawn) * p / p.sum()
    # the error of an importance-sampled probability adds to the variance of its cell
    variance = expected + (expected * relative).square()
    weights = model.levels ** torch.arange(math.prod(model.event_shape) - 1, -1, -1)  # type: ignore[operator]
    index = (drawn.flatten(1).round().long() * weights).sum(1)
    counts = torch.bincount(index, minlength=len(p)).double()
    order = expected.argsort(descending=True)
    common = max(1, int((expected >= 5).sum()) - 1)
    cells = [torch.cat([v[order][:common], v[order][common:].sum()[None]]) for v in (expected, variance, counts)]
    statistic = ((cells[2] - cells[0]).square() / cells[1]).sum().item()
    p_value = float(stats.chi2.sf(statistic, common))
    return p_value > FALSE_ALARM, f"chi-square {statistic:.1f} over {common + 1} cells, p = {p_value:.3g}"


def _clauses_of_vectors(model: TakesVectors) -> Iterator[tuple[str, Clause]]:
    """The checks of a model of p(x | c): those of any model for one vector c, and those of several vectors."""
    yield "a likelihood without a vector raises NotComputable", refuses_without_vector
    vectors = _some_vectors(model)
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
        yield "p(x | c) of each vector sums to one", lambda _: each_class_sums_to_one(known(), "vector")
        yield "samples of each vector fit p(x | c)", lambda _: samples_of_each_vector_fit(model, known())
        yield "p(x | c) depends on the vector", lambda _: classes_differ(known())


def _some_vectors(model: TakesVectors) -> Tensor:
    """Three vectors within about one standard deviation of the mean, shape (3, K)."""
    mean, scale = model.statistics.T
    signs = 1.0 - 2.0 * (torch.arange(model.vector_size, device=scale.device) % 2)
    return torch.stack([mean + size * signs * scale for size in (0.9, -1.2, 0.2)])


def refuses_without_vector(model: Model) -> tuple[bool, str]:
    assert isinstance(model, TakesVectors)
    x = model.given_vectors(_some_vectors(model)[0]).sample(2)
    score: Any = model.log_prob if isinstance(model, ExactModel) else model.elbo
    asked: tuple[Callable[[], object], ...] = (lambda: score(x), lambda: model.sample(2))
    for ask in asked:
        try:
            ask()
        except NotComputable:
            continue
        return False, "it returned a number, or samples"
    return True, "log-probability and samples"


@torch.no_grad()
def vectors_keep_their_images(model: Model) -> tuple[bool, str]:
    assert isinstance(model, TakesVectors)
    rows = _some_vectors(model)[torch.arange(9) % 3]
    together: Any = model.given_vectors(rows)
    x = together.sample(9)
    apart = torch.cat([model.given_vectors(row).log_prob(one[None]) for row, one in zip(rows, x, strict=True)])  # type: ignore[attr-defined]
    gap = (together.log_prob(x) - apart).abs().max().item()
    return gap <= 1e-4 * apart.abs().max().item(), f"largest difference {gap:.1e} nats"


def samples_of_each_vector_fit(model: TakesVectors, known: ByClass) -> tuple[bool, str]:
    """The samples of a batch with mixed vectors, compared vector by vector."""
    rows = torch.arange(DRAWS) % len(known)
    drawn = model.given_vectors(_some_vectors(model)[rows]).sample(DRAWS)
    found = [(row, *samples_fit(*one, drawn[rows == row])) for row, one in known.items()]
    return all(passed for _, passed, _ in found), "; ".join(f"vector {row}: {words}" for row, _, words in found)


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
        known = cache(lambda: {label: (given, *log_probs_of_all(given)) for label, given in _present(model)})
        yield "p(x | y) of each class sums to one", lambda _: each_class_sums_to_one(known())
        yield "samples of each class fit p(x | y)", lambda _: samples_of_each_class_fit(model, known())
        yield "p(x | y) depends on the class", lambda _: classes_differ(known())


def class_probs_sum_to_one(model: Model) -> tuple[bool, str]:
    assert isinstance(model, HasClasses)
    log_probs = model.log_class_probs().detach().double()
    total = log_probs.exp().sum().item()
    return log_probs.shape == (model.classes,) and abs(total - 1) < 1e-6, f"{model.classes} classes, sum {total:.8f}"


@torch.no_grad()
def hidden_pixels_do_not_tell_the_class(model: Model) -> tuple[bool, str]:
    assert isinstance(model, PredictsClasses) and isinstance(model, HasClasses)
    x, other = model.sample(64).split(32)
    observed = torch.rand(x.shape) < 0.5
    found, changed = (model.log_class_posterior(torch.where(observed, x, y), observed) for y in (x, other))
    gap = (found.exp().sum(1) - 1).abs().max().item()
    uses = (model.log_class_posterior(other, observed).exp() - found.exp()).abs().max().item()
    passed = torch.equal(found, changed) and gap < 1e-4 and uses > 0
    return passed, f"sum differs from 1 by {gap:.1e}; other observed pixels change it by up to {uses:.2g}"


@torch.no_grad()
def sums_over_classes(model: Model) -> tuple[bool, str]:
    """log p(x) is the log-sum-exp of log p(x, y), and labels in one batch give the same as one class at a time."""
    assert isinstance(model, ExactModel) and isinstance(model, ScoresClasses)
    x, labels = model.sample(9), torch.arange(9) % model.classes
    joint, given = model.log_joint_classes(x), model.given(labels)
    assert isinstance(given, ExactModel)
    of_labels = (joint - model.log_class_probs())[torch.arange(9), labels]
    gaps = [joint.logsumexp(1) - model.log_prob(x), of_labels - given.log_prob(x)]
    worst = max(gap.nan_to_num(posinf=torch.inf).abs().max().item() for gap in gaps)
    return worst <= 1e-4 * joint.max(1).values.abs().max().item(), f"largest difference {worst:.1e} nats"


def _present(model: Model) -> Iterator[tuple[int, Model]]:
    """The model given each class that has a probability above 0."""
    assert isinstance(model, HasClasses)
    for label in (model.log_class_probs() > -torch.inf).nonzero()[:, 0].tolist():
        yield label, model.given(label)


def each_class_sums_to_one(known: ByClass, noun: str = "class") -> tuple[bool, str]:
    found = [(label, *sums_to_one(*one)) for label, one in known.items()]
    return all(passed for _, passed, _ in found), "; ".join(f"{noun} {label}: {words}" for label, _, words in found)


def samples_of_each_class_fit(model: Model, known: ByClass) -> tuple[bool, str]:
    """The samples of a batch with mixed labels, compared class by class."""
    assert isinstance(model, SamplesClasses)
    labels = torch.arange(DRAWS) % model.classes
    drawn = model.sample_classes(labels)
    found = [(label, *samples_fit(*one, drawn[labels == label])) for label, one in known.items()]
    return all(passed for _, passed, _ in found), "; ".join(f"class {label}: {words}" for label, _, words in found)


def classes_differ(known: ByClass) -> tuple[bool, str]:
    """The largest total variation distance between two classes: 0 if the model ignores the class."""
    each = [(log_p, relative) for _, log_p, relative in known.values()]
    distances: list[Tensor] = [
        0.5 * (one[0].exp() - other[0].exp()).abs().sum() - (one[0].exp() * one[1]).square().sum().sqrt() * 5
        for one in each
        for other in each
    ]
    if len(each) < 2:
        return True, "one class only"
    largest = max(distance.item() for distance in distances)
    return largest > 1e-3, f"total variation distance up to {largest:.3f}"

"""Checks of models of p(x | y) for a class y, or of p(x | c) for a vector c: each condition by enumeration."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from ancestral.core.errors import NotComputable
from ancestral.evaluation.enumeration import DRAWS, samples_fit, sums_to_one
from ancestral.models.base import ExactModel, Model, SamplesClasses
from ancestral.models.classes import HasClasses, PredictsClasses, ScoresClasses
from ancestral.models.vectors import TakesVectors

ByCondition = Mapping[int, tuple[Model, Tensor, Tensor]]
"""For each class or vector, the model given it, log p of all images given it, and the relative error of each p."""


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


def present_classes(model: Model) -> Iterator[tuple[int, Model]]:
    """The model given each class that has a probability above 0."""
    assert isinstance(model, HasClasses)
    for label in (model.log_class_probs() > -torch.inf).nonzero()[:, 0].tolist():
        yield label, model.given(label)


def samples_of_each_class_fit(model: Model, known: ByCondition) -> tuple[bool, str]:
    """The samples of a batch with mixed labels, compared class by class."""
    assert isinstance(model, SamplesClasses)
    labels = torch.arange(DRAWS) % model.classes
    drawn = model.sample_classes(labels)
    found = [(label, *samples_fit(*one, drawn[labels == label])) for label, one in known.items()]
    return all(passed for _, passed, _ in found), "; ".join(f"class {label}: {words}" for label, _, words in found)


def some_vectors(model: TakesVectors) -> Tensor:
    """Three vectors within about one standard deviation of the mean, shape (3, K)."""
    mean, scale = model.statistics.T
    signs = 1.0 - 2.0 * (torch.arange(model.vector_size, device=scale.device) % 2)
    return torch.stack([mean + size * signs * scale for size in (0.9, -1.2, 0.2)])


def refuses_without_vector(model: Model) -> tuple[bool, str]:
    assert isinstance(model, TakesVectors)
    x = model.given_vectors(some_vectors(model)[0]).sample(2)
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
    rows = some_vectors(model)[torch.arange(9) % 3]
    together: Any = model.given_vectors(rows)
    x = together.sample(9)
    apart = torch.cat([model.given_vectors(row).log_prob(one[None]) for row, one in zip(rows, x, strict=True)])  # type: ignore[attr-defined]
    gap = (together.log_prob(x) - apart).abs().max().item()
    return gap <= 1e-4 * apart.abs().max().item(), f"largest difference {gap:.1e} nats"


def samples_of_each_vector_fit(model: TakesVectors, known: ByCondition) -> tuple[bool, str]:
    """The samples of a batch with mixed vectors, compared vector by vector."""
    rows = torch.arange(DRAWS) % len(known)
    drawn = model.given_vectors(some_vectors(model)[rows]).sample(DRAWS)
    found = [(row, *samples_fit(*one, drawn[rows == row])) for row, one in known.items()]
    return all(passed for _, passed, _ in found), "; ".join(f"vector {row}: {words}" for row, _, words in found)


def each_condition_sums_to_one(known: ByCondition, noun: str = "class") -> tuple[bool, str]:
    found = [(label, *sums_to_one(*one)) for label, one in known.items()]
    return all(passed for _, passed, _ in found), "; ".join(f"{noun} {label}: {words}" for label, _, words in found)


def conditions_differ(known: ByCondition) -> tuple[bool, str]:
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

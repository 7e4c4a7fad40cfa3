"""The contract of models with classes: each p(x | y) is a distribution, and p(x) is their mixture."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from ancestral.evaluation.contract import (
    DRAWS,
    Clause,
    enumerable,
    log_probs_of_all,
    samples_fit,
    sums_to_one,
)
from ancestral.models.base import ExactModel, Model, SamplesClasses
from ancestral.models.classes import HasClasses, ScoresClasses, scores_classes


def clauses_of_classes(model: Model) -> Iterator[tuple[str, Clause]]:
    """The checks of a model with classes, by name; none for a model without."""
    if not scores_classes(model):
        return
    yield "the probabilities of the classes sum to one", class_probs_sum_to_one
    if isinstance(model, ExactModel):
        yield "log p(x) is the sum over the classes, in any batch", sums_over_classes
    if enumerable(model):
        yield "p(x | y) of each class sums to one", each_class_sums_to_one
        yield "samples of each class fit p(x | y)", samples_of_each_class_fit
        yield "p(x | y) depends on the class", classes_differ


def class_probs_sum_to_one(model: Model) -> tuple[bool, str]:
    assert isinstance(model, HasClasses)
    log_probs = model.log_class_probs().detach().double()
    total = log_probs.exp().sum().item()
    return log_probs.shape == (model.classes,) and abs(total - 1) < 1e-6, f"{model.classes} classes, sum {total:.8f}"


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


def each_class_sums_to_one(model: Model) -> tuple[bool, str]:
    found = [(label, *sums_to_one(given, *log_probs_of_all(given))) for label, given in _present(model)]
    return all(passed for _, passed, _ in found), "; ".join(f"class {label}: {words}" for label, _, words in found)


def samples_of_each_class_fit(model: Model) -> tuple[bool, str]:
    """The samples of a batch with mixed labels, compared class by class."""
    assert isinstance(model, SamplesClasses)
    labels = torch.arange(DRAWS) % model.classes
    drawn = model.sample_classes(labels)
    found = [
        (label, *samples_fit(given, *log_probs_of_all(given), drawn[labels == label]))
        for label, given in _present(model)
    ]
    return all(passed for _, passed, _ in found), "; ".join(f"class {label}: {words}" for label, _, words in found)


def classes_differ(model: Model) -> tuple[bool, str]:
    """The largest total variation distance between two classes: 0 if the model ignores the class."""
    each = [log_probs_of_all(given) for _, given in _present(model)]
    distances: list[Tensor] = [
        0.5 * (one[0].exp() - other[0].exp()).abs().sum() - (one[0].exp() * one[1]).square().sum().sqrt() * 5
        for one in each
        for other in each
    ]
    if len(each) < 2:
        return True, "one class only"
    largest = max(distance.item() for distance in distances)
    return largest > 1e-3, f"total variation distance up to {largest:.3f}"

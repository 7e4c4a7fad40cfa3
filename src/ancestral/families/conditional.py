"""The setting `--conditional`, which every family with classes has, and the classes of the data for a model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from ancestral.core.errors import InputError
from ancestral.families.family import DataSpec
from ancestral.models.classes import ClassConditional, refuse_without_classes
from ancestral.settings.checks import NO_LABELS


def classes_of(settings: Any, spec: DataSpec) -> tuple[int, list[float] | None]:
    """Number and proportions of the classes of a conditional model; 0 and None for any other model.

    Args:      settings: of the family. spec: the data.
    Raises:    InputError: a conditional model for data without labels.
    """
    if not settings.conditional:
        return 0, None
    if spec.conditions:
        raise InputError("--conditional and --conditions cannot be combined: leave out one of them")
    if not spec.classes:
        raise InputError(NO_LABELS)
    return spec.classes, None if spec.proportions is None else list(spec.proportions)


def components_of_class(condition: Tensor, components: int) -> Tensor:
    """Which of C components belong to the given class: component c belongs to class c // (C / K).

    Args:      condition: one-hot classes, shape (B, K). components: C.
    Returns:   zeros and ones, shape (B, C).
    """
    return condition.repeat_interleave(components // condition.shape[1], 1)


class ComponentsByClass(ClassConditional):
    """Base class of mixtures of C components, of which C / K neighbours belong to each of K classes."""

    @property
    def component_logits(self) -> Tensor:
        """Logits of p(c), shape (C,)."""
        raise NotImplementedError

    def joint(self, x: Tensor, observed: Tensor | None = None) -> Tensor:
        """log p(x, c), shape (B, C), nats; with a mask, of the observed pixels only."""
        raise NotImplementedError

    @property
    def log_component_probs(self) -> Tensor:
        """log p(c), shape (C,), nats; for given classes log p(c | y), shape (C,) or (B, C)."""
        logits = self.component_logits
        if self.condition is None:
            return logits.log_softmax(0)
        allowed = components_of_class(self.condition, len(logits))
        return (logits + allowed.log()).log_softmax(1).squeeze(0)

    def log_class_probs(self) -> Tensor:
        """log p(y), the sum over the components of each class, shape (K,), nats."""
        refuse_without_classes(self)
        return self.component_logits.log_softmax(0).view(self.classes, -1).logsumexp(1)

    def log_joint_classes(self, x: Tensor) -> Tensor:
        """log p(x, y) of all classes, exact, shape (B, K), nats."""
        refuse_without_classes(self)
        return self.joint(x).unflatten(1, (self.classes, -1)).logsumexp(2)


def joint_of_labels(joint: Tensor, labels: Tensor | None, classes: int) -> Tensor:
    """log p(x, c) of the components of the label's class, and minus infinity for the others; shape (B, C), nats.

    Args:      joint: log p(x, c), shape (B, C). labels: shape (B,); -1 and None keep all components. classes: K; 0
               keeps all components.
    """
    if labels is None or not classes:
        return joint
    other = components_of_class(one_hot(labels.clamp_min(0), classes), joint.shape[1]) == 0
    return joint.masked_fill(other & (labels >= 0)[:, None], -torch.inf)


Conditional = TypeVar("Conditional", bound=ClassConditional)


def described_by_class(model: Conditional, describe: Callable[[Conditional], dict[str, Any]]) -> dict[str, Any]:
    """A description for the explorer's page; of a model with classes one for each, see `explorer/engine/byclass.js`.

    The page stores equal tensors once, so that the weights which the classes share take no more space.

    Args:      describe: the description of a model without classes, or of one whose class is given.
    Raises:    NotComputable: as `describe`, or the model is one of p(x | c) for a vector c, which the page cannot give.
    """
    model.refuse_without_vector()
    if not model.sums_classes:
        return describe(model)
    given = [describe(model.given(label)) for label in range(model.classes)]
    return {"kind": given[0]["kind"], "log_class_probs": model.log_class_probs(), "given": given}

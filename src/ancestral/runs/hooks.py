"""Checks of the code of a plug-in family, before the run folder is written and during training.

Errors that one batch can show are raised before anything is written. Later errors end the training with a message of
one line, and the last checkpoint is kept.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor

from ancestral.core.errors import TrainingDiverged
from ancestral.core.random import seed_device
from ancestral.core.text import type_in_words
from ancestral.data.pixels import Batch, PixelBatches
from ancestral.families.catalogue import is_plug_in
from ancestral.families.family import Family, titled
from ancestral.families.hooks import FamilyError, calling
from ancestral.families.run_settings import Settings
from ancestral.models.base import ExactModel, LatentModel, Model
from ancestral.models.vectors import given_batch
from ancestral.training.engine import Engine
from ancestral.training.objectives import Terms
from ancestral.training.steps import GradientStep, Step

METHODS = ("__call__", "end_epoch", "state", "restore")
log = logging.getLogger("ancestral")
DRAWS = 2  # samples of the untrained model


def refuse_no_step(family: Family, step: Any) -> None:
    """Raises:    FamilyError: the object that the family's `step` returned lacks methods."""
    missing = [name for name in METHODS if not callable(getattr(step, name, None))]
    if missing:
        raise FamilyError(f"the step of {family.title} returns {type_in_words(step)} without {' and '.join(missing)}")


def refuse_no_objective(family: Family, objective: Any) -> None:
    """Raises:    FamilyError: the object that the family's `objective` returned is not a function."""
    if not callable(objective):
        raise FamilyError(
            f"the objective of {family.title} returns {type_in_words(objective)}, not a function "
            "(model, batch) -> terms"
        )


def check_terms(family: Family, part: str, terms: Any, images: int) -> Terms:
    """Check the terms of a batch.

    Args:      part: the field of the record that computed them. images: number of images in the batch.
    Raises:    FamilyError: they are not a dict, have no `loss`, or one of them is not a tensor of shape (images,).
    """
    wanted = f'it must return {{"loss": a tensor of shape (B,), ...}}, here B = {images}'
    who = f"the {part} of {family.title}"
    if not isinstance(terms, Mapping) or "loss" not in terms:
        found = f"the terms {', '.join(map(str, terms))}" if isinstance(terms, Mapping) else f"{type_in_words(terms)}"
        raise FamilyError(f"{who} returns {found}: {wanted}")
    for name, term in terms.items():
        if not isinstance(term, Tensor) or term.shape != (images,):
            found = f"a tensor of shape {tuple(term.shape)}" if isinstance(term, Tensor) else f"{type_in_words(term)}"
            raise FamilyError(f"{who} returns {found} as {name!r}: {wanted}")
    return dict(terms)


def check_losses(family: Family, losses: Any) -> dict[str, float]:
    """Check the result of a family's `held_out`, whose first entry selects the best weights.

    Raises:    FamilyError: it is empty, or not a dict of names and numbers.
    """
    good = isinstance(losses, Mapping) and bool(losses)
    good = good and all(type(name) is str and _is_number(value) for name, value in losses.items())
    if not good:
        raise FamilyError(
            f"the held_out of {family.title} returns {str(losses)[:80]}: it must return a dict of at least "
            "one name and number, the mean loss in nats"
        )
    return dict(losses)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


class CheckedStep:
    """A training step of a plug-in family whose exceptions name the family and whose terms are checked.

    Args:      family: its record. step: the step to check.
    """

    def __init__(self, family: Family, step: Step) -> None:
        self.family, self.step = family, step
        self.part = "step" if family.step is not None else "objective"
        if isinstance(step, GradientStep):
            self.part = "objective" if family.objective is not None else "log-probability or bound"

    @property
    def divides(self) -> bool:
        """Whether the step divides its batches into shards."""
        return bool(getattr(self.step, "divides", False))

    @property
    def uses_weights(self) -> bool:
        """Whether the step uses the weights of images."""
        return bool(getattr(self.step, "uses_weights", False))

    def __call__(self, batch: Batch, step: int) -> Terms:
        with calling(self.family.name, self.part):
            terms = self.step(batch, step)
        return check_terms(self.family, self.part, terms, len(batch.x))

    def try_objective(self, model: Model, batch: Batch) -> None:
        """Check the terms of an objective before a gradient is computed."""
        if isinstance(self.step, GradientStep):
            with calling(self.family.name, self.part):
                terms = self.step.objective(model, self.step.at(batch._replace(x=batch.x.to(model.dtype)), 0))
            check_terms(self.family, self.part, terms, len(batch.x))

    def end_epoch(self) -> None:
        with calling(self.family.name, f"end_epoch of the {self.part}"):
            self.step.end_epoch()

    def state(self) -> dict[str, Tensor]:
        with calling(self.family.name, f"state of the {self.part}"):
            tensors = self.step.state()
        good = isinstance(tensors, Mapping) and all(isinstance(tensor, Tensor) for tensor in tensors.values())
        if not good:
            raise FamilyError(f"the state of the {self.part} of {self.family.title} must be a dict of tensors")
        return dict(tensors)

    def restore(self, tensors: dict[str, Tensor]) -> None:
        with calling(self.family.name, f"restore of the {self.part}"):
            self.step.restore(tensors)


def checked_step(family: Family, step: Step) -> Step:
    """The step, wrapped in `CheckedStep` if the family is a plug-in or the model is the user's own."""
    return CheckedStep(family, step) if is_plug_in(family.name) else step


def say_if_not_compiled(settings: Settings, step: Step) -> None:
    """Log a warning if the settings ask for a compiled or recorded step, and the training has a step without it."""
    uses_gradients = getattr(settings.model, "has_learning_rate", True)  # otherwise this is said with other settings
    inner = step.step if isinstance(step, CheckedStep) else step
    if settings.training.compile and uses_gradients and getattr(inner, "compiled", None) is None:
        log.warning("--compile has no effect: a %s does not compute the gradient of one loss", type(inner).__name__)
    if settings.training.cuda_graph and uses_gradients and not hasattr(inner, "graph"):
        log.warning("--cuda-graph has no effect: a %s cannot be recorded", type(inner).__name__)


def try_out(engine: Engine, model: Model, step: Step, train: PixelBatches, held: PixelBatches, batch_size: int) -> None:
    """Call every part of a plug-in that a training needs once, on copies of the model and the step.

    It uses the first batch of the training, so that nothing is rejected that would train. The model, the step and the
    random numbers do not change.

    Args:      step: from `checked_step`. held: held-out images, at most one batch, possibly none.
    Raises:    InputError: names the family, the part and the problem.
    """
    if not isinstance(step, CheckedStep):
        return  # a built-in family
    step.family.resolve()
    copied = _copies(model, step, engine, train)
    if copied is None:
        return
    tried, trying = copied
    devices = [train.device] if train.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        seed_device(train.device, 0)
        batch = next(train.shuffled(0, batch_size))
        with torch.no_grad():
            vectors = None if batch.conditions is None else batch.conditions[:1]
            _try_model(step.family.name, given_batch(tried.eval(), vectors), batch.x)
            if len(held) and (own := step.family.code("held_out")):
                with calling(step.family.name, "held_out"):
                    losses = own(tried, held)
                check_losses(step.family, losses)
        tried.train()
        if trying is not None:
            trying.try_objective(tried, batch)
            with suppress(TrainingDiverged):  # the training reports this itself and keeps its state
                trying(batch, 0)
            trying.state()


def _copies(
    model: Model, step: CheckedStep, engine: Engine, train: PixelBatches
) -> tuple[Model, CheckedStep | None] | None:
    """Copies of the model and the step, or None if they cannot be copied.

    The copy of the step is None if the step does not have the model as an attribute: a call of the copy would change
    the model itself.
    """
    memo: dict[int, Any] = {id(shared): shared for shared in (engine, train, step.family)}
    try:
        trying = copy.deepcopy(step, memo)
        holds = id(model) in memo
        return copy.deepcopy(model, memo), trying if holds else None
    except Exception:  # something cannot be copied: the first call is then in the training
        return None


def _try_model(family: str, model: Model, x: Tensor) -> None:
    """Raises:    InputError: samples or scores cannot be computed, or have a wrong shape."""
    name, x = type(model).__name__, x.to(model.dtype)
    with calling(family, f"sample of the {name}"):
        drawn = model.sample(DRAWS)
    _refuse_shape(family, f"sample({DRAWS}) of the {name}", drawn, (DRAWS, *model.event_shape))
    if isinstance(model, ExactModel):
        with calling(family, f"log_prob of the {name}"):
            scored = model.log_prob(x)
        _refuse_shape(family, f"log_prob of the {name}", scored, (len(x),))
    elif isinstance(model, LatentModel):
        with calling(family, f"elbo of the {name}"):
            scored = model.elbo(x)
        _refuse_shape(family, f"elbo of the {name}", scored, (len(x),))


def _refuse_shape(family: str, what: str, found: Any, shape: tuple[int, ...]) -> None:
    if not isinstance(found, Tensor) or found.shape != shape:
        got = f"a tensor of shape {tuple(found.shape)}" if isinstance(found, Tensor) else f"{type_in_words(found)}"
        raise FamilyError(f"the {what} of {titled(family)} returns {got}: it must return a tensor of shape {shape}")

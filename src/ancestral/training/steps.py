"""A step turns a batch into an update and into terms to log. All kinds of training share one loop."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import Any, Protocol, TypeVar, cast, runtime_checkable

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, Adamax, AdamW, Optimizer, RMSprop

from ancestral.core.errors import InputError, TrainingDiverged
from ancestral.data.pixels import Batch, Moment
from ancestral.models.base import Model
from ancestral.settings.training import TrainingSettings
from ancestral.training.checkpoint import optimizer_tensors, restore_optimizer, under_prefix, with_prefix
from ancestral.training.engine import Engine
from ancestral.training.objectives import Objective, Terms

O = TypeVar("O", bound=Optimizer)
HOOKED = ("step", "zero_grad", "add_param_group", "state_dict", "load_state_dict")
"""Methods of an optimiser that torch wraps for its compiler."""


class Step(Protocol):
    """What the loop asks of a way of training."""

    def __call__(self, batch: Batch, step: int) -> Terms:
        """Update on one batch, the `step`-th of the run (from 0); terms of shape (B,), `loss` among them."""
        ...

    def end_epoch(self) -> None:
        """Called after the last batch of each epoch."""
        ...

    def state(self) -> dict[str, Tensor]:
        """Everything besides the model's weights that the next step depends on."""
        ...

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Put back what `state` gave."""
        ...


@runtime_checkable
class TakesOver(Protocol):
    """A step that learns something beside the model, a critic say, which a run that starts from trained weights needs.

    `beside` names it, for a message.
    """

    beside: str

    def take_over(self, tensors: dict[str, Tensor]) -> bool:
        """Take what fits from the `state` of another training's step; returns whether there was anything."""
        ...


def eager(kind: type[O]) -> type[O]:
    """An optimiser without the hooks of torch's compiler, the import of which costs as much as that of torch.

    torch wraps these methods, and each wrapper imports `torch._dynamo` when it is first called, compiled or not.
    What they wrap is used as it is, without gradients, so that updates are the same to the bit.
    """
    methods: dict[str, Any] = {name: inspect.unwrap(getattr(kind, name)) for name in HOOKED}
    methods["step"] = torch.no_grad()(methods["step"])
    return cast("type[O]", type(kind.__name__, (kind,), methods))


def build_optimizer(model: nn.Module, settings: TrainingSettings) -> Optimizer:
    """The optimiser named in the settings, fused into one kernel where torch has that.

    Raises:    InputError: the model has no weights to train.
    """
    if not any(weight.requires_grad for weight in model.parameters()):
        raise InputError("the model has no weights to train: store them as torch.nn.Parameter, with requires_grad")
    rate, betas, decay = settings.rate, settings.betas, settings.weight_decay
    makers: dict[str, Callable[..., Optimizer]] = {
        "adam": lambda p: eager(Adam)(p, rate, betas, weight_decay=decay, fused=True),
        "adamw": lambda p: eager(AdamW)(p, rate, betas, weight_decay=decay, fused=True),
        "adamax": lambda p: eager(Adamax)(p, rate, betas, weight_decay=decay),
        "rmsprop": lambda p: eager(RMSprop)(p, rate, weight_decay=decay, momentum=settings.momentum),
        "sgd": lambda p: eager(SGD)(p, rate, weight_decay=decay, momentum=settings.momentum, fused=True),
    }
    return makers[settings.optimizer](model.parameters())


def learning_rate_at(step: int, total_steps: int, settings: TrainingSettings) -> float:
    """Rate of the `step`-th update (from 0): linear warm-up, then constant or half a cosine down to nothing.

    A pure function of the step, so that nothing about it needs saving.

    Example:
               >>> rates = TrainingSettings(learning_rate=1.0, schedule="cosine", warmup_steps=2)
               >>> [round(learning_rate_at(step, 6, rates), 3) for step in range(6)]
               [0.5, 1.0, 1.0, 0.854, 0.5, 0.146]
    """
    if step < settings.warmup_steps:
        return settings.rate * (step + 1) / settings.warmup_steps
    if settings.schedule == "constant":
        return settings.rate
    done = (step - settings.warmup_steps) / max(1, total_steps - settings.warmup_steps)
    return settings.rate * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


def set_learning_rate(optimizer: Optimizer, step: int, total_steps: int, settings: TrainingSettings) -> None:
    """Put the rate of the `step`-th update into the optimiser."""
    rate = learning_rate_at(step, total_steps, settings)
    for group in optimizer.param_groups:
        group["lr"] = rate


class ObjectiveModule(nn.Module):
    """An objective as the forward pass of a module, which is what an engine wraps for precision and devices.

    An objective that is a module itself, with a baseline to learn, say, thereby trains beside the model.
    """

    def __init__(self, model: Model, objective: Objective) -> None:
        super().__init__()
        self.model, self.objective = model, objective

    def forward(self, batch: Batch) -> Terms:
        return self.objective(self.model, batch)


class GradientStep:
    """One update by the gradient of the batch's mean loss.

    A loss that is not finite raises before the optimiser moves. On an accelerator that look would stop the
    queue at each step, so there the loop looks when it logs.

    Args:      engine: device and precision. model: moved to the device in place. objective: see `objectives`.
               settings: rate, schedule, clipping. total_steps: updates of the whole run, for the schedule.
    """

    def __init__(
        self, engine: Engine, model: Model, objective: Objective, settings: TrainingSettings, total_steps: int
    ) -> None:
        self.engine, self.settings, self.total_steps = engine, settings, total_steps
        self.objective = objective
        module = ObjectiveModule(model, objective)
        self.module, self.optimizer = engine.setup(module, build_optimizer(module, settings))
        self._look_at_once = engine.device.type == "cpu"
        self._steps_per_epoch = max(1, total_steps // settings.epochs)

    def __call__(self, batch: Batch, step: int) -> Terms:
        set_learning_rate(self.optimizer, step, self.total_steps, self.settings)
        terms = self.module(self.at(batch, step))
        loss = terms["loss"].mean()
        if self._look_at_once and not math.isfinite(loss.item()):
            raise TrainingDiverged(f"the loss is {loss.item()} at step {step + 1}")
        self.optimizer.zero_grad()
        self.engine.backward(loss)
        if self.settings.clip_norm is not None:
            self.engine.clip_gradients(self.module, self.optimizer, max_norm=self.settings.clip_norm)
        self.optimizer.step()
        return {name: term.detach() for name, term in terms.items()}

    def at(self, batch: Batch, step: int) -> Batch:
        """The batch with the moment that an objective may depend on."""
        return batch._replace(moment=Moment(step, self._steps_per_epoch, self.total_steps))

    def end_epoch(self) -> None:
        pass

    def state(self) -> dict[str, Tensor]:
        own = self.objective.state_dict() if isinstance(self.objective, nn.Module) else {}
        return optimizer_tensors(self.optimizer) | with_prefix("objective", own)

    def restore(self, tensors: dict[str, Tensor]) -> None:
        own = under_prefix("objective", tensors)
        if isinstance(self.objective, nn.Module):
            self.objective.load_state_dict(own)
        moments = {name: tensor for name, tensor in tensors.items() if not name.startswith("objective.")}
        restore_optimizer(self.optimizer, moments)

"""Training steps: a step makes one update from a batch and returns terms for the log."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import Any, Protocol, TypeVar, cast, runtime_checkable

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, Adamax, AdamW, Optimizer, RMSprop

from ancestral.core.errors import InputError, TrainingDiverged
from ancestral.core.threads import without_denormals
from ancestral.data.pixels import Batch, Moment
from ancestral.models.base import Model
from ancestral.settings.training import TrainingSettings
from ancestral.training.adam import keep_lists, updated_at_once
from ancestral.training.checkpoint import optimizer_tensors, restore_optimizer, under_prefix, with_prefix
from ancestral.training.compiled import CompiledGradient
from ancestral.training.engine import Engine
from ancestral.training.graphs import graph_for
from ancestral.training.objectives import SCHEDULED, Objective, Terms, terms_of_labels
from ancestral.training.shards import WHOLE, Part, Shards, Sums, put_gradients, settle

O = TypeVar("O", bound=Optimizer)
HOOKED = ("step", "zero_grad", "add_param_group", "state_dict", "load_state_dict")
"""Methods of an optimiser that torch wraps for its compiler; see `eager`."""


class Step(Protocol):
    """Interface of a training step for the loop."""

    def __call__(self, batch: Batch, step: int) -> Terms:
        """Make one update. step: number of the batch in the run, from 0. Returns terms of shape (B,), with `loss`."""
        ...

    def end_epoch(self) -> None:
        """Called after the last batch of each epoch."""
        ...

    def state(self) -> dict[str, Tensor]:
        """Everything that the next step depends on, except the model's weights."""
        ...

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Restore the result of `state`."""
        ...


@runtime_checkable
class TakesOver(Protocol):
    """A step that trains something in addition to the model, such as a critic. A run with `init_from` also needs it.

    Attributes: beside: its name, for messages.
    """

    beside: str

    def take_over(self, tensors: dict[str, Tensor]) -> bool:
        """Copy what fits from the `state` of another training's step. Returns whether anything fits."""
        ...


def eager(kind: type[O]) -> type[O]:
    """An optimiser class without the hooks for torch's compiler. Importing the compiler takes as long as importing
    torch.

    torch wraps these methods, and each wrapper imports `torch._dynamo` at the first call, even without compilation.
    Here the original methods are used, without gradients, so updates are bit-identical.

    The moments of a weight whose gradient stays 0, as of a hidden unit that is never active, decay to denormal numbers,
    which make an update up to eight times as slow. They are set to 0, which changes an update by less than 1e-30.
    """
    methods: dict[str, Any] = {name: inspect.unwrap(getattr(kind, name)) for name in HOOKED}
    original = torch.no_grad()(methods["step"])

    def step(self: Optimizer, closure: Any = None) -> Any:
        with without_denormals():
            if closure is None and updated_at_once(self):
                return None
            found = original(self, closure)
        keep_lists(self)
        return found

    def zero_grad(self: Optimizer, set_to_none: bool = True) -> None:
        for group in self.param_groups:
            for weight in group["params"]:
                weight.grad = None if set_to_none or weight.grad is None else torch.zeros_like(weight.grad)

    methods["step"], methods["zero_grad"] = step, zero_grad
    return cast("type[O]", type(kind.__name__, (kind,), methods))


def build_optimizer(model: nn.Module, settings: TrainingSettings) -> Optimizer:
    """The optimiser of the settings, in torch's fused version if there is one.

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
    """Learning rate at a step (from 0): linear warm-up, then constant, or half a cosine that decays to zero.

    It is a pure function of the step, so a checkpoint need not store it.

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
    """Set the learning rate of a step in the optimiser."""
    rate = learning_rate_at(step, total_steps, settings)
    for group in optimizer.param_groups:
        if isinstance(group["lr"], Tensor):  # a recorded step reads it there
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate


class ObjectiveModule(nn.Module):
    """An objective as the forward pass of a module, because engines wrap modules for precision and devices.

    An objective can be a module itself, for example with a learned baseline. It is then trained with the model. A model
    with classes gets the labels of the batch, see `terms_of_labels`.
    """

    def __init__(self, model: Model, objective: Objective) -> None:
        super().__init__()
        self.model, self.objective = model, objective

    def forward(self, batch: Batch) -> Terms:
        return terms_of_labels(self.model, self.objective, batch)


def weighted_terms(terms: Terms, batch: Batch, mean_weight: float) -> Terms:
    """Terms of each image times its weight over the mean weight, so that their mean over all images is weighted.

    Args:      mean_weight: of all training images. The mean of the batch would make the loss of a batch biased.
    """
    if batch.weights is None:
        return terms
    factor = batch.weights / mean_weight
    return {name: term if name.startswith(SCHEDULED) else factor.to(term) * term for name, term in terms.items()}


class GradientStep:
    """One update with the gradient of the mean loss of a batch. Images may have weights, see `weighted_terms`.

    On a CPU, a loss that is not finite raises before the update. On an accelerator, this check would block the queue at
    each step, so the loop checks when it logs.

    Args:      engine: device and precision. model: moved to the device in place. objective: see `objectives`.
               settings: learning rate, schedule, clipping. total_steps: updates of the whole run, for the schedule.
               mean_weight: of the training images. shards: into which a batch is divided. The objective sees one shard:
               means over a batch in the objective are then means over a shard.
    """

    uses_weights = True
    divides = True

    def __init__(
        self,
        engine: Engine,
        model: Model,
        objective: Objective,
        settings: TrainingSettings,
        total_steps: int,
        mean_weight: float = 1.0,
        shards: Shards = WHOLE,
    ) -> None:
        self.mean_weight, self.shards = mean_weight, shards
        self.engine, self.settings, self.total_steps = engine, settings, total_steps
        self.objective = objective
        module = ObjectiveModule(model, objective)
        self.module, self.optimizer = engine.setup(module, build_optimizer(module, settings))
        self._weights = [weight for group in self.optimizer.param_groups for weight in group["params"]]
        self._steps_per_epoch = max(1, total_steps // settings.epochs)
        self.graph = graph_for(self.update, settings, self._steps_per_epoch, [self.optimizer], engine.device)
        self._look_at_once = engine.device.type == "cpu" and self.graph is None
        self.compiled: CompiledGradient | None = None
        if settings.compile:
            self.compiled = CompiledGradient(self.terms_of, self._weights, settings.batch_size)

    def __call__(self, batch: Batch, step: int) -> Terms:
        set_learning_rate(self.optimizer, step, self.total_steps, self.settings)
        batch = self.at(batch, step)
        if step == 0 and self.shards.count > 1:
            settle(self.module, lambda: self.module(batch))
        replayed = None if self.graph is None else self.graph(batch, step)
        return self.update(batch, step) if replayed is None else replayed

    def update(self, batch: Batch, step: int) -> Terms:
        """Make the update of a batch that has its moment, with the present learning rate."""

        def contribution(part: Part) -> tuple[Terms, Sums]:
            if self.compiled is not None and (found := self.compiled(part.batch, step)):
                self._refuse_infinite(found.loss, step)
                return found.terms, found.gradients
            terms = self.terms_of(part.batch)
            loss = part.mean(terms["loss"])
            self._refuse_infinite(loss, step)
            self.optimizer.zero_grad()
            self.engine.backward(loss)
            gradients = [weight.grad for weight in self._weights]
            if self.shards.count > 1:  # a shard without labels may not use all weights, and all have one form
                used = zip(self._weights, gradients, strict=True)
                gradients = [torch.zeros_like(weight) if found is None else found for weight, found in used]
            return terms, gradients

        terms, gradients = self.shards.sum(batch, step, contribution, self.module)
        put_gradients(self._weights, gradients)
        if self.settings.clip_norm is not None:
            self.engine.clip_gradients(
                self.module,
                self.optimizer,
                max_norm=self.settings.clip_norm,
                error_if_nonfinite=self._look_at_once,
            )
        self.optimizer.step()
        return {name: term.detach() for name, term in terms.items()}

    def terms_of(self, batch: Batch) -> Terms:
        """The terms of a batch that has its moment, shape (B,) each, nats."""
        return weighted_terms(self.module(batch), batch, self.mean_weight)

    def _refuse_infinite(self, loss: Tensor, step: int) -> None:
        """Raises:    TrainingDiverged: the loss is not finite, on a device where this is known at once."""
        if self._look_at_once and not math.isfinite(loss.item()):
            raise TrainingDiverged(f"the loss is {loss.item()} at step {step + 1}")

    def at(self, batch: Batch, step: int) -> Batch:
        """The batch with its moment (step, steps per epoch, total steps), for objectives with a schedule."""
        return batch._replace(moment=Moment(step, self._steps_per_epoch, self.total_steps))

    def end_epoch(self) -> None:
        pass

    def state(self) -> dict[str, Tensor]:
        own = self.objective.state_dict() if isinstance(self.objective, nn.Module) else {}
        mode = {} if self.compiled is None else {"compiled.failed": torch.tensor(self.compiled.failed)}
        return optimizer_tensors(self.optimizer) | with_prefix("objective", own) | mode

    def restore(self, tensors: dict[str, Tensor]) -> None:
        if self.graph is not None:
            self.graph.forget()
        own = under_prefix("objective", tensors)
        if isinstance(self.objective, nn.Module):
            self.objective.load_state_dict(own)
        if self.compiled is not None:
            self.compiled.restore(bool(tensors["compiled.failed"]))
        own_prefixes = ("objective.", "compiled.")
        moments = {name: tensor for name, tensor in tensors.items() if not name.startswith(own_prefixes)}
        restore_optimizer(self.optimizer, moments)

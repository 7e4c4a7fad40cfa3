"""A step turns a batch into an update and into terms to log. All kinds of training share one loop."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol

from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.optim import SGD, Adam, Adamax, AdamW, Optimizer, RMSprop

from ancestral.core.errors import TrainingDiverged
from ancestral.data.pixels import Batch
from ancestral.models.base import Model
from ancestral.settings.training import TrainingSettings
from ancestral.training.checkpoint import optimizer_tensors, restore_optimizer, under_prefix, with_prefix
from ancestral.training.objectives import Objective, Terms


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


def build_optimizer(model: nn.Module, settings: TrainingSettings) -> Optimizer:
    """The optimiser named in the settings, fused into one kernel where torch has that."""
    rate, betas, decay = settings.rate, settings.betas, settings.weight_decay
    makers: dict[str, Callable[..., Optimizer]] = {
        "adam": lambda p: Adam(p, rate, betas, weight_decay=decay, fused=True),
        "adamw": lambda p: AdamW(p, rate, betas, weight_decay=decay, fused=True),
        "adamax": lambda p: Adamax(p, rate, betas, weight_decay=decay),
        "rmsprop": lambda p: RMSprop(p, rate, weight_decay=decay, momentum=settings.momentum),
        "sgd": lambda p: SGD(p, rate, weight_decay=decay, momentum=settings.momentum, fused=True),
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
    """An objective as the forward pass of a module, which is what Fabric wraps for precision and devices.

    An objective that is a module itself, with a baseline to learn, say, thereby trains beside the model.
    """

    def __init__(self, model: Model, objective: Objective) -> None:
        super().__init__()
        self.model, self.objective = model, objective

    def forward(self, x: Tensor) -> Terms:
        return self.objective(self.model, x)


class GradientStep:
    """One update by the gradient of the batch's mean loss.

    A loss that is not finite raises before the optimiser moves. On an accelerator that look would stop the
    queue at each step, so there the loop looks when it logs.

    Args:      fabric: device and precision. model: moved to the device in place. objective: see `objectives`.
               settings: rate, schedule, clipping. total_steps: updates of the whole run, for the schedule.
    """

    def __init__(
        self, fabric: Fabric, model: Model, objective: Objective, settings: TrainingSettings, total_steps: int
    ) -> None:
        self.fabric, self.settings, self.total_steps = fabric, settings, total_steps
        self.objective = objective
        module = ObjectiveModule(model, objective)
        self.module, self.optimizer = fabric.setup(module, build_optimizer(module, settings))
        self._look_at_once = fabric.device.type == "cpu"

    def __call__(self, batch: Batch, step: int) -> Terms:
        set_learning_rate(self.optimizer, step, self.total_steps, self.settings)
        terms = self.module(batch.x)
        loss = terms["loss"].mean()
        if self._look_at_once and not math.isfinite(loss.item()):
            raise TrainingDiverged(f"the loss is {loss.item()} at step {step + 1}")
        self.optimizer.zero_grad()
        self.fabric.backward(loss)
        if self.settings.clip_norm is not None:
            self.fabric.clip_gradients(self.module, self.optimizer, max_norm=self.settings.clip_norm)
        self.optimizer.step()
        return {name: term.detach() for name, term in terms.items()}

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

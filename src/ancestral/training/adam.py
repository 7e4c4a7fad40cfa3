"""The update of Adam on a CPU as one call, for models of many small weights."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.optim import AdamW, Optimizer


class WholeUpdate:
    """The fused update of Adam or AdamW with the lists of its tensors, which torch collects anew in each step.

    The counters of all weights are parts of one tensor, so one addition counts them. The numbers are those of torch, to
    the bit.

    Args:      optimizer: fused Adam or AdamW with one group, in which each weight has its moments.
    """

    def __init__(self, optimizer: Optimizer) -> None:
        (self.group,) = optimizer.param_groups
        self.weights: list[Tensor] = self.group["params"]
        states = [optimizer.state[weight] for weight in self.weights]
        self.counts = torch.stack([state["step"] for state in states])
        self.each = list(self.counts.unbind())
        for state, count in zip(states, self.each, strict=True):
            state["step"] = count
        self.first = [state["exp_avg"] for state in states]
        self.second = [state["exp_avg_sq"] for state in states]
        decoupled = isinstance(optimizer, AdamW)
        self.update: Any = torch._fused_adamw_ if decoupled else torch._fused_adam_  # pyright: ignore[reportPrivateImportUsage]

    def fits(self, optimizer: Optimizer) -> bool:
        """Whether the optimiser still has these tensors; it has others after loading a state."""
        known = optimizer.state.get(self.weights[-1], {})
        return optimizer.param_groups[0] is self.group and known.get("step") is self.each[-1]

    @torch.no_grad()
    def __call__(self, gradients: list[Tensor]) -> None:
        group = self.group
        beta1, beta2 = group["betas"]
        self.counts.add_(1)
        self.update(
            self.weights,
            gradients,
            self.first,
            self.second,
            [],
            self.each,
            amsgrad=False,
            lr=group["lr"],
            beta1=beta1,
            beta2=beta2,
            weight_decay=group["weight_decay"],
            eps=group["eps"],
            maximize=False,
        )


def updated_at_once(optimizer: Optimizer) -> bool:
    """Make an update of fused Adam on a CPU with one call. Returns False if the optimiser has to make it.

    This is so before `keep_lists`, and if a weight has no gradient.
    """
    known = _lists_of(optimizer)
    if known is None:
        return False
    gradients = [weight.grad for weight in known.weights if weight.grad is not None]
    if len(gradients) < len(known.weights):
        return False
    known(gradients)
    return True


def keep_lists(optimizer: Optimizer) -> None:
    """After an update by the optimiser, which makes the moments: keep the lists for the next, if this is possible."""
    if _lists_of(optimizer) is None and _has_all_moments(optimizer):
        optimizer.__dict__["_whole_update"] = WholeUpdate(optimizer)


def _lists_of(optimizer: Optimizer) -> WholeUpdate | None:
    known: WholeUpdate | None = optimizer.__dict__.get("_whole_update")
    return known if known is not None and known.fits(optimizer) else None


def _has_all_moments(optimizer: Optimizer) -> bool:
    groups = optimizer.param_groups
    if len(groups) != 1 or not groups[0].get("fused") or not groups[0].get("betas") or groups[0].get("amsgrad"):
        return False
    return all(weight.device.type == "cpu" and optimizer.state.get(weight) for weight in groups[0]["params"])

"""Chains of bijections as one operation of autograd, for small layers whose cost is the number of operations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from ancestral.core.hooks import has_hooks

Mapped = tuple[Tensor, Tensor]


class Kept(NamedTuple):
    """The result of a bijection, and what its gradient needs.

    Args:      z: shape (B, D). log_det: shape (B,), nats. tensors: for `pull_back`.
    """

    z: Tensor
    log_det: Tensor
    tensors: list[Tensor]


class PullsBack(Protocol):
    """What a bijection of vectors has whose gradient is written for few operations."""

    def trained(self) -> list[Tensor] | None:
        """Its parameters, in the order of `pull_back`; None: use autograd instead, as most bijections do."""
        ...

    def forward_kept(self, x: Tensor) -> Kept:
        """The result for x, shape (B, D), without a graph of autograd."""
        ...

    def pull_back(self, kept: Sequence[Tensor], dz: Tensor, d_log_det: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The gradients for x and for the parameters.

        Args:      kept: tensors of `Kept`, then the parameters. dz: gradient for z; may be overwritten. d_log_det:
                   gradient for the log-determinant, shape (B,).
        """
        ...


def pulled_back(steps: Sequence[Any], x: Tensor, plain: Callable[[Tensor], Mapped]) -> Mapped | None:
    """The composition of bijections as one operation of autograd, or None where this is not possible.

    Args:      steps: from data to latent. x: shape (B, D). plain: the same composition for autograd, which second
               derivatives use.
    """
    if x.dim() != 2 or not torch.is_grad_enabled() or torch.compiler.is_compiling():
        return None
    if x.is_meta or torch.is_autocast_enabled(x.device.type):  # "meta": autograd shows what it saves
        return None
    parameters = []
    for step in steps:
        own = step.trained()
        if own is None or has_hooks(step):
            return None
        parameters.append(own)
    flat = [parameter for own in parameters for parameter in own]
    sizes = [len(own) for own in parameters]
    return _PulledBack.apply(steps, sizes, plain, x, *flat)  # type: ignore[return-value]


class _PulledBack(torch.autograd.Function):
    """The composition of bijections; the gradient is that of its steps, in reverse order."""

    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any, steps: Sequence[PullsBack], sizes: list[int], plain: Callable[[Tensor], Mapped], *tensors: Tensor
    ) -> Mapped:
        x, total, saved, counts = tensors[0], None, [], []
        for step in steps:
            x, log_det, kept = step.forward_kept(x)
            total = log_det if total is None else total + log_det
            saved += kept
            counts.append(len(kept))
        ctx.steps, ctx.sizes, ctx.plain, ctx.counts = steps, sizes, plain, counts
        ctx.save_for_backward(*tensors, *saved)
        assert total is not None
        return x, total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        dz, d_log_det = gradients
        saved = ctx.saved_tensors
        inputs = saved[: 1 + sum(ctx.sizes)]
        if torch.is_grad_enabled():  # a second derivative is asked for
            return None, None, None, *_by_autograd(ctx, inputs, gradients)
        kept, parameters = saved[len(inputs) :], inputs[1:]
        found: list[Tensor] = []
        dz = dz.clone()
        for step, count, size in zip(reversed(ctx.steps), reversed(ctx.counts), reversed(ctx.sizes), strict=True):
            own = (*kept[len(kept) - count :], *parameters[len(parameters) - size :])
            kept, parameters = kept[: len(kept) - count], parameters[: len(parameters) - size]
            dz, more = step.pull_back(own, dz, d_log_det)
            found = [*more, *found]
        return None, None, None, dz, *found


def _by_autograd(ctx: Any, inputs: Sequence[Tensor], gradients: Sequence[Tensor]) -> list[Tensor | None]:
    """The gradients for x and the parameters, as functions that can be differentiated again."""
    wanted = [tensor for tensor in inputs if tensor.requires_grad]
    found = iter(torch.autograd.grad(ctx.plain(inputs[0]), wanted, gradients, create_graph=True, allow_unused=True))
    return [next(found) if tensor.requires_grad else None for tensor in inputs]

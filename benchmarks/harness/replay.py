"""The limit of a step: its matrix products and convolutions alone, with the same shapes, forward and backward."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

PRODUCTS = {"mm", "addmm", "bmm", "baddbmm", "convolution", "convolution_backward", "mv", "addmv"}


class _Recorder(TorchDispatchMode):
    """Keeps the products and convolutions that PyTorch executes, with the shapes and memory layout of operands."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, Any, Any]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.overloadpacket.__name__ in PRODUCTS:
            self.calls.append((func, tree_map(_shape, args), tree_map(_shape, kwargs or {})))
        return func(*args, **(kwargs or {}))


class _Operand:
    """Size, strides and number format of a tensor."""

    def __init__(self, like: Tensor) -> None:
        self.key = (tuple(like.shape), like.stride(), like.dtype)


def _shape(value: Any) -> Any:
    return _Operand(value) if isinstance(value, Tensor) else value


def products_of(work: Callable[[], Any]) -> Callable[[], None]:
    """A function that repeats the products and convolutions of `work` on random operands, and nothing else.

    The operands of equal shape share memory. Gradients of the first layer's input are in it only if `work` computes
    them: PyTorch does not for inputs that need none.
    """
    with _Recorder() as recorder:
        work()
    held: dict[Any, Tensor] = {}

    def operand(value: Any) -> Any:
        if not isinstance(value, _Operand):
            return value
        if value.key not in held:
            size, strides, dtype = value.key
            held[value.key] = torch.empty_strided(size, strides, dtype=dtype).copy_(torch.randn(size))
        return held[value.key]

    calls = [(func, tree_map(operand, args), tree_map(operand, kwargs)) for func, args, kwargs in recorder.calls]

    @torch.no_grad()
    def repetition() -> None:
        for func, args, kwargs in calls:
            func(*args, **kwargs)

    repetition.calls = [func.overloadpacket.__name__ for func, _, _ in calls]  # type: ignore[attr-defined]
    return repetition


def linear_products(layers: Sequence[tuple[int, int]], batch: int, steps: int) -> Callable[[], None]:
    """The products of linear layers: outputs, gradients of weights, and gradients of inputs but the first.

    Args:      layers: inputs and outputs of each. batch: rows. steps: how often in a repetition.
    """
    held = [(torch.randn(batch, i), torch.randn(o, i), torch.randn(batch, o)) for i, o in layers]

    @torch.no_grad()
    def repetition() -> None:
        for _ in range(steps):
            for n, (x, weight, gradient) in enumerate(held):
                _ = x @ weight.T
                _ = gradient.T @ x
                if n:
                    _ = gradient @ weight

    return repetition

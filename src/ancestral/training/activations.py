"""Memory of the activations of a training step, computed without allocating it.

A step runs once on the device "meta", where tensors have shapes but no values. During the forward pass, autograd saves
tensors for the backward pass. Their sizes are added up when the step calls the backward pass. A step also needs memory
for tensors that are not saved, so the result is a lower bound.
"""

from __future__ import annotations

import copy
import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.optim import Optimizer
from torch.overrides import TorchFunctionMode

from ancestral.data.pixels import Batch
from ancestral.models.base import Model
from ancestral.training.engine import Engine
from ancestral.training.steps import Step

META = torch.device("meta")


class _Kept:
    """A tensor that autograd saves; it exists as long as autograd refers to it."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor


class _Affirmed(TorchFunctionMode):
    """Makes `bool(tensor)` True for tensors without values, so that checks of a model (finite, in range) pass."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is Tensor.__bool__ and args[0].is_meta:
            return True
        return func(*args, **(kwargs or {}))


class CountingEngine:
    """An engine without arithmetic. Instead of a backward pass, it adds up the sizes of the saved tensors.

    Args:      device: device of the step.
    Attributes: most: largest number of bytes that are saved for one backward pass, without weights and buffers.
    """

    def __init__(self, device: torch.device = META) -> None:
        self.device, self.most = device, 0
        self._kept: weakref.WeakSet[_Kept] = weakref.WeakSet()
        self._weights: dict[int, Any] = {}  # storages by address; kept alive, so that addresses stay unique

    def pack(self, tensor: Tensor) -> _Kept:
        """The object that autograd saves instead of a tensor."""
        kept = _Kept(tensor)
        self._kept.add(kept)
        return kept

    def setup(self, module: nn.Module, optimizer: Optimizer, /) -> tuple[nn.Module, Optimizer]:
        module.to(self.device)
        for weight in (*module.parameters(), *module.buffers()):
            storage = weight.untyped_storage()
            self._weights[storage._cdata] = storage
        return module, optimizer

    def backward(self, loss: Tensor, /) -> None:
        storages = [kept.tensor.untyped_storage() for kept in self._kept]
        sizes = {storage._cdata: storage.nbytes() for storage in storages if storage._cdata not in self._weights}
        self.most = max(self.most, sum(sizes.values()))

    def clip_gradients(self, module: Any, optimizer: Optimizer, *, max_norm: float, error_if_nonfinite: bool) -> None:
        pass  # there are no gradients


def activation_bytes(model: Model, build_step: Callable[[Engine, Model], Step], batch: Batch) -> int | None:
    """Bytes that a step saves for its backward pass, a lower bound. The model is not changed.

    The first arithmetic on the device "meta" makes torch import its compiler, which takes about a second.

    Args:      model: the model to be trained. build_step: makes the step. batch: on the device "meta".
    Returns:   None if the step cannot run without values, for example because it reads numbers.
    """
    engine = CountingEngine()
    try:
        hooks = saved_tensors_hooks(engine.pack, lambda kept: kept.tensor)
        with torch.random.fork_rng(devices=[]), META, _Affirmed(), hooks:
            step = build_step(engine, without_values(model).train())
            step(batch, 0)
    except Exception:  # any operation may need values; then the size is unknown
        return None
    return engine.most


def without_values(model: Model) -> Model:
    """A copy of a model on the device "meta". The weights are not copied."""
    copies: dict[int, Any] = {}
    for parameter in model.parameters():
        copies[id(parameter)] = nn.Parameter(torch.empty_like(parameter, device=META), parameter.requires_grad)
    for buffer in model.buffers():
        copies[id(buffer)] = torch.empty_like(buffer, device=META)
    return copy.deepcopy(model, copies)

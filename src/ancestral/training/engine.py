"""Engines run a training step: device, number format, backward pass and gradient clipping."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_
from torch.optim import Optimizer

from ancestral.core.errors import InputError


class Engine(Protocol):
    """Interface that a step needs from an engine. Lightning's Fabric has it too."""

    @property
    def device(self) -> torch.device:
        """Device of weights and batches."""
        ...

    def setup(self, module: nn.Module, optimizer: Optimizer, /) -> tuple[Any, Any]:
        """Move a module to the device. Returns the module and its optimiser, which may be wrapped."""
        ...

    def backward(self, loss: Tensor, /) -> None:
        """Compute the gradients of a loss and add them to those of the weights."""
        ...

    def clip_gradients(self, module: Any, optimizer: Any, *, max_norm: float, error_if_nonfinite: bool) -> Any:
        """Scale the gradients of an optimiser's weights down to this norm.

        Args:      error_if_nonfinite: raise if the norm is not finite. An accelerator has to be waited for then.
        """
        ...


class PlainEngine:
    """One process on the CPU in single precision. The results are bit-identical to those of Fabric."""

    device = torch.device("cpu")

    def setup(self, module: nn.Module, optimizer: Optimizer, /) -> tuple[nn.Module, Optimizer]:
        return module.to(self.device), optimizer

    def backward(self, loss: Tensor, /) -> None:
        loss.backward()

    def clip_gradients(
        self, module: nn.Module, optimizer: Optimizer, *, max_norm: float, error_if_nonfinite: bool
    ) -> Tensor:
        weights = [weight for group in optimizer.param_groups for weight in group["params"]]
        return clip_grad_norm_(weights, max_norm, error_if_nonfinite=error_if_nonfinite)


def build_engine(device: str, precision: str) -> Engine:
    """The engine for a device and a number format. Fabric takes long to import, so it is used only if needed.

    Args:      device: auto, cpu, cuda, mps, or one of several devices, such as cuda:1. precision: 32-true, bf16-mixed,
               ...
    Raises:    InputError: there is no such device, or it does not support the number format.
    """
    if precision == "32-true" and (device == "cpu" or (device == "auto" and not _has_accelerator())):
        return PlainEngine()
    name, _, index = device.partition(":")
    try:
        from lightning_fabric import Fabric

        devices: list[int] | int = [int(index)] if index else 1
        return Fabric(accelerator=name, devices=devices, precision=precision)  # type: ignore[arg-type]
    except Exception as error:  # Fabric has its own errors; each means that this cannot be used
        raise InputError(f"device {device!r} cannot be used: {str(error).splitlines()[0]}") from error


def _has_accelerator() -> bool:
    return torch.accelerator.is_available() or find_spec("torch_xla") is not None

"""The size of a model, computed before memory is allocated."""

from __future__ import annotations

import threading
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from ancestral.core.errors import InputError
from ancestral.core.free_memory import available_memory

MOST_TENSORS = 5000
"""Largest number of parameter tensors; constructing thousands of them takes seconds."""
COPIES = 4
"""Memory of a parameter in training, in copies: value, gradient and two moments of the optimiser."""


def refuse_beyond_memory(what: str, make: Callable[[], nn.Module]) -> None:
    """Check that the training of a module fits in the available memory, before it is constructed.

    The module is constructed on the device "meta". The state of the random numbers does not change.

    Args:      what: the module, for the message. make: a constructor that does not read values of tensors.
    Raises:    InputError: too many parameter tensors, or too large ones; or any exception of `make`.
    """
    with torch.random.fork_rng(devices=[]), torch.device("meta"):
        module = _with_few_tensors(what, make)
    trained = sum(_bytes(parameter) for parameter in module.parameters())
    needed, free = COPIES * trained + sum(map(_bytes, module.buffers())), available_memory()
    if needed > free:
        raise InputError(
            f"not enough memory: training the {what} needs {needed / 1e9:.1f} GB, and {free / 1e9:.1f} GB are "
            "available: choose smaller sizes"
        )


def _bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()


def _with_few_tensors(what: str, make: Callable[[], nn.Module]) -> nn.Module:
    """Raises:    InputError: too many parameter tensors; raised during construction, as soon as the limit is
    reached."""
    # the hook is global, so other threads are excluded
    counted, thread = iter(range(MOST_TENSORS)), threading.get_ident()

    def count(module: nn.Module, name: str, parameter: nn.Parameter | None) -> None:
        if threading.get_ident() == thread and next(counted, None) is None:
            raise InputError(f"the {what} has more than {MOST_TENSORS:,} weight tensors: choose fewer layers")

    hook = register_module_parameter_registration_hook(count)
    try:
        return make()
    finally:
        hook.remove()

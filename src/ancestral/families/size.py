"""How large a model would be, computed before any memory is taken."""

from __future__ import annotations

import threading
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from ancestral.core.errors import InputError
from ancestral.core.free_memory import available_memory

MOST_TENSORS = 5000
"""Parameters in number, not in size: each is an object of its own, and thousands take seconds to construct."""
COPIES = 4
"""A parameter in training has a gradient and two moments of the optimiser beside its value."""


def refuse_beyond_memory(what: str, make: Callable[[], nn.Module]) -> None:
    """Construct a module without values, and refuse it if its training exceeds the available memory.

    The caller's random numbers stay as they were.

    Args:      what: the module, for the message. make: a constructor that reads no numbers out of tensors.
    Raises:    InputError: too many parameters, or too large ones; or whatever `make` raises.
    """
    with torch.random.fork_rng(devices=[]), torch.device("meta"):
        module = _with_few_tensors(what, make)
    trained = sum(_bytes(parameter) for parameter in module.parameters())
    needed, free = COPIES * trained + sum(map(_bytes, module.buffers())), available_memory()
    if needed > free:
        raise InputError(
            f"not enough memory: training the {what} takes {needed / 1e9:.1f} GB, and {free / 1e9:.1f} GB are "
            "available: lower its sizes"
        )


def _bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()


def _with_few_tensors(what: str, make: Callable[[], nn.Module]) -> nn.Module:
    """Raises:    InputError: as soon as there are too many parameters; the constructors need not come to their end."""
    counted, thread = iter(range(MOST_TENSORS)), threading.get_ident()  # the hook is that of the whole process

    def count(module: nn.Module, name: str, parameter: nn.Parameter | None) -> None:
        if threading.get_ident() == thread and next(counted, None) is None:
            raise InputError(f"the {what} has more than {MOST_TENSORS:,} weight tensors: lower its number of layers")

    hook = register_module_parameter_registration_hook(count)
    try:
        return make()
    finally:
        hook.remove()

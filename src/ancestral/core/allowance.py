"""Limits on the size of a model, so that a model file from an unknown source cannot use all memory or run for hours.

The weights file determines the size of the model. While the model is constructed, its description is checked against
that size: whole numbers and lists before anything is made; the number of layers and the size of each tensor when they
are registered. So a constructor cannot loop over more than 2^20 values or create very many layers.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.nn.modules.module import (
    register_module_buffer_registration_hook,
    register_module_module_registration_hook,
    register_module_parameter_registration_hook,
)

from ancestral.core.errors import InputError

MAX_DEPTH = 32
MAX_ENTRIES = 100_000  # values in a description; a flow of a hundred couplings has a few thousand
MAX_NUMBER = 1 << 20
MAX_SEED = 1 << 63
MAX_CONSTANTS = 1 << 24  # numbers in a buffer: masks, orders and states may be larger than the weights
SPARE_VALUES = 1024
SPARE_PARTS, PARTS_OF_A_TENSOR = 1_000, 10  # modules, parameters and buffers


@dataclass(frozen=True)
class Allowance:
    """The size of a model: how many tensors it has, how many numbers are in them, and its longest dimension."""

    tensors: int = 0
    values: int = 0
    longest: int = 0

    @classmethod
    def of(cls, stored: Iterable[Tensor]) -> Allowance:
        """The size of a model with these parameters and buffers."""
        shapes = [tuple(tensor.shape) for tensor in stored]
        longest = max((max(shape, default=1) for shape in shapes), default=0)
        return cls(len(shapes), sum(map(math.prod, shapes)), longest)

    def check(self, config: Any) -> None:
        """Check the numbers, the lists and the nesting of a description. No module is constructed.

        Raises:    InputError: something is too large; the message names the setting and its bound.
        """
        waiting, entries = [("the description", config, 0)], 0
        while waiting:
            name, value, depth = waiting.pop()
            entries += 1
            if depth > MAX_DEPTH:
                raise InputError(f"the model's description is nested more than {MAX_DEPTH} deep")
            if entries > MAX_ENTRIES:
                raise InputError(f"the model's description has more than {MAX_ENTRIES:,} values")
            if isinstance(value, dict):
                waiting += [(str(key), part, depth + 1) for key, part in value.items()]
            elif isinstance(value, (list, tuple)):
                waiting += [(name, part, depth + 1) for part in value[: MAX_ENTRIES + 1]]
            elif isinstance(value, int):
                self._check_number(name, value)

    def _check_number(self, name: str, value: int) -> None:
        most = MAX_SEED if "seed" in name else max(MAX_NUMBER, self.longest)
        if not -most <= value <= most:
            raise InputError(f"the model's description has a number above {most:,} at {name[:40]!r}: it does not fit")

    @contextmanager
    def enforced(self) -> Iterator[None]:
        """Context in which modules with more layers or larger tensors than the weights have cannot be constructed.

        Raises:    InputError: a constructor exceeds the limits.
        """
        thread = threading.get_ident()  # hooks apply to the whole process
        left = SPARE_PARTS + PARTS_OF_A_TENSOR * self.tensors

        def refuse(most: int | None) -> Any:
            def hook(module: nn.Module, name: str, part: nn.Module | Tensor | None) -> None:
                nonlocal left
                if threading.get_ident() != thread:
                    return
                left -= 1
                if left < 0:
                    raise InputError("the model's description does not fit its weights: it has too many layers")
                if isinstance(part, Tensor) and most is not None and part.numel() > most:
                    raise InputError(f"the model's description does not fit its weights: {name!r} is too large")

            return hook

        hooks = [
            register_module_module_registration_hook(refuse(None)),
            register_module_parameter_registration_hook(refuse(self.values + SPARE_VALUES)),
            register_module_buffer_registration_hook(refuse(self.values + MAX_CONSTANTS)),
        ]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

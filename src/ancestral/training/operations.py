"""The operations of a training step, to find out whether a recording of one step fits other steps."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from ancestral.data.pixels import Batch, Moment

READS = (torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape)
"""Marks of operations whose results the host has to read, such as `item` and `nonzero`."""

MASKS = (torch.bool, torch.uint8)
VALUES = (bool, int, float, complex, str, torch.dtype, torch.device)


class Operations(TorchDispatchMode):
    """Context that lists the operations of a step, those of its gradient and its update included.

    A recording repeats operations on the same memory with the same numbers of Python. So two steps must have the same
    list: names, shapes, number formats, numbers, and the addresses of tensors from outside of the step, such as
    weights. The tensors of the batch and those that the step makes may be anywhere.

    Args:      batch: of the step.
    Attributes: found: the list. obstacle: why the step cannot be recorded, "" if nothing is known.
    """

    def __init__(self, batch: Batch) -> None:
        super().__init__()
        self.found: list[tuple[Any, ...]] = []
        self.obstacle = ""
        inputs = [value for value in batch if isinstance(value, Tensor)]
        self._inputs = {_address(value): number for number, value in enumerate(inputs)}
        self._outside: set[int] = set()
        self._made: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        given = tree_leaves((args, kwargs))
        self.found.append((str(func), *map(self._described, given)))
        result = func(*args, **kwargs)
        made = [value for value in tree_leaves(result) if isinstance(value, Tensor)]
        self._made.update({_address(value) for value in made} - self._outside - set(self._inputs))
        if not self.obstacle:
            self.obstacle = _obstacle(func, given, made)
        return result

    def _described(self, value: Any) -> Any:
        if not isinstance(value, Tensor):
            return repr(value) if isinstance(value, VALUES) else type(value).__name__
        address = _address(value)
        place = "made" if address in self._made else self._inputs.get(address, -1)
        if place == -1:
            self._outside.add(address)
            place = f"at {address}"
        return place, tuple(value.shape), value.dtype


# torch wraps this method for its compiler, whose import takes seconds; nothing is compiled here
Operations.__torch_dispatch__ = inspect.unwrap(Operations.__torch_dispatch__)  # type: ignore[method-assign]


class WatchedMoment:
    """A `Moment` that states whether it was read. An objective that reads it has a schedule.

    Args:      moment: the position in the training.
    """

    def __init__(self, moment: Moment | None) -> None:
        self._moment, self.was_read = moment, False

    def _read(self) -> Any:
        self.was_read = True
        return self._moment

    def __getattr__(self, name: str) -> Any:
        return getattr(self._read(), name)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._read())

    def __getitem__(self, place: Any) -> Any:
        return self._read()[place]


def _address(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def read_by_host(func: Any, given: Sequence[Any]) -> bool:
    """Whether the host waits for the result of an operation. given: its arguments, without lists and tuples."""
    if func is torch.ops.aten.index.Tensor:  # only a mask selects a number of rows that the host has to know
        return any(isinstance(value, Tensor) and value.dtype in MASKS for value in given[1:])
    return any(mark in func.tags for mark in READS)


def _obstacle(func: Any, given: Sequence[Any], made: Sequence[Tensor]) -> str:
    """Why an operation cannot be recorded: the host waits for its result, or it copies from the host."""
    if read_by_host(func, given):
        return f"it reads results in Python ({func})"
    tensors = [value for value in (*given, *made) if isinstance(value, Tensor)]
    if len({tensor.device.type for tensor in tensors if tensor.dim()}) > 1:
        return f"it copies between devices ({func})"
    return ""

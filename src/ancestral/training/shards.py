"""Shards: a batch is divided into parts of fixed size, whose contributions are summed in the order of the shards.

So the result of a step depends on the number of shards and not on the number of processes that compute them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ancestral.core.dividing import ALONE, Alone
from ancestral.core.errors import InputError
from ancestral.core.random import seed_device, seed_for
from ancestral.data.pixels import Batch
from ancestral.distributions.bijections import ActNorm
from ancestral.training.objectives import Terms

Sums = list[Tensor | None]
HEAD = 8  # bytes before the contributions of a process; the first states whether it was asked to stop


class Part(NamedTuple):
    """A shard of a batch.

    Args:      batch: its images. number: of the shard. whole: number of images of the whole batch.
    """

    batch: Batch
    number: int
    whole: int

    def mean(self, values: Tensor) -> Tensor:
        """The sum of values of its images over the number of images of the whole batch."""
        return values.mean() if len(values) == self.whole else values.sum() / self.whole


Contribution = Callable[[Part], tuple[Terms, Sums]]


class Shards:
    """Divides batches into shards, deals the shards to processes and sums their contributions.

    Args:      count: S, number of shards. processes: that compute them. seed: of the run; each shard of each step has
               its own random numbers.
    """

    def __init__(self, count: int = 1, processes: Alone = ALONE, seed: int = 0) -> None:
        self.count, self.processes, self.seed = count, processes, seed
        self._stop: threading.Event | None = None
        self._agreed = False

    def __deepcopy__(self, memo: dict[int, Any]) -> Shards:
        return Shards(self.count, ALONE, self.seed)  # for a trial step of one process

    def tell_of(self, stop: threading.Event) -> None:
        """From now on, tell the other processes with each contribution whether this one was asked to stop."""
        if self.processes.world > 1:
            self._stop = stop

    def stopping(self, stop: threading.Event) -> bool:
        """Whether to stop after this step: with several processes, all give the same answer at the same step."""
        return self._agreed if self.processes.world > 1 else stop.is_set()

    def rows(self, images: int) -> list[tuple[int, int]]:
        """First and last row (not included) of each shard of a batch.

        The sizes differ by at most 1. A batch with fewer images than shards leaves the last shards empty.

        Example:
            >>> Shards(4).rows(10), Shards(4).rows(2)
            ([(0, 3), (3, 6), (6, 8), (8, 10)], [(0, 1), (1, 2), (2, 2), (2, 2)])
        """
        size, more = divmod(images, self.count)
        ends = [s * size + min(s, more) for s in range(self.count + 1)]
        return list(pairwise(ends))

    def sum(
        self, batch: Batch, step: int, contribution: Contribution, module: nn.Module | None = None, phase: str = ""
    ) -> tuple[Terms, Sums]:
        """The terms of all images of a batch, and the sums of the contributions of its shards.

        With one shard, this is `contribution` of the batch. Otherwise each shard starts with its own random seed and
        with equal buffers of the module; the new buffers are the means over the images of the shards.

        Args:      batch: all images. step: its number. contribution: (shard) -> terms of its images, and tensors to
                   sum. module: its saved buffers may change in a step. phase: name of a part of the step.
        """
        if self.count == 1:
            return contribution(Part(batch, 0, len(batch.x)))
        rows = self.rows(len(batch.x))
        own = [s for s in range(self.processes.rank, self.count, self.processes.world) if rows[s][0] < rows[s][1]]
        buffers = _Buffers(module)
        packed, form = [], _Form()
        for s in own or [0]:  # a process without a shard computes the first one, because it needs the form of the terms
            buffers.reset()
            seed_device(batch.x.device, seed_for(self.seed, "step", step, s, *([phase] if phase else [])))
            first, last = rows[s]
            terms, sums = contribution(Part(batch.rows(slice(first, last)), s, len(batch.x)))
            share = (last - first) / len(batch.x)
            packed.append(form.pack(terms, sums, buffers.values(share), rows[0][1] - rows[0][0]))
        everything = self._exchange(packed if own else [torch.zeros_like(packed[0])], rows)
        terms, sums, means = form.total(everything, [last - first for first, last in rows])
        buffers.set(means)
        return terms, sums

    def _exchange(self, packed: list[Tensor], rows: list[tuple[int, int]]) -> list[Tensor]:
        """The packed contributions of all shards that have images, in their order."""
        if self.processes.world == 1:
            return packed
        slots = -(-self.count // self.processes.world)
        head = packed[0].new_zeros(HEAD)
        head[0] = int(self._stop is not None and self._stop.is_set())
        empty = [torch.zeros_like(packed[0])] * (slots - len(packed))
        found = self.processes.gather(torch.cat([head, *packed, *empty]))
        self._agreed = self._agreed or any(bool(one[0]) for one in found)
        size, world = len(packed[0]), self.processes.world
        used = [s for s, (first, last) in enumerate(rows) if first < last]
        return [found[s % world][HEAD + s // world * size :][:size] for s in used]


WHOLE = Shards()
"""One shard, which is the whole batch."""


def add_to(totals: Iterable[Tensor], sums: Sequence[Tensor | None]) -> None:
    """Add the sums of a step to running totals, in place; None adds nothing."""
    for total, more in zip(totals, sums, strict=True):
        if more is not None:
            total += more


def put_gradients(weights: Sequence[nn.Parameter], gradients: Sums) -> None:
    """Set the gradients of weights."""
    for weight, gradient in zip(weights, gradients, strict=True):
        if weight.grad is gradient:
            continue
        if gradient is not None and gradient.stride() != weight.stride():  # fused optimisers need the same layout
            gradient = torch.empty_like(weight).copy_(gradient)
        weight.grad = gradient


def settle(module: nn.Module, forward: Callable[[], Any]) -> None:
    """Let layers that initialise themselves from their first batch do so with a whole batch, not with one shard."""
    if any(isinstance(part, ActNorm) and not bool(part.initialised) for part in module.modules()):
        with torch.no_grad():
            forward()


def refuse_shards(count: int, world: int, batch_size: int) -> None:
    """Raises:    InputError: there are fewer shards than processes, or more than images in a batch."""
    if count < world:
        raise InputError(
            f"{world - count} of {world} processes have nothing to do, because this run has --shards {count}: give at "
            f"most {count} processes, or train a new run with --shards {world}"
        )
    if count > batch_size:
        raise InputError(f"--shards {count}: a batch has only {batch_size} images: give at most {batch_size} shards")


def refuse_undivided(step: Any, count: int) -> None:
    """Raises:    InputError: the step of a plug-in does not state that it divides its batches."""
    if count > 1 and not getattr(step, "divides", False):
        name = type(getattr(step, "step", step)).__name__
        raise InputError(
            f"--shards {count}: the step {name} does not divide its batches: train on one process without --shards"
        )


class _Buffers:
    """The saved buffers of a module, such as the statistics of a batch normalisation."""

    def __init__(self, module: nn.Module | None) -> None:
        found = [] if module is None else list(module.modules())
        self.places = [
            (part, name)
            for part in found
            for name, buffer in part._buffers.items()
            if buffer is not None and name not in part._non_persistent_buffers_set
        ]
        self.before = [getattr(part, name).detach().clone() for part, name in self.places]

    def reset(self) -> None:
        """Set them to their values before the step."""
        self.set(self.before)

    def values(self, share: float) -> list[Tensor]:
        """Their present values; real numbers times the share of the shard in the images."""
        present = [getattr(part, name).detach() for part, name in self.places]
        return [value * share if value.is_floating_point() else value.clone() for value in present]

    def set(self, values: Sequence[Tensor]) -> None:
        for (part, name), value in zip(self.places, values, strict=True):
            # .data: graphs of the same step may need the buffer, and do not depend on these numbers
            getattr(part, name).data.copy_(value)


class _Form:
    """The shapes of a contribution, to store it as bytes and back. All shards of a step have the same form."""

    def __init__(self) -> None:
        self.terms: list[tuple[str, torch.dtype]] = []
        self.sums: list[tuple[torch.Size, torch.dtype] | None] = []
        self.buffers: list[tuple[torch.Size, torch.dtype]] = []
        self.rows = 0

    def pack(self, terms: Terms, sums: Sums, buffers: list[Tensor], rows: int) -> Tensor:
        """One contribution as bytes. Terms are filled up to `rows`, the number of images of the largest shard."""
        self.terms = [(name, term.dtype) for name, term in terms.items()]
        self.sums = [None if one is None else (one.shape, one.dtype) for one in sums]
        self.buffers = [(one.shape, one.dtype) for one in buffers]
        self.rows = rows
        filled = [torch.cat([term.detach(), term.new_zeros(rows - len(term))]) for term in terms.values()]
        return torch.cat([_bytes(one) for one in (*filled, *(one for one in sums if one is not None), *buffers)])

    def total(self, packed: list[Tensor], rows: list[int]) -> tuple[Terms, Sums, list[Tensor]]:
        """The terms of all images, and sums and buffers added up in the order of the shards."""
        used = [count for count in rows if count]
        kept, place = {}, 0
        for name, dtype in self.terms:
            parts = [_tensor(one, place, torch.Size([self.rows]), dtype)[0] for one in packed]
            kept[name] = torch.cat([part[:count] for part, count in zip(parts, used, strict=True)])
            place = _tensor(packed[0], place, torch.Size([self.rows]), dtype)[1]
        sums: Sums = []
        for described in self.sums:
            if described is None:
                sums.append(None)
                continue
            one, place = self._added(packed, place, *described)
            sums.append(one)
        buffers = []
        for shape, dtype in self.buffers:
            one, place = self._added(packed, place, shape, dtype)
            buffers.append(one)
        return kept, sums, buffers

    @staticmethod
    def _added(packed: list[Tensor], place: int, shape: torch.Size, dtype: torch.dtype) -> tuple[Tensor, int]:
        parts = [_tensor(one, place, shape, dtype) for one in packed]
        total = parts[0][0].clone()
        if dtype.is_floating_point:  # other buffers count steps, equally for all shards
            for part, _ in parts[1:]:
                total += part
        return total, parts[0][1]


def _bytes(values: Tensor) -> Tensor:
    """The bytes of a tensor, filled up to a multiple of 8."""
    flat = values.detach().contiguous().reshape(-1).view(torch.uint8)
    lacking = -len(flat) % HEAD
    return torch.cat([flat, flat.new_zeros(lacking)]) if lacking else flat


def _tensor(packed: Tensor, place: int, shape: torch.Size, dtype: torch.dtype) -> tuple[Tensor, int]:
    """A tensor from bytes at a place, and the place after it."""
    size = shape.numel() * dtype.itemsize
    values = packed[place : place + size].view(dtype).view(shape)
    return values, place + size + -size % HEAD

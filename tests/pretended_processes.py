"""Processes that divide work, pretended in one process, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TypeVar

from torch import Tensor

from ancestral.core.dividing import Alone

T = TypeVar("T")


class Unanswered(Exception):
    """The other processes have not computed this message yet."""


class Pretends(Alone):
    """One of several processes. `known` are the messages of all, in the order in which they are exchanged."""

    def __init__(self, rank: int, world: int, known: Sequence[Sequence[Tensor]] = ()) -> None:
        self.rank, self.world, self.known = rank, world, known
        self.exchanged = 0

    def gather(self, own: Tensor) -> Sequence[Tensor]:
        if self.exchanged == len(self.known):
            self.unanswered = own
            raise Unanswered
        self.exchanged += 1
        return self.known[self.exchanged - 1]


def of_all(world: int, work: Callable[[Alone], T]) -> list[T]:
    """The result of work in each of several processes. Each does it anew after every message that they exchange."""
    known: list[list[Tensor]] = []
    while True:
        processes, found = [Pretends(rank, world, known) for rank in range(world)], []
        for one in processes:
            with suppress(Unanswered):
                found.append(work(one))
        if len(found) == world:
            return found
        assert not found  # all wait for the same message
        known.append([one.unanswered for one in processes])

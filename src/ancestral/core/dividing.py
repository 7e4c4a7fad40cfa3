"""Work that is divided among processes: blocks of rows, of which each process computes some. One process by default.

Block number k is computed by the process of rank k modulo their number. Each process then has the rows of all. What a
block contains must depend on its number only, so that results do not depend on the number of processes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor


class Alone:
    """One process: nothing is exchanged."""

    rank, world = 0, 1
    engine: Any = None

    @property
    def first(self) -> bool:
        """Whether this process writes and prints."""
        return self.rank == 0

    def gather(self, own: Tensor) -> Sequence[Tensor]:
        """The tensors of all processes, in the order of their ranks. All have the shape and type of this one."""
        return [own]

    def from_first(
        self, make: Callable[[], tuple[dict[str, Tensor], dict[str, Any]]]
    ) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """The tensors and JSON facts that `make` returns in the first process; it is called only there."""
        return make()

    def barrier(self) -> None:
        """Wait until all processes are here."""

    def own(self, blocks: int) -> list[int]:
        """The numbers of the blocks that this process computes, ascending; none if there are too few blocks."""
        return list(range(self.rank, blocks, self.world))

    def needed(self, count: int, block: int) -> list[int]:
        """The numbers of the blocks whose values `rows` needs from this process.

        They are its own blocks; without one, the last block, because the shape of the values must be known.
        """
        blocks = max(1, -(-count // block))
        return self.own(blocks) or [blocks - 1]

    def rows(self, values: Iterable[Tensor], count: int, block: int, dtype: torch.dtype | None = None) -> Tensor:
        """The rows of all blocks, shape (count, ...), from the values of the blocks `needed(count, block)`.

        Args:      values: of each block, shape (block, ...); the last block may have fewer rows. dtype: of the result;
                   None: that of the values.
        """
        most = -(-max(1, -(-count // block)) // self.world)  # blocks of one process
        kept: Tensor | None = None  # one tensor: a small one for each block would split the memory that blocks reuse
        for number, found in zip(self.needed(count, block), values, strict=True):
            if kept is None:
                kept = found.new_zeros(min(count, most * block), *found.shape[1:], dtype=dtype or found.dtype)
            if number % self.world == self.rank:
                first = number // self.world * block
                kept[first : first + len(found)] = found
        assert kept is not None  # at least one block is needed
        if self.world == 1:
            return kept
        parts = [one.split(block) for one in self.gather(kept)]
        ordered = [parts[number % self.world][number // self.world] for number in range(-(-count // block))]
        return torch.cat([part[: count - number * block] for number, part in enumerate(ordered)] or [kept[:0]])

    def share(self, rows: Tensor, block: int) -> Tensor:
        """The rows of the blocks `needed(len(rows), block)`, one block after the other."""
        if self.world == 1:
            return rows
        return torch.cat([rows[n * block : (n + 1) * block] for n in self.needed(len(rows), block)])

    def collect(self, own: Sequence[bytes], jobs: int) -> list[bytes]:
        """The results of all jobs in their order, from those of the jobs `own(jobs)`."""
        if self.world == 1:
            return list(own)
        sizes = torch.zeros(-(-jobs // self.world), dtype=torch.long)
        sizes[: len(own)] = torch.tensor([len(one) for one in own], dtype=torch.long)
        of_each = [one.tolist() for one in self.gather(sizes)]
        content = torch.zeros(max(1, *map(sum, of_each)), dtype=torch.uint8)
        joined = bytearray(b"".join(own))
        if joined:
            content[: len(joined)] = torch.frombuffer(joined, dtype=torch.uint8)
        parts = [
            [part.numpy().tobytes() for part in one[: sum(lengths)].split(lengths)]
            for one, lengths in zip(self.gather(content), of_each, strict=True)
        ]
        return [parts[number % self.world][number // self.world] for number in range(jobs)]

    def done(self, number: int, block: int, count: int) -> int:
        """The number of rows that are done after this block, if all processes are equally fast."""
        return min(count, (number // self.world + 1) * self.world * block)


ALONE = Alone()
_present: Alone = ALONE


def present() -> Alone:
    """The processes among which work is divided at the moment; one process outside of `dividing`."""
    return _present


@contextmanager
def dividing(processes: Alone) -> Iterator[None]:
    """Context in which independent blocks of work are divided among processes. All processes must do the same work."""
    global _present
    before, _present = _present, processes
    try:
        yield
    finally:
        _present = before


def in_blocks(
    count: int, block: int, value: Callable[[int, slice], Tensor], done: Callable[[int], None] | None = None
) -> Tensor:
    """`value(number, rows)` of the blocks of `count` rows, shape (count, ...); divided inside of `dividing`.

    Args:      value: the values of the rows of one block, shape (rows, ...). done: called with the number of rows that
               are done.
    """
    processes = present()

    def values() -> Iterator[Tensor]:
        for number in processes.needed(count, block):
            yield value(number, slice(number * block, min(count, (number + 1) * block)))
            if done:
                done(processes.done(number, block, count))

    return processes.rows(values(), count, block)

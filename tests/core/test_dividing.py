"""Blocks of work that are divided among processes; the processes are pretended, one after the other."""

from __future__ import annotations

from contextlib import suppress

import pytest
import torch
from pretended_processes import Pretends, Unanswered, of_all
from torch import Tensor

from ancestral.core.dividing import ALONE, Alone, dividing, in_blocks, present


@pytest.mark.parametrize("count", [0, 1, 4, 5, 12, 15, 17])
@pytest.mark.parametrize("world", [1, 2, 3, 7])
def test_rows_of_blocks_do_not_depend_on_the_number_of_processes(count: int, world: int) -> None:
    computed: list[int] = []

    def value(number: int, rows: slice) -> Tensor:
        computed.append(number)
        return torch.arange(rows.start, rows.stop)[:, None] + 100 * number

    def work(processes: Alone) -> Tensor:
        with dividing(processes):
            return in_blocks(count, 5, value)

    expected = (torch.arange(count) + 100 * (torch.arange(count) // 5))[:, None]
    assert all(torch.equal(found, expected) for found in of_all(world, work))
    computed.clear()
    with suppress(Unanswered):
        work(Pretends(0, world) if world > 1 else ALONE)
    assert computed == list(range(0, max(1, -(-count // 5)), world))  # its own blocks only
    assert present() is ALONE


@pytest.mark.parametrize("jobs", [0, 1, 3, 8])
def test_results_of_jobs_are_in_their_order(jobs: int) -> None:
    expected = [b"x" * (7 * number % 5) + bytes([number]) for number in range(jobs)] + [b""][: jobs == 8]

    def work(processes: Alone) -> list[bytes]:
        return processes.collect([expected[number] for number in processes.own(len(expected))], len(expected))

    for world in (1, 2, 3):
        assert of_all(world, work) == [expected] * world


def test_shared_rows_are_those_of_the_needed_blocks() -> None:
    rows = torch.arange(11)
    assert Pretends(1, 2).share(rows, 3).tolist() == [3, 4, 5, 9, 10]
    assert Pretends(4, 5).share(rows, 3).tolist() == [9, 10]  # no block of its own: the last one, for its shape
    assert ALONE.share(rows, 3) is rows

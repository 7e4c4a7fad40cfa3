"""The place of this process among several that do one job, read from the environment. Nothing heavy is imported."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import NamedTuple

TORCHRUN, SLURM, FABRIC = "torchrun", "SLURM", "Lightning Fabric"
LAUNCHING = ("train", "evaluate", "sample", "quality", "compress", "decompress")
"""Commands that may start the other processes: each of these executes the same command line again."""
_can_launch = False
_stderr: int | None = None


class Place(NamedTuple):
    """Rank of this process, number of processes, number of processes on each machine, and what started them."""

    rank: int
    world: int
    per_machine: int
    starter: str


def place() -> Place | None:
    """The place that torchrun, SLURM's srun or Lightning Fabric gave to this process; None for a process on its own.

    In a SLURM job, only the processes of srun count: a batch script itself is one process.
    """
    if "TORCHELASTIC_RUN_ID" in os.environ:
        found = Place(_number("RANK"), _number("WORLD_SIZE"), _number("LOCAL_WORLD_SIZE"), TORCHRUN)
        return found if found.world > 1 else None
    tasks, world = _number("SLURM_STEP_NUM_TASKS"), _number("WORLD_SIZE")
    if tasks > 1 and "SLURM_PROCID" in os.environ:
        return Place(_number("SLURM_PROCID"), tasks, -(-tasks // max(1, _number("SLURM_STEP_NUM_NODES", 1))), SLURM)
    if world > 1 and "LOCAL_RANK" in os.environ:
        return Place(_number("LOCAL_RANK"), world, world, FABRIC)
    return None


def _number(name: str, default: int = 0) -> int:
    value = os.environ.get(name, "")
    return int(value) if value.isdigit() else default


def allow_launch(words: list[str]) -> None:
    """Note that this process is a command that the other processes can execute again."""
    global _can_launch
    _can_launch = bool(words) and words[0] in LAUNCHING


def can_launch() -> bool:
    return _can_launch


def silence_others() -> None:
    """Discard everything that any process except that of rank 0 prints; `last_words` is the exception."""
    global _stderr
    found = place()
    if found is None or found.rank == 0:
        return
    _stderr = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(nowhere, stream)


def last_words(line: str) -> None:
    """Print a line on the stderr that this process had before `silence_others`."""
    with suppress(OSError):  # the terminal may be gone
        sys.stderr.flush()
        os.write(2 if _stderr is None else _stderr, f"ancestral: {' '.join(line.split())}\n".encode())

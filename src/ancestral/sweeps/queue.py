"""What several workers of a sweep share: a folder with locks, of which every worker takes one trial at a time.

A worker is a process with the sweep's folder, on this machine or another. Two locks keep workers apart, and the
system lets go of both when a process ends, in any way. That of the folder is held for the moment in which a trial is
taken. The claim, one for each trial, is held while it is trained.
"""

from __future__ import annotations

import secrets
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import filelock

from ancestral.core.errors import InputError
from ancestral.core.files import read_json, write_json
from ancestral.sweeps.plan import Plan, seeds_of
from ancestral.sweeps.sweep_axes import folder_name

RECORD = "sweep.json"


@dataclass(frozen=True)
class Claim:
    """A trial that this worker has taken.

    Args:      number: of the trial. values: of the settings that vary. seeds: of the runs that it consists of.
    """

    number: int
    values: dict[str, Any]
    seeds: tuple[int, ...]
    lock: filelock.BaseFileLock


class Queue(ABC):
    """The waiting, running and finished trials of a plan, the same for all who open it.

    Args:      plan: checked already.
    Raises:    InputError: the folder holds something else.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        refuse_strangers(plan)
        plan.out.mkdir(parents=True, exist_ok=True)
        self.lock = filelock.FileLock(plan.out / ".lock")
        with self.lock:
            record = plan.out / RECORD
            if not record.exists():
                write_json(record, {"name": f"{plan.out.resolve().name}-{secrets.token_hex(4)}"})
            self.name = str(read_json(record)["name"])

    @abstractmethod
    def take(self) -> Claim | None:
        """The next trial, which is then this worker's; None where all are finished, or under way elsewhere."""

    @abstractmethod
    def tell(self, claim: Claim, value: float | None) -> None:
        """The trial is finished.

        Args:      value: to be minimised; infinite where it diverged, None where there is none.
        """

    @abstractmethod
    def drawn(self) -> list[dict[str, Any]]:
        """The combinations of the trials, in the order they were taken, each once."""

    @property
    @abstractmethod
    def finished(self) -> int:
        """How many trials are finished."""

    @property
    @abstractmethod
    def total(self) -> int:
        """How many trials there are."""

    @contextmanager
    def working(self, claim: Claim) -> Iterator[None]:
        """Lets go of the claim at the end, however it comes."""
        try:
            yield
        finally:
            claim.lock.release()

    def claim(self, number: int, values: dict[str, Any], seeds: tuple[int, ...]) -> Claim | None:
        """Take a trial; None where another worker has it."""
        folder = self.plan.out / "claims"
        folder.mkdir(exist_ok=True)
        lock = filelock.FileLock(folder / f"{folder_name({**values, 'seed': seeds[0]})}.lock")
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout:
            return None
        return Claim(number, values, seeds, lock)


class Grid(Queue):
    """All combinations of a plan's values, one run a trial. What is finished is read from the run folders alone."""

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan)
        self._runs: list[tuple[dict[str, Any], int]] = list(seeds_of(plan, plan.combinations))
        self._waiting = dict.fromkeys(range(len(self._runs)))

    def take(self) -> Claim | None:
        for number in list(self._waiting):
            values, seed = self._runs[number]
            if self._is_finished(number):
                continue
            claim = self.claim(number, values, (seed,))
            if claim is None:
                continue
            if not self._is_finished(number):  # another worker may have ended it before the claim
                return claim
            claim.lock.release()
        return None

    def tell(self, claim: Claim, value: float | None) -> None:
        self._waiting.pop(claim.number, None)

    def drawn(self) -> list[dict[str, Any]]:
        return self.plan.combinations

    @property
    def finished(self) -> int:
        return self.total - sum(not self._is_finished(number) for number in list(self._waiting))

    @property
    def total(self) -> int:
        return len(self._runs)

    def _is_finished(self, number: int) -> bool:
        """Whether the run of a trial has ended; one that has does not wait any longer."""
        if number in self._waiting and self.plan.run(*self._runs[number]).finished:
            del self._waiting[number]
        return number not in self._waiting


def refuse_strangers(plan: Plan) -> None:
    """Raises:    InputError: the folder has files and is no sweep's."""
    if plan.out.exists() and not plan.out.is_dir():
        raise InputError(f"{plan.out} is a file: choose another --out")
    if not plan.out.is_dir() or (plan.out / RECORD).exists():
        return
    if any(not path.name.startswith(".") for path in plan.out.iterdir()):
        raise InputError(f"{plan.out} is not empty and not a sweep: choose another --out")

"""The queue of a sweep: a shared folder with locks, from which every worker takes one trial at a time.

A worker is a process on this or another machine that uses the folder of the sweep. There are two kinds of locks; the
system releases both when a process ends. The lock of the folder is held while a trial is taken. The lock of a trial
(its claim) is held while it is trained.
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

    Args:      number: of the trial. values: of the settings that vary. seeds: of its runs. lock: of the trial.
    """

    number: int
    values: dict[str, Any]
    seeds: tuple[int, ...]
    lock: filelock.BaseFileLock


class Queue(ABC):
    """The waiting, running and finished trials of a plan, shared by all workers.

    Args:      plan: already checked.
    Raises:    InputError: the folder contains other files.
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
        """Take the next trial; None if all are finished or taken by other workers."""

    @abstractmethod
    def tell(self, claim: Claim, value: float | None) -> None:
        """Report that a trial is finished.

        Args:      claim: the trial. value: to be minimised; infinite if the trial diverged, None without a value.
        """

    @abstractmethod
    def drawn(self) -> list[dict[str, Any]]:
        """The distinct combinations of the trials, in the order in which they were taken."""

    @property
    @abstractmethod
    def finished(self) -> int:
        """The number of finished trials."""

    @property
    @abstractmethod
    def total(self) -> int:
        """The number of trials."""

    @contextmanager
    def working(self, claim: Claim) -> Iterator[None]:
        """Release the claim at the end, also after an exception."""
        try:
            yield
        finally:
            claim.lock.release()

    def claim(self, number: int, values: dict[str, Any], seeds: tuple[int, ...]) -> Claim | None:
        """Take a trial; None if another worker has it."""
        folder = self.plan.out / "claims"
        folder.mkdir(exist_ok=True)
        lock = filelock.FileLock(folder / f"{folder_name({**values, 'seed': seeds[0]})}.lock")
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout:
            return None
        return Claim(number, values, seeds, lock)


class Grid(Queue):
    """All combinations of a plan, one run per trial. The run folders show which trials are finished."""

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
            if not self._is_finished(number):  # another worker may have finished it before the claim
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
        """Whether the run of a trial is finished; a finished one is removed from the waiting trials."""
        if number in self._waiting and self.plan.run(*self._runs[number]).finished:
            del self._waiting[number]
        return number not in self._waiting


def refuse_strangers(plan: Plan) -> None:
    """Raises:    InputError: the folder has files and is not the folder of a sweep."""
    if plan.out.exists() and not plan.out.is_dir():
        raise InputError(f"{plan.out} is a file: choose another --out")
    if not plan.out.is_dir() or (plan.out / RECORD).exists():
        return
    if any(not path.name.startswith(".") for path in plan.out.iterdir()):
        raise InputError(f"{plan.out} is not empty and not a sweep folder: choose another --out")

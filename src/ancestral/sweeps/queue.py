"""The queue of a sweep, from which every worker takes one trial at a time."""

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
from ancestral.settings.training import TrainingSettings
from ancestral.sweeps.claims import Claims, Entry
from ancestral.sweeps.plan import Plan, in_words, seeds_of
from ancestral.sweeps.sweep_axes import folder_name

RECORD = "sweep.json"


@dataclass(frozen=True)
class Claim:
    """A trial that this worker has taken.

    Args:      number: of the trial. values: of the settings that vary. seeds: of its runs. entry: as readers know it.
               lock: of the trial.
    """

    number: int
    values: dict[str, Any]
    seeds: tuple[int, ...]
    entry: Entry
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
        self.claims = Claims(plan.out)
        self.lock = self.claims.lock
        with self.lock:
            record = plan.out / RECORD
            if not record.exists():
                name = f"{plan.out.resolve().name}-{secrets.token_hex(4)}"
                write_json(record, {"name": name, "family": plan.family, "axes": sorted(plan.axes)})
            self.name = str(read_json(record)["name"])

    @abstractmethod
    def take(self) -> Claim | None:
        """Take the next trial; None if all are finished, failed or taken by other workers."""

    @abstractmethod
    def tell(self, claim: Claim, value: float | None) -> None:
        """Report that a trial is finished.

        Args:      claim: the trial. value: to be minimised; infinite if the trial diverged, None without a value.
        """

    @abstractmethod
    def drawn(self) -> list[dict[str, Any]]:
        """The distinct combinations of the trials, in the order in which they were taken."""

    @abstractmethod
    def entries(self) -> list[Entry]:
        """The trials that are known from the start."""

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
        """Take a trial; None if another worker has it, or if it has failed."""
        entry = self.entry(values, seeds)
        lock = self.claims.take(entry)
        return None if lock is None else Claim(number, values, seeds, entry, lock)

    def entry(self, values: dict[str, Any], seeds: tuple[int, ...]) -> Entry:
        """The record of a trial of some values and seeds."""
        folders = tuple(self.plan.run(values, seed).path.relative_to(self.plan.out).as_posix() for seed in seeds)
        title = in_words({**values, "seed": seeds[0]} if len(seeds) == 1 else values)
        epochs = {**self.plan.base, **values}.get("epochs", TrainingSettings().epochs)
        return Entry(folder_name({**values, "seed": seeds[0]}), title, folders, int(epochs))


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

    def entries(self) -> list[Entry]:
        return [self.entry(values, (seed,)) for values, seed in self._runs]

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
    """Raises:    InputError: the folder has files and is not the folder of a sweep of these axes."""
    if plan.out.exists() and not plan.out.is_dir():
        raise InputError(f"{plan.out} is a file: choose another --out")
    if not plan.out.is_dir():
        return
    if (plan.out / RECORD).exists():
        _refuse_other_axes(plan)
    elif any(not path.name.startswith(".") for path in plan.out.iterdir()):
        raise InputError(f"{plan.out} is not empty and not a sweep folder: choose another --out")


def _refuse_other_axes(plan: Plan) -> None:
    """Raises:    InputError: the sweep in the folder is of another family, or varies other settings."""
    record = read_json(plan.out / RECORD)
    known = record.get("family", plan.family), record.get("axes", sorted(plan.axes))  # early sweeps have neither
    if known == (plan.family, sorted(plan.axes)):
        return
    varied = " and ".join(name.replace("_", " ") for name in known[1]) or "only the seed"
    raise InputError(f"{plan.out} contains a sweep of {known[0]} that varies {varied}: choose another --out")

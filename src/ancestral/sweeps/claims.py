"""The claims of workers on trials: a shared folder with locks, and a file that says who trains what since when.

A worker is a process on this or another machine that uses the folder. There are two kinds of locks; the system releases
both when a process ends. The lock of the folder is held while a trial is taken, and while locks are examined. The lock
of a trial (its claim) is held while it is trained.
"""

from __future__ import annotations

import os
import socket
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import filelock

from ancestral.core.errors import InputError, Interrupted
from ancestral.core.files import read_json, write_json

LISTING = "queue.json"
PAGE_LOCK = ".page.lock"  # no trial has such a name
JOB_NUMBERS = (("SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID"), ("SLURM_JOB_ID",), ("SUBMITIT_LOCAL_JOB_ID",))
"""Variables with the number of a job; an element of an array has two."""


@dataclass(frozen=True)
class Entry:
    """A trial.

    Args:      name: of its lock. title: in words. runs: folders, relative to the folder of the queue. epochs: of a run.
    """

    name: str
    title: str
    runs: tuple[str, ...]
    epochs: int


@dataclass(frozen=True)
class Listing:
    """What a queue holds, for readers without its settings.

    Args:      title: of the sweep or study. command: that continues it. total: number of trials. entries: the trials
               that are known from the start; those of a search are known once they are taken.
    """

    title: str
    command: str
    total: int
    entries: tuple[Entry, ...]


@dataclass(frozen=True)
class Taken:
    """The last claim on a trial.

    Args:      entry: the trial. worker: who took it. since: when, in ISO format. failure: the error that ended the
               work, else "".
    """

    entry: Entry
    worker: str
    since: str
    failure: str = ""


class Claims:
    """The claims in a folder. Reading changes nothing.

    Args:      folder: of the sweep or study.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.path = folder, folder / "claims"
        self.lock = filelock.FileLock(folder / ".lock")

    def announce(self, listing: Listing) -> None:
        """Write the list of trials, for `listing`."""
        self.folder.mkdir(parents=True, exist_ok=True)
        record, path = asdict(listing), self.folder / LISTING
        with self.lock:
            write_json(path, record)

    def listing(self) -> Listing:
        """The list of trials.

        Raises:    InputError: the folder has none, or it is damaged.
        """
        path = self.folder / LISTING
        if not path.exists():
            raise InputError(f"{self.folder} has no sweep and no study: it has no {LISTING}")
        try:
            record = read_json(path)
            return Listing(**{**record, "entries": tuple(map(_entry, record["entries"]))})
        except (TypeError, KeyError) as error:
            raise InputError(f"{path} is damaged: repeat the command of the sweep or study, which writes it") from error

    def take(self, entry: Entry) -> filelock.BaseFileLock | None:
        """Take a trial; None if another worker has it, or if it has failed."""
        self.path.mkdir(parents=True, exist_ok=True)
        with self.lock:
            lock = None if self._has_failed(entry.name) else _acquired(self.path / f"{entry.name}.lock")
        if lock is not None:
            self._write(Taken(entry, worker_name(), _now()))
        return lock

    def fail(self, entry: Entry, failure: str) -> None:
        """Record that the work on a trial, which this worker has, ended with an error. No worker takes it again."""
        self._write(Taken(entry, worker_name(), _now(), failure or "no reason given"))

    @contextmanager
    def recording_failure(self, entry: Entry, say: Callable[[str], None]) -> Iterator[None]:
        """Record an error of the work on a trial in place of raising it, except an interruption.

        Args:      say: shows a line.
        """
        try:
            yield
        except Interrupted:
            raise
        except Exception as error:  # whatever ends one training must not end the others
            line = f"{type(error).__name__}: {' '.join(str(error).split())}"
            traceback.print_exc()
            self.fail(entry, line)
            say(f"{entry.title}: failed: {line}")

    @contextmanager
    def page(self, wait: bool = True) -> Iterator[bool]:
        """Let one worker at a time write the page.

        Args:      wait: wait for another worker that writes it.
        Returns:   whether this worker may write the page; without waiting, another one may be writing it.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        if wait:
            with filelock.FileLock(self.path / PAGE_LOCK):
                yield True
            return
        with self.lock:
            lock = _acquired(self.path / PAGE_LOCK)
        try:
            yield lock is not None
        finally:
            if lock is not None:
                lock.release()

    def retry_failed(self) -> None:
        """Forget which trials have failed, so that workers take them again."""
        with self.lock:
            for taken in self.failed():
                (self.path / f"{taken.entry.name}.json").unlink(missing_ok=True)

    def failed(self) -> list[Taken]:
        """The trials whose last work ended with an error."""
        return [taken for taken in self.taken() if taken.failure]

    def taken(self) -> list[Taken]:
        """The last claim on each trial that was ever taken, the first one first; damaged records are left out."""
        found = []
        for path in self.path.glob("*.json"):
            try:
                record = read_json(path)
                found.append(Taken(**{**record, "entry": _entry(record["entry"])}))
            except (InputError, TypeError, KeyError):
                continue
        return sorted(found, key=lambda one: (one.since, one.entry.name))

    def held(self, names: Iterable[str]) -> set[str]:
        """The names of trials that a living process has."""
        return {name for name in names if self._is_held(self.path / f"{name}.lock")}

    @property
    def page_is_held(self) -> bool:
        """Whether a living process writes the page."""
        return self._is_held(self.path / PAGE_LOCK)

    def _is_held(self, path: Path) -> bool:
        if not path.exists():
            return False
        with self.lock:  # so that no worker finds a lock that only this examination holds
            lock = _acquired(path)
            if lock is not None:
                lock.release()
        return lock is None

    def _has_failed(self, name: str) -> bool:
        path = self.path / f"{name}.json"
        return path.exists() and bool(read_json(path).get("failure"))

    def _write(self, taken: Taken) -> None:
        write_json(self.path / f"{taken.entry.name}.json", asdict(taken))


def worker_name() -> str:
    """The name of this process among the workers: its job, if it has one, its number and its machine."""
    known = os.environ
    job = next(("_".join(known[name] for name in parts) for parts in JOB_NUMBERS if all(map(known.get, parts))), "")
    process = f"process {os.getpid()} on {socket.gethostname()}"
    return f"job {job}, {process}" if job else process


def _acquired(path: Path) -> filelock.BaseFileLock | None:
    """The lock of a file, acquired; None if another one has it."""
    lock = filelock.FileLock(path)
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        return None
    return lock


def _entry(record: dict[str, Any]) -> Entry:
    return Entry(**{**record, "runs": tuple(record["runs"])})


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")

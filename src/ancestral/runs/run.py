"""The run folder: a training that explains itself."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import filelock

from ancestral.core.errors import InputError
from ancestral.core.files import is_temporary, read_json, write_json
from ancestral.core.serialization import needs_family
from ancestral.evaluation.score import Score
from ancestral.families.build import load_model
from ancestral.families.catalogue import find, names
from ancestral.families.family import Family
from ancestral.families.run_settings import Settings, renamed
from ancestral.health.examine import Examination, Verdict
from ancestral.models.base import Model
from ancestral.runs.records import SCORES
from ancestral.runs.run_data import RunData
from ancestral.settings.data import DataSettings
from ancestral.settings.training import TrainingSettings
from ancestral.training.log import LogLine, read_log

FINISHED = ("epochs", "patience", "diverged")
PACKAGES = ("ancestral", "torch", "numpy", "lightning-fabric", "safetensors", "scikit-learn")


class Run:
    """A folder with settings, weights, log, scores and figures. All that reports show is read from it."""

    keeps_records = True

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)

    @property
    def model_folder(self) -> Path:
        return self.path / "model"

    @property
    def checkpoint(self) -> Path:
        return self.path / "checkpoint" / "state.safetensors"

    @property
    def log_path(self) -> Path:
        return self.path / "log.jsonl"

    @property
    def figures(self) -> Path:
        return self.path / "figures"

    @cached_property
    def record(self) -> dict[str, Any]:
        """`settings.json`.

        Raises:    InputError: this is no run folder.
        """
        if not (self.path / "settings.json").exists():
            raise InputError(f"{self.path} is not a run folder: it has no settings.json")
        record = read_json(self.path / "settings.json")
        parts = record if isinstance(record, dict) else {}
        if not all(isinstance(parts.get(name), dict) for name in ("settings", "data", "versions")):
            raise InputError(f"{self.path / 'settings.json'} is not the record of a run: choose another --out")
        return record

    @cached_property
    def settings(self) -> Settings:
        return settings_from_json(self.record["settings"])

    @cached_property
    def data(self) -> RunData:
        return RunData(self.settings.data)

    @property
    def outcome(self) -> dict[str, Any]:
        """How the training ended, how long it took and how fast it was; empty while it is not over."""
        path = self.path / "training.json"
        return read_json(path) if path.exists() else {}

    @property
    def finished(self) -> bool:
        """Whether the training is over, be it by divergence."""
        return self.outcome.get("reason") in FINISHED

    @property
    def health(self) -> Examination | None:
        """What was found at the end of the training; None while it is not over.

        Raises:    InputError: `health.json` is damaged.
        """
        path = self.path / "health.json"
        return Examination.from_json(read_json(path)) if path.exists() else None

    def verdicts(self) -> list[Verdict]:
        """What is wrong with the training, failures first; none where it is healthy or not over."""
        return list(self.health.verdicts) if self.health else []

    def keep_health(self, found: Examination) -> None:
        write_json(self.path / "health.json", found.to_json())

    def load(self) -> Model:
        """The trained model, in evaluation mode.

        Raises:    InputError: not trained yet, or damaged.
        """
        _ = self.record
        if not (self.model_folder / "config.json").exists():
            raise InputError(f"{self.path} has no trained model yet: finish it with --resume")
        return load_model(self.model_folder)

    def log(self) -> list[LogLine]:
        return read_log(self.log_path)

    def scores(self) -> list[Score]:
        return SCORES.of(self)

    def add_score(self, score: Score) -> None:
        """Store a score; one of the same method on the same images is replaced."""
        SCORES.add(self, score)

    def begin(self, settings: Settings, data: RunData, resume: bool) -> bool:
        """Make the folder ready to train in; True if there is a state to go on from.

        Raises:    InputError: it holds another run, or was trained with other settings.
        """
        described = settings_to_json(settings)
        for folder in (self.path, self.checkpoint.parent, self.model_folder):
            for leftover in filter(is_temporary, list(folder.glob(".*"))):
                leftover.unlink()  # of a writer that was killed: the lock is ours
        if (self.path / "settings.json").exists():
            if not resume:
                raise InputError(f"{self.path} holds a run already: choose another --out, or go on with --resume")
            _refuse_changes(self.record, described, data.dataset.sha256)
            return self.checkpoint.exists()
        self._refuse_strangers()
        write_json(self.path / "settings.json", _new_record(described, data))
        return False

    def _refuse_strangers(self) -> None:
        """Raises:    InputError: the folder holds files that are not of a run."""
        if not self.path.is_dir() or (self.path / "settings.json").exists():
            return
        if any(p.name != ".lock" and not is_temporary(p) for p in self.path.iterdir()):
            raise InputError(f"{self.path} is not empty and not a run: choose another --out")

    @contextmanager
    def locked(self, wait: float = 0.0) -> Iterator[None]:
        """Hold the folder against other writers; the system lets go of it when this process ends, in any way.

        Args:      wait: seconds to wait for another writer to finish.
        Raises:    InputError: another process is writing to it, or it is no run's folder, which is left alone.
        """
        self._refuse_strangers()
        self.path.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(self.path / ".lock")
        try:
            lock.acquire(timeout=wait)
        except filelock.Timeout as error:
            raise InputError(
                f"another process is writing to {self.path}: wait for it, or choose another --out"
            ) from error
        try:
            yield
        finally:
            lock.release()


def load(path: Path | str) -> Model:
    """The trained model of a run folder, in evaluation mode.

    Raises:    InputError: no run folder, not trained yet, or damaged.
    """
    return Run(path).load()


def settings_to_json(settings: Settings) -> dict[str, Any]:
    """Settings as JSON values."""
    return asdict(settings)


def settings_from_json(record: dict[str, Any]) -> Settings:
    """Settings read back.

    Raises:    InputError: unknown family or setting.
    """
    try:
        family = record["family"]
        return Settings(
            family,
            _dataclass_from(_family_of_run(family).settings, record["model"]),
            _dataclass_from(DataSettings, renamed(record["data"], DataSettings.__dataclass_fields__)),
            _dataclass_from(TrainingSettings, record["training"]),
        )
    except (AttributeError, KeyError, TypeError) as error:
        raise InputError(f"the settings of this run cannot be read: {error}") from error


def _family_of_run(name: Any) -> Family:
    """Raises:    InputError: this program does not know the family; the message names the ways to give it."""
    try:
        return find(str(name))
    except InputError as error:
        if str(name) in names():  # known, but it cannot be loaded
            raise
        raise InputError(needs_family("run", name)) from error


def _dataclass_from(cls: type, values: dict[str, Any]) -> Any:
    return cls(**{name: tuple(value) if isinstance(value, list) else value for name, value in values.items()})


def _refuse_changes(record: dict[str, Any], described: dict[str, Any], sha256: str) -> None:
    """Resuming with other settings or data would be another run."""
    begun = settings_to_json(settings_from_json(record["settings"]))
    if begun["family"] != described["family"]:
        raise InputError(f"this run trains a {begun['family']}, not a {described['family']}")
    for room in ("data", "model", "training"):
        for name, value in described[room].items():
            before = begun[room][name]
            before = tuple(before) if isinstance(before, list) else before
            if before != (tuple(value) if isinstance(value, list) else value):
                raise InputError(
                    f"this run was begun with {name} = {before}, not {value}: resume with its own settings"
                )
    if record["data"]["sha256"] != sha256:
        raise InputError(f"the data {record['data']['name']} have changed since this run began: train anew")


def _new_record(described: dict[str, Any], data: RunData) -> dict[str, Any]:
    return {
        "command": ["ancestral", *sys.argv[1:]] if Path(sys.argv[0]).name == "ancestral" else None,
        "settings": described,
        "data": {
            "name": data.name,
            "sha256": data.dataset.sha256,
            "counts": {split: len(data.dataset.split(split)) for split in ("train", "valid", "test")},
            "space": data.space.describe(data.name),
            "event_shape": list(data.event_shape),
        },
        "versions": {"python": platform.python_version(), **{name: version_of(name) for name in PACKAGES}},
        "machine": {"processor": platform.machine(), "cores": os.cpu_count(), "system": platform.system()},
        "git_commit": _git_commit(),
        "begun": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def version_of(package: str) -> str | None:
    """The version of an installed package; None where it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _git_commit() -> str | None:
    """Commit of the source this program runs from, where it runs from a checkout."""
    try:
        answer = subprocess.run(
            ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"],
            capture_output=True,
            text=True,
            timeout=5,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() or None if answer.returncode == 0 else None

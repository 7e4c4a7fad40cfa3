"""The run folder: a training that explains itself."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import filelock

from ancestral.core.errors import InputError
from ancestral.core.files import is_temporary, json_bytes, json_from, sha256_of, write_atomically, write_json
from ancestral.data.datasets import READING
from ancestral.data.pixels import PixelSpace
from ancestral.evaluation.score import Score
from ancestral.families.build import load_model
from ancestral.families.run_settings import Settings
from ancestral.health.examine import Examination, Verdict
from ancestral.models.base import Model
from ancestral.runs.config_file import CONFIG_FILE, config_text
from ancestral.runs.manifest import CONFIG, LOG, STATE, WEIGHTS, Manifest
from ancestral.runs.provenance import made_by_newer, new_record, place_of_data, read_record
from ancestral.runs.records import SCORES
from ancestral.runs.run_data import RunData, space_of
from ancestral.runs.stored_settings import refuse_changes, settings_from_json, settings_to_json
from ancestral.training.checkpoint import load_state
from ancestral.training.log import LogLine, parse_log

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from torch import Tensor

FINISHED = ("epochs", "patience", "diverged")
log = logging.getLogger("ancestral")
_NOTED: set[Path] = set()  # folders that a notice was given about


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
        return read_record(self.manifest.content("settings.json"), self.path / "settings.json")

    @property
    def manifest(self) -> Manifest:
        """SHA-256 of the files of a finished run."""
        return Manifest(self.path)

    @cached_property
    def settings(self) -> Settings:
        """All that determines the run.

        Raises:    InputError: they are damaged, or of a newer version.
        """
        try:
            return settings_from_json(self.record["settings"])
        except InputError as error:
            raise InputError(f"{error}{made_by_newer(self.record)}") from error

    @cached_property
    def data(self) -> RunData:
        """The data of the run, read again.

        Raises:    InputError: they are not those of the run, or are divided in another way.
        """
        own = self.settings.data
        place = place_of_data(own.data, self.record["data"], self.path)
        data = RunData(replace(own, data=place), self.reading, again=True)
        if different := self.difference(data):
            raise InputError(f"{different}: restore them, or state by --data that other data are meant")
        return data

    def difference(self, data: RunData) -> str:
        """In what data differ from those of the run; empty where they do not."""
        known, found = self.record["data"], data.summary().to_json()
        words = f"the data {known['name']} of {self.path} have changed since this run began"
        if found["sha256"] != known["sha256"]:
            return f"{words} (another SHA-256)"
        for split, count in known["counts"].items():
            if found["counts"].get(split) != count:
                return f"{words} ({count} {split} before, {found['counts'].get(split)} now)"
        if list(found["event_shape"]) != known["event_shape"]:
            return f"{words} (shape {known['event_shape']} before, {list(found['event_shape'])} now)"
        return ""

    @property
    def reading(self) -> int:
        """Version of the reading of its data that it was started with; the present one for a run to be begun."""
        if not (self.path / "settings.json").exists():
            return READING
        version = self.record["data"].get("version", 1)
        if version not in range(1, READING + 1):
            raise InputError(f"{self.path} was made by a newer version of ancestral: update this one")
        return version

    @cached_property
    def space(self) -> PixelSpace:
        """What a pixel of the model is; known without the data, but for runs of earlier versions."""
        described = self.record["data"]
        levels = described.get("levels")
        levels = self.data.dataset.levels if levels is None else int(levels)
        return space_of(self.settings.data, levels, described["event_shape"])

    def picture(self, x: Tensor, title: str = "") -> Figure:
        """Draws as one picture: images on a sheet, points as a scatter plot. x: shape (N, *event_shape)."""
        if self.space.name == "points":
            return self.data.picture(x, title)
        from ancestral.figures.grids import image_grid

        return image_grid(self.space.to_unit(x.float()), title=title)

    @property
    def outcome(self) -> dict[str, Any]:
        """How the training ended, how long it took and how fast it was; empty while it is not over."""
        return self._read("training.json") or {}

    def _read(self, name: str) -> Any:
        """The JSON of a file of the folder; None where there is no such file."""
        path = self.path / name
        return json_from(self.manifest.content(name), path) if path.exists() else None

    @property
    def finished(self) -> bool:
        """Whether the training is over, be it by divergence, and all its files are written."""
        return self.outcome.get("reason") in FINISHED and (self.manifest.there or not self.record.get("manifest"))

    @property
    def health(self) -> Examination | None:
        """What was found at the end of the training; None while it is not over.

        Raises:    InputError: `health.json` is damaged.
        """
        found = self._read("health.json")
        return None if found is None else Examination.from_json(found)

    def verdicts(self) -> list[Verdict]:
        """What is wrong with the training, failures first; none where it is healthy or not over."""
        return list(self.health.verdicts) if self.health else []

    def keep_health(self, found: Examination) -> None:
        """Store what was found at the end of the training."""
        self.manifest.replace("health.json", json_bytes(found.to_json()))

    def load(self) -> Model:
        """The trained model, in evaluation mode. The data are not opened.

        Raises:    InputError: not trained yet, damaged, or changed since it was trained.
        """
        _ = self.record
        if not (self.model_folder / "config.json").exists():
            raise InputError(f"{self.path} has no trained model yet: finish it with --resume")
        entries = self.manifest.entries()
        if not entries and self.outcome.get("reason") in FINISHED and self.path.resolve() not in _NOTED:
            _NOTED.add(self.path.resolve())
            remedy = "--resume completes it" if self.record.get("manifest") else "an earlier version made it"
            log.warning("%s has no manifest.json (%s): its files are used unchecked", self.path, remedy)
        known = {Path(name).name: entries[name]["sha256"] for name in (CONFIG, WEIGHTS) if name in entries}
        return load_model(self.model_folder, known)

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Tensors and facts of the checkpoint.

        Raises:    InputError: it is missing, damaged or was changed.
        """
        try:
            self.manifest.content(STATE)
        except InputError as error:
            raise InputError(f"the checkpoint {error}; train anew without --resume") from error
        return load_state(self.checkpoint)

    @property
    def weights_sha256(self) -> str | None:
        """SHA-256 of the trained weights; None where there are none yet."""
        path = self.path / WEIGHTS
        entry = self.manifest.entries().get(WEIGHTS)
        if entry is not None:
            return str(entry["sha256"])
        return sha256_of(path.read_bytes()) if path.exists() else None

    @property
    def origin(self) -> dict[str, str | None]:
        """SHA-256 of the weights and of the data that a measurement of this run, made now, is of."""
        data = self.__dict__.get("data")  # not opened for this
        sha256 = self.record["data"]["sha256"] if data is None else data.dataset.sha256
        return {"weights_sha256": self.weights_sha256, "data_sha256": sha256}

    def log(self) -> list[LogLine]:
        return parse_log(self.manifest.content(LOG), self.log_path)

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
            refuse_changes(self.record, described)
            if different := self.difference(data):
                raise InputError(f"{different}: train anew")
            self._write_config(settings)
            return self.checkpoint.exists()
        self._refuse_strangers()
        write_json(self.path / "settings.json", new_record(described, data, self.path))
        self._write_config(settings)
        return False

    def _write_config(self, settings: Settings) -> None:
        """The settings as a file that trains the run again; a record that nothing reads back."""
        write_atomically(self.path / CONFIG_FILE, config_text(settings).encode())

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

"""The run folder: everything about a training in one folder."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import filelock

from ancestral.core.errors import InputError
from ancestral.core.files import is_temporary, json_bytes, json_from, sha256_of, write_atomically, write_json
from ancestral.core.notebook import as_html
from ancestral.data.datasets import READING
from ancestral.data.pixels import PixelSpace
from ancestral.evaluation.class_scores import ClassScores
from ancestral.evaluation.score import Score
from ancestral.families.run_settings import Settings
from ancestral.health.examine import Examination, Verdict
from ancestral.models.base import Model
from ancestral.runs.config_file import CONFIG_FILE, config_text
from ancestral.runs.folder import is_run, refuse_no_run
from ancestral.runs.given import Given, refuse_missing, refuse_other_parts
from ancestral.runs.manifest import CONFIG, LOG, STATE, WEIGHTS, Manifest
from ancestral.runs.provenance import Origin, made_by_newer, new_record, read_record
from ancestral.runs.records import CLASS_SCORES, SCORES
from ancestral.runs.run_data import RunData
from ancestral.runs.stored_data import StoredData, difference
from ancestral.runs.stored_settings import refuse_changes, settings_from_json, settings_to_json
from ancestral.training.checkpoint import load_state
from ancestral.training.log import LogLine, parse_log

if TYPE_CHECKING:
    from torch import Tensor

ELSEWHERE = "elsewhere"  # the outcome of a training outside this package
FINISHED = ("epochs", "patience", "diverged", ELSEWHERE)
NOTHING_GIVEN = Given()
log = logging.getLogger("ancestral")
_NOTED: set[Path] = set()  # folders for which a notice was shown


class Run:
    """A folder with settings, weights, log, scores and figures. Reports read everything from it."""

    keeps_records = True
    label = ""  # what a study calls the run
    _repr_html_ = as_html

    def __init__(self, path: Path | str, given: Given = NOTHING_GIVEN) -> None:
        self.path, self.given = Path(path), given

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.path)!r})"

    @property
    def called(self) -> str:
        """What titles of pictures call the model: the name that a study gives it, or that of its family."""
        return self.label or self.settings.family or "own model"

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

    @property
    def started(self) -> bool:
        """Whether the folder has a run, finished or not."""
        return is_run(self.path)

    @property
    def page(self) -> Path:
        """The path of the page; the file may not exist."""
        return self.path / "report.html"

    @property
    def explorer(self) -> Path:
        """The page that runs the model in a browser, where it was written."""
        return self.path / "explorer.html"

    @cached_property
    def record(self) -> dict[str, Any]:
        """The content of `settings.json`.

        Raises:    InputError: this is not a run folder.
        """
        refuse_no_run(self.path)
        return read_record(self.manifest.content("settings.json"), self.path / "settings.json")

    @property
    def manifest(self) -> Manifest:
        """The manifest: SHA-256 of the files of a finished run."""
        return Manifest(self.path)

    @cached_property
    def settings(self) -> Settings:
        """The settings of the run.

        Raises:    InputError: they are damaged, or of a newer version.
        """
        try:
            return settings_from_json(self.record["settings"])
        except InputError as error:
            raise InputError(f"{error}{made_by_newer(self.record)}") from error

    @cached_property
    def data(self) -> RunData:
        """The data of the run; the files are read at the first access to `dataset`.

        Raises:    InputError: raised at that access: the data are missing, changed, or split in another way.
        """
        return StoredData(self.settings.data, self.record["data"], self.path, self.reading)

    @property
    def reading(self) -> int:
        """The version of the data reader that the run was started with; the present one for a new run."""
        if not self.started:
            return READING
        version = self.record["data"].get("version", 1)
        if version not in range(1, READING + 1):
            raise InputError(f"{self.path} was made by a newer version of ancestral: update ancestral")
        return version

    @cached_property
    def space(self) -> PixelSpace:
        """The pixel space of the model; the data are not read, except for runs of early versions."""
        return self.data.space

    @property
    def outcome(self) -> dict[str, Any]:
        """The outcome of the training, its duration and speed; empty while it is not finished."""
        return self._read("training.json") or {}

    def _read(self, name: str) -> Any:
        """The JSON content of a file of the folder; None if it does not exist."""
        path = self.path / name
        return json_from(self.manifest.content(name), path) if path.exists() else None

    @property
    def finished(self) -> bool:
        """Whether the training has ended (also by divergence) and all its files are written."""
        return self.outcome.get("reason") in FINISHED and (self.manifest.there or not self.record.get("manifest"))

    @property
    def health(self) -> Examination | None:
        """The health checks at the end of the training; None while it is not finished.

        Raises:    InputError: `health.json` is damaged.
        """
        found = self._read("health.json")
        return None if found is None else Examination.from_json(found)

    def verdicts(self) -> list[Verdict]:
        """The problems of the training, failures first; empty if it is healthy or not finished."""
        return list(self.health.verdicts) if self.health else []

    def keep_health(self, found: Examination) -> None:
        """Store the health checks of the finished training."""
        self.manifest.replace("health.json", json_bytes(found.to_json()))

    def load(self, in_place: bool = False) -> Model:
        """The trained model, in evaluation mode. The data are not opened.

        Args:      in_place: load the weights into the user's own modules, not into copies.
        Raises:    InputError: not trained yet, damaged or changed; or the user's own modules are missing.
        """
        self.refuse_missing_parts()
        if not (self.model_folder / "config.json").exists():
            raise InputError(f"{self.path} has no trained model yet: finish it with --resume")
        entries = self.manifest.entries()
        if not entries and self.outcome.get("reason") in FINISHED and self.path.resolve() not in _NOTED:
            _NOTED.add(self.path.resolve())
            remedy = "--resume writes it" if self.record.get("manifest") else "the run is of an early version"
            log.warning("%s has no manifest.json (%s): its files are not checked", self.path, remedy)
        elif not self.outcome and self.earlier_weights and self.path.resolve() not in _NOTED:
            _NOTED.add(self.path.resolve())
            log.warning("the extension of %s is not finished: the weights from before it are used", self.path)
        known = {Path(name).name: entries[name]["sha256"] for name in (CONFIG, WEIGHTS) if name in entries}
        return self.given.loaded(self.model_folder, known, in_place)

    def refuse_missing_parts(self) -> None:
        """Raises:    InputError: the run was trained with the user's own modules, which are missing here."""
        refuse_missing(self.record.get("given", {}), self.given, self.path)

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """The tensors and facts of the checkpoint.

        Raises:    InputError: it is missing, damaged or was changed.
        """
        try:
            self.manifest.content(STATE)
        except InputError as error:
            raise InputError(f"the checkpoint {error}; train again without --resume") from error
        return load_state(self.checkpoint)

    @property
    def weights_sha256(self) -> str | None:
        """The SHA-256 of the trained weights; None without weights."""
        path = self.path / WEIGHTS
        entry = self.manifest.entries().get(WEIGHTS)
        if entry is not None:
            return str(entry["sha256"])
        return sha256_of(path.read_bytes()) if path.exists() else None

    @property
    def earlier_weights(self) -> dict[str, int]:
        """The SHA-256 of the weights before each extension, with the number of epochs at that time."""
        if not self.started:
            return {}
        entries = reversed(self.record.get("extensions", []))
        return {entry["weights_sha256"]: entry["epoch"] for entry in entries if entry["weights_sha256"]}

    @property
    def origin(self) -> dict[str, str | None]:
        """The SHA-256 of the present weights and data, for new records."""
        data = self.__dict__.get("data")  # other data may replace the run's own
        sha256 = self.record["data"]["sha256"] if data is None else data.sha256
        return {"weights_sha256": self.weights_sha256, "data_sha256": sha256}

    def log(self) -> list[LogLine]:
        return parse_log(self.manifest.content(LOG), self.log_path)

    def scores(self) -> list[Score]:
        """The scores of the present weights."""
        return SCORES.of(self)

    def class_scores(self) -> list[ClassScores]:
        """log p(x | class), and accuracy and calibration of p(class | x), of the present weights."""
        return CLASS_SCORES.of(self)

    def earlier_scores(self) -> list[Score]:
        """The scores of the weights before extensions; each has the SHA-256 of its weights."""
        return [score for _, score in SCORES.earlier(self)]

    def add_score(self, score: Score) -> None:
        """Store a score; an earlier one with the same method, weights and images is replaced."""
        SCORES.add(self, score)

    def forget(self) -> None:
        """Clear the cached record and settings after the file was replaced."""
        for name in ("record", "settings"):
            self.__dict__.pop(name, None)

    def begin(self, settings: Settings, data: RunData, resume: bool, origin: Origin) -> bool:
        """Prepare the folder for training; returns whether there is a checkpoint to resume from.

        Raises:    InputError: it has another run, or a run with other settings.
        """
        described = settings_to_json(settings)
        for folder in (self.path, self.checkpoint.parent, self.model_folder):
            for leftover in filter(is_temporary, list(folder.glob(".*"))):
                leftover.unlink()  # of a process that was killed: this process has the lock
        if self.started:
            if not resume:
                raise InputError(
                    f"{self.path} already contains a run: choose another --out, or continue it with --resume"
                )
            if self.outcome.get("reason") == ELSEWHERE:
                raise InputError(f"{self.path} was trained outside ancestral: there is no training to resume")
            refuse_changes(self.record, described)
            refuse_other_parts(self.record.get("given", {}), origin.given, self.path)
            if self.manifest.there and not self.checkpoint.exists():
                raise InputError(f"{self.path} has no checkpoint (exported runs have none): it cannot be resumed")
            if different := difference(self.record["data"], data, self.path, self.settings.data.data):
                raise InputError(f"{different}: train a new run")
            return self.checkpoint.exists()
        self._refuse_strangers()
        write_json(self.path / "settings.json", new_record(described, data, self.path, origin))
        return False

    def write_config(self, settings: Settings, origin: Origin) -> None:
        """Write `config.toml`, with which the run can be trained again; not for runs with the user's own modules."""
        if not origin.given:
            write_atomically(self.path / CONFIG_FILE, config_text(settings).encode())

    def _refuse_strangers(self) -> None:
        """Raises:    InputError: the folder has files that are not of a run."""
        if not self.path.is_dir() or self.started:
            return
        if any(p.name != ".lock" and not is_temporary(p) for p in self.path.iterdir()):
            raise InputError(f"{self.path} is not empty and not a run folder: choose another --out")

    @contextmanager
    def locked(self, wait: float = 0.0) -> Iterator[None]:
        """Lock the folder against other writers; the system releases the lock when this process ends.

        Args:      wait: seconds to wait for another writer.
        Raises:    InputError: another process writes to the folder, or it is not a run folder; nothing is changed.
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

    Raises:    InputError: not a run folder, not trained yet, or damaged.
    """
    return Run(path).load()

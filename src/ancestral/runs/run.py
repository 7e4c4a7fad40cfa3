"""The run folder: a training that explains itself."""

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
from ancestral.evaluation.score import Score
from ancestral.families.run_settings import Settings
from ancestral.health.examine import Examination, Verdict
from ancestral.models.base import Model
from ancestral.runs.config_file import CONFIG_FILE, config_text
from ancestral.runs.given import Given, refuse_missing, refuse_other_parts
from ancestral.runs.manifest import CONFIG, LOG, STATE, WEIGHTS, Manifest
from ancestral.runs.provenance import Origin, made_by_newer, new_record, read_record
from ancestral.runs.records import SCORES
from ancestral.runs.run_data import RunData
from ancestral.runs.stored_data import StoredData, difference
from ancestral.runs.stored_settings import refuse_changes, settings_from_json, settings_to_json
from ancestral.training.checkpoint import load_state
from ancestral.training.log import LogLine, parse_log

if TYPE_CHECKING:
    from torch import Tensor

ELSEWHERE = "elsewhere"  # how a training ended that this package did not do
FINISHED = ("epochs", "patience", "diverged", ELSEWHERE)
NOTHING_GIVEN = Given()
log = logging.getLogger("ancestral")
_NOTED: set[Path] = set()  # folders that a notice was given about


class Run:
    """A folder with settings, weights, log, scores and figures. All that reports show is read from it."""

    keeps_records = True
    _repr_html_ = as_html

    def __init__(self, path: Path | str, given: Given = NOTHING_GIVEN) -> None:
        self.path, self.given = Path(path), given

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.path)!r})"

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
    def begun(self) -> bool:
        """Whether the folder holds a run, trained or not."""
        return (self.path / "settings.json").exists()

    @property
    def page(self) -> Path:
        """The page, where it was written."""
        return self.path / "report.html"

    @property
    def explorer(self) -> Path:
        """The page that runs the model in a browser, where it was written."""
        return self.path / "explorer.html"

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
        """The data of the run: what is known of them at once, their images once something asks for one.

        Raises:    InputError: from `dataset` and what reads it: they are not at hand, not those of the run, or divided
                   in another way.
        """
        return StoredData(self.settings.data, self.record["data"], self.path, self.reading)

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
        return self.data.space

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

    def load(self, in_place: bool = False) -> Model:
        """The trained model, in evaluation mode. The data are not opened.

        Args:      in_place: fill the modules that were given to this run themselves, not copies of them.
        Raises:    InputError: not trained yet, damaged, or changed since it was trained; it was trained with modules
                   that are not given here.
        """
        self.refuse_missing_parts()
        if not (self.model_folder / "config.json").exists():
            raise InputError(f"{self.path} has no trained model yet: finish it with --resume")
        entries = self.manifest.entries()
        if not entries and self.outcome.get("reason") in FINISHED and self.path.resolve() not in _NOTED:
            _NOTED.add(self.path.resolve())
            remedy = "--resume completes it" if self.record.get("manifest") else "an earlier version made it"
            log.warning("%s has no manifest.json (%s): its files are used unchecked", self.path, remedy)
        elif not self.outcome and self.earlier_weights and self.path.resolve() not in _NOTED:
            _NOTED.add(self.path.resolve())
            log.warning("%s has not finished its extension: these are its weights of before", self.path)
        known = {Path(name).name: entries[name]["sha256"] for name in (CONFIG, WEIGHTS) if name in entries}
        return self.given.loaded(self.model_folder, known, in_place)

    def refuse_missing_parts(self) -> None:
        """Raises:    InputError: this run was trained with modules that are not given here."""
        refuse_missing(self.record.get("given", {}), self.given, self.path)

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
    def earlier_weights(self) -> dict[str, int]:
        """SHA-256 of the weights that the run had before it was extended, and the epochs that it had then."""
        if not self.begun:
            return {}
        entries = reversed(self.record.get("extensions", []))
        return {entry["weights_sha256"]: entry["epoch"] for entry in entries if entry["weights_sha256"]}

    @property
    def origin(self) -> dict[str, str | None]:
        """SHA-256 of the weights and of the data that a measurement of this run, made now, is of."""
        data = self.__dict__.get("data")  # other data may be set in its place
        sha256 = self.record["data"]["sha256"] if data is None else data.sha256
        return {"weights_sha256": self.weights_sha256, "data_sha256": sha256}

    def log(self) -> list[LogLine]:
        return parse_log(self.manifest.content(LOG), self.log_path)

    def scores(self) -> list[Score]:
        """Its scores, of the weights that it has now."""
        return SCORES.of(self)

    def earlier_scores(self) -> list[Score]:
        """The scores of weights that it had before it was extended; each holds their SHA-256."""
        return [score for _, score in SCORES.earlier(self)]

    def add_score(self, score: Score) -> None:
        """Store a score; one of the same method, of the same weights on the same images is replaced."""
        SCORES.add(self, score)

    def forget(self) -> None:
        """Read the record and the settings anew when they are next used: they were replaced."""
        for name in ("record", "settings"):
            self.__dict__.pop(name, None)

    def begin(self, settings: Settings, data: RunData, resume: bool, origin: Origin) -> bool:
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
            if self.outcome.get("reason") == ELSEWHERE:
                raise InputError(f"{self.path} was trained elsewhere: there is no training to resume")
            refuse_changes(self.record, described)
            refuse_other_parts(self.record.get("given", {}), origin.given, self.path)
            if self.manifest.there and not self.checkpoint.exists():
                raise InputError(f"{self.path} has no checkpoint, as an exported run has none: it cannot be resumed")
            if different := difference(self.record["data"], data, self.path, self.settings.data.data):
                raise InputError(f"{different}: train anew")
            return self.checkpoint.exists()
        self._refuse_strangers()
        write_json(self.path / "settings.json", new_record(described, data, self.path, origin))
        return False

    def write_config(self, settings: Settings, origin: Origin) -> None:
        """The settings as a file that trains the run again, where no module was given in Python; nothing reads it."""
        if not origin.given:
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

"""What was measured of a run, stored with it: scores, sample quality, detections and the bracket around log p(x)."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from ancestral.core.errors import InputError
from ancestral.core.files import read_json, read_records, write_json
from ancestral.evaluation.bracket_record import Bracket
from ancestral.evaluation.detection_record import DetectionRecord
from ancestral.evaluation.quality import Quality
from ancestral.evaluation.score import Score

SCORES_WAIT = 30.0  # seconds; another writer of records is done in far less


class Record(Protocol):
    """Can be written as JSON values."""

    def to_json(self) -> dict[str, Any]: ...


class Folder(Protocol):
    """What is needed of a run: its folder, and its lock."""

    path: Path
    keeps_records: bool

    def locked(self, wait: float = 0.0) -> AbstractContextManager[None]: ...


R = TypeVar("R", bound=Record)


@dataclass(frozen=True)
class RecordStore(Generic[R]):
    """Records of one kind in a file of the run's folder.

    Args:      file: its name. what: the records are, and remedy: what makes them, a verb, for the refusal.
               from_json: reads one. same: what two records of the same measurement have in common; the later one
               replaces the earlier. alone: the run has only one such record, and the file holds it alone, in no list.
    """

    file: str
    what: str
    remedy: str
    from_json: Callable[[dict[str, Any]], R]
    same: Callable[[R], Hashable]
    alone: bool = False

    def of(self, run: Folder) -> list[R]:
        """The records of a run, oldest first; none where there is no file.

        Raises:    InputError: the file is damaged, or holds something else.
        """
        path = run.path / self.file
        if not self.alone:
            records = read_records(path, self.what, self.remedy)
        elif not path.exists():
            records = []
        elif isinstance(record := read_json(path), dict):
            records = [record]
        else:
            raise InputError(f"{path} is not the record of a {self.what}: remove it and {self.remedy} anew")
        return [self.from_json(record) for record in records]

    def add(self, run: Folder, record: R) -> None:
        """Store a record; one of the same measurement is replaced. A model without a folder keeps none."""
        if not run.keeps_records:
            return
        with run.locked(wait=SCORES_WAIT):  # two writers at once must not lose each other's record
            kept = [stored for stored in self.of(run) if self.same(stored) != self.same(record)]
            records = [stored.to_json() for stored in [*kept, record]]
            write_json(run.path / self.file, records[-1] if self.alone else records)


SCORES = RecordStore(
    "scores.json",
    "scores",
    "evaluate",
    Score.from_json,
    lambda score: (score.method, score.space, score.split, score.count),
)
QUALITY = RecordStore(
    "quality.json", "records", "run `ancestral quality`", Quality.from_json, lambda record: record.compared
)
DETECTIONS = RecordStore(
    "detections.json",
    "records",
    "detect",
    DetectionRecord.from_json,
    lambda record: (record.against, record.method),
)
BRACKET = RecordStore("bracket.json", "bracket", "bracket", Bracket.from_json, lambda record: None, alone=True)

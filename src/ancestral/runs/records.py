"""Results that are stored with a run: scores, classes, sample quality, detections, compression, the bracket."""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from operator import eq
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from ancestral.core.errors import InputError
from ancestral.core.files import json_bytes, json_from
from ancestral.evaluation.bracket_record import Bracket
from ancestral.evaluation.class_scores import ClassScores
from ancestral.evaluation.compression_record import CompressionRecord
from ancestral.evaluation.detection_record import DetectionRecord
from ancestral.evaluation.quality import Quality
from ancestral.evaluation.score import Score
from ancestral.runs.manifest import Manifest

log = logging.getLogger("ancestral")
ORIGIN = ("weights_sha256", "data_sha256")
SCORES_WAIT = 30.0  # seconds; other writers of records need much less


class Record(Protocol):
    """A result that can be written as JSON values."""

    def to_json(self) -> dict[str, Any]: ...


class Folder(Protocol):
    """The attributes of a run that a record store uses."""

    path: Path
    keeps_records: bool

    @property
    def manifest(self) -> Manifest: ...

    @property
    def weights_sha256(self) -> str | None: ...

    @property
    def earlier_weights(self) -> dict[str, int]: ...

    @property
    def origin(self) -> dict[str, str | None]: ...

    def locked(self, wait: float = 0.0) -> AbstractContextManager[None]: ...


R = TypeVar("R", bound=Record)


@dataclass(frozen=True)
class RecordStore(Generic[R]):
    """Records of one kind in one file of the run folder.

    Args:      file: its name. what: name of the records in messages. remedy: the command that computes them, in
               messages. from_json: reads one record. same: a key; a later record with the same key and the same weights
               replaces the earlier one. alone: whether there is at most one record of the same weights; the file then
               contains only this record, or a list if the run had other weights before. knows_origin: whether a record
               itself has the SHA-256 of its weights and data, which the file stores for every record.
    """

    file: str
    what: str
    remedy: str
    from_json: Callable[[dict[str, Any]], R]
    same: Callable[[R], Hashable]
    alone: bool = False
    knows_origin: bool = False

    def of(self, run: Folder) -> list[R]:
        """The records of a run's present weights, oldest first; empty without a file.

        Raises:    InputError: the file is damaged, was changed, or has other content.
        """
        stored = self._stored(run)
        weights = run.weights_sha256 if any(record.get("weights_sha256") for record in stored) else None
        kept = [record for record in stored if record.get("weights_sha256") in (None, weights)]
        known = [record for record in stored if record.get("weights_sha256") in run.earlier_weights]
        if unknown := [record for record in stored if record not in kept and record not in known]:
            log.warning(
                "%s: %d of %d %s are of other weights than the run has now and are ignored: %s again",
                run.path / self.file,
                len(unknown),
                len(stored),
                self.what if not self.alone else "records",
                self.remedy,
            )
        return [self._read(record) for record in kept]

    def earlier(self, run: Folder) -> list[tuple[str, R]]:
        """The records of earlier weights of an extended run, oldest first, each with the SHA-256 of the weights.

        Raises:    InputError: as `of`.
        """
        stored, present = self._stored(run), run.weights_sha256
        sha256 = [str(record.get("weights_sha256")) for record in stored]
        return [
            (weights, self._read(record))
            for weights, record in zip(sha256, stored, strict=True)
            if weights in run.earlier_weights and weights != present
        ]

    def label(self, run: Folder) -> None:
        """Add the SHA-256 of the run's present weights to records of earlier versions, which lack it.

        It must be called before the run gets other weights, with the lock of the folder.
        """
        stored, weights = self._stored(run), run.weights_sha256
        labelled = [{**record, "weights_sha256": record.get("weights_sha256") or weights} for record in stored]
        if labelled != stored:
            run.manifest.replace(self.file, json_bytes(self._content(labelled)))

    def _content(self, records: list[dict[str, Any]]) -> Any:
        return records[0] if self.alone and len(records) == 1 else records

    def _stored(self, run: Folder) -> list[dict[str, Any]]:
        """Raises:    InputError: the file is damaged, was changed, or has other content."""
        path = run.path / self.file
        if not path.exists():
            return []
        try:
            found = json_from(run.manifest.content(self.file), path)
        except InputError as error:
            raise InputError(f"{error}: remove it and {self.remedy} again") from error
        records = [found] if self.alone and isinstance(found, dict) else found
        if self.alone and isinstance(found, list) and len(found) < 2:  # a list also has records of earlier weights
            records = None
        if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
            kind = f"the record of a {self.what}" if self.alone else f"a list of {self.what}"
            raise InputError(f"{path} is not {kind}: remove it and {self.remedy} again")
        return records

    def _read(self, stored: dict[str, Any]) -> R:
        if self.knows_origin:
            return self.from_json(stored)
        return self.from_json({name: value for name, value in stored.items() if name not in ORIGIN})

    def add(self, run: Folder, record: R) -> None:
        """Store a record; an earlier one of the same measurement, weights and data is replaced.

        Nothing is stored for a model without a folder.
        """
        if not run.keeps_records:
            return
        with run.locked(wait=SCORES_WAIT):  # two simultaneous writers must not overwrite each other's records
            origin, own = run.origin, record.to_json()
            added = {**own, **{name: own.get(name) or origin[name] for name in ORIGIN}}

            def replaced(stored: dict[str, Any]) -> bool:
                # records of earlier versions do not state their weights and data; they are those of the run
                own = (stored.get(name) or origin[name] for name in ORIGIN)
                return all(map(eq, own, map(added.get, ORIGIN))) and self.same(self._read(stored)) == self.same(record)

            records = [*(stored for stored in self._stored(run) if not replaced(stored)), added]
            run.manifest.replace(self.file, json_bytes(self._content(records)))


SCORES = RecordStore(
    "scores.json",
    "scores",
    "evaluate",
    Score.from_json,
    lambda score: (score.method, score.space, score.split, score.count),
    knows_origin=True,
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
COMPRESSIONS = RecordStore(
    "compression.json",
    "records",
    "run `ancestral compress --report`",
    CompressionRecord.from_json,
    lambda record: (record.space, record.split, record.images),
)
CLASS_SCORES = RecordStore(
    "classes.json",
    "records",
    "evaluate",
    ClassScores.from_json,
    lambda record: (record.space, record.split, record.count, record.samples),
)
STORES: tuple[RecordStore[Any], ...] = (SCORES, QUALITY, DETECTIONS, BRACKET, COMPRESSIONS, CLASS_SCORES)

"""What was measured of a run: one store for every kind, a list of records or one alone."""

from __future__ import annotations

import json
import threading
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pytest
from helpers import refused

from ancestral.core.errors import InputError
from ancestral.core.files import write_json
from ancestral.runs.records import BRACKET, DETECTIONS, QUALITY, SCORES, RecordStore
from ancestral.runs.run import Run


@dataclass(frozen=True)
class Length:
    of: str
    metres: float

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> Length:
        try:
            return cls(**record)
        except TypeError as error:
            raise InputError(f"not a length: {error}") from error


MANY = RecordStore("lengths.json", "lengths", "measure", Length.from_json, lambda record: record.of)
ALONE = RecordStore("length.json", "length", "measure", Length.from_json, lambda record: None, alone=True)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    data = {"name": "digits", "sha256": "0" * 64, "counts": {}, "space": "digits, binary", "event_shape": [1, 8, 8]}
    write_json(tmp_path / "settings.json", {"settings": {}, "data": data, "versions": {}})
    return Run(tmp_path)


def test_a_record_replaces_that_of_the_same_measurement(run: Run) -> None:
    assert MANY.of(run) == []
    for record in (Length("foot", 0.3), Length("yard", 0.9), Length("foot", 0.3048)):
        MANY.add(run, record)
    assert MANY.of(run) == [Length("yard", 0.9), Length("foot", 0.3048)]


def test_a_single_record_is_not_stored_as_a_list(run: Run) -> None:
    assert ALONE.of(run) == []
    ALONE.add(run, Length("foot", 0.3))
    ALONE.add(run, Length("yard", 0.9))
    assert ALONE.of(run) == [Length("yard", 0.9)]
    stored = json.loads((run.path / "length.json").read_text())
    assert stored == {"of": "yard", "metres": 0.9, "weights_sha256": None, "data_sha256": "0" * 64}


def test_records_added_at_once_are_all_kept(run: Run) -> None:
    writers = [
        threading.Thread(target=lambda i=i: MANY.add(Run(run.path), Length(f"{i} feet", 0.3 * i))) for i in range(8)
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert len(MANY.of(run)) == 8


@pytest.mark.parametrize("store", [SCORES, QUALITY, DETECTIONS, BRACKET], ids=lambda store: store.file)
@pytest.mark.parametrize("text", ["", "7", '[{"colour": 1}]', '{"colour": 1}', "[1]"])
def test_damaged_records_are_refused_and_not_changed(tmp_path: Path, store: RecordStore[Any], text: str) -> None:
    (tmp_path / store.file).write_text(text)
    refused(lambda: store.of(Run(tmp_path)))
    assert (tmp_path / store.file).read_text() == text


def test_a_folder_of_something_else_is_not_changed(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear reader")
    refused(lambda: MANY.add(Run(tmp_path), Length("foot", 0.3)), "not a run")
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]

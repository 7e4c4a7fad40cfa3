"""What is held against a run's files: names in the hash of its state, records in its manifest, how data are divided."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from ancestral.core.digest import digest_of
from ancestral.runs.manifest import MANIFEST, Manifest
from ancestral.runs.stored_data import difference


def test_tensors_under_other_names_have_another_hash() -> None:
    """Their order, types, shapes and values are the same."""
    moments = torch.arange(4.0)
    assert digest_of({"0.mean": moments}, "{}") != digest_of({"1.mean": moments}, "{}")
    assert digest_of({"0.mean": moments}, "{}") == digest_of({"0.mean": moments.clone()}, "{}")


def test_a_manifest_lists_the_records_that_there_are(tmp_path: Path) -> None:
    for name in ("settings.json", "scores.json", "bracket.json", "notes.txt"):
        (tmp_path / name).write_text(name)
    Manifest(tmp_path).write()
    listed = json.loads((tmp_path / MANIFEST).read_text())["files"]
    assert set(listed) == {"settings.json", "scores.json", "bracket.json"}
    (tmp_path / "scores.json").write_text("other")
    assert [name for name, _ in Manifest(tmp_path).problems()] == ["scores.json"]


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({}, ""),
        ({"sha256": "1"}, "another SHA-256"),
        ({"counts": {"train": 91, "valid": 9}}, "90 train before, 91 now"),
        ({"event_shape": (1, 4, 2)}, "shape"),
    ],
)
def test_data_that_differ_from_those_of_a_run_are_reported(changed: dict[str, Any], words: str) -> None:
    known = {"name": "own", "sha256": "0", "counts": {"train": 90, "valid": 10}, "event_shape": [1, 2, 4]}
    found = {**known, "event_shape": (1, 2, 4), **changed}
    data: Any = SimpleNamespace(summary=lambda: SimpleNamespace(to_json=lambda: found))
    said = difference(known, data, Path("a run"), "own")
    assert bool(said) == bool(words) and words in said

"""The script that compares the scores of two folders of runs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from helpers import ROOT


def compare(before: Path, after: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "scripts" / "compare_scores.py"), str(before), str(after)]
    return subprocess.run(command, capture_output=True, text=True)


def write(folder: Path, run: str, nats: float) -> None:
    (folder / run).mkdir(parents=True)
    (folder / run / "scores.json").write_text(json.dumps([{"nats": nats, "kind": "exact"}]))


def test_equal_scores_pass_and_the_last_bit_counts(tmp_path: Path) -> None:
    for name, nats in {"a": -1.0, "b": -1.0, "c": -1.0000000000000002}.items():
        write(tmp_path / name, "runs/vae", nats)
    assert compare(tmp_path / "a", tmp_path / "b").returncode == 0
    other = compare(tmp_path / "a", tmp_path / "c")
    assert other.returncode == 1
    assert "runs/vae: nats -1.0 before" in other.stdout


def test_absent_and_additional_runs_are_differences(tmp_path: Path) -> None:
    write(tmp_path / "a", "one", -1.0)
    write(tmp_path / "b", "two", -1.0)
    assert "2 differences" in compare(tmp_path / "a", tmp_path / "b").stdout


def test_a_folder_without_scores_is_refused(tmp_path: Path) -> None:
    done = compare(tmp_path, tmp_path)
    assert done.returncode == 1 and "no scores.json" in done.stderr

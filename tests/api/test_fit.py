"""`fit` makes what the command `train` makes; its log as columns."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from helpers import refused, run
from small_runs import SmallRuns

import ancestral
from ancestral.training.log import LogLine, columns_of
from ancestral.training.loop import Reporter

SMALL: dict[str, Any] = {"data": "digits", "epochs": 2, "train_size": 100, "valid_size": 20}
FLAGS = ("--data", "digits", "--epochs", 2, "--train-size", 100, "--valid-size", 20)
VARY = {"settings.json", "training.json", "manifest.json", "checkpoint", ".lock", "report.html"}  # have times in them


def files_of(folder: Path) -> dict[str, bytes]:
    there = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in there}


@pytest.mark.parametrize(
    "family, settings",
    [("mixture", {"components": 3}), pytest.param("autoencoder", {"hidden": (8,)}, marks=pytest.mark.slow)],
)
def test_fit_writes_the_same_files_as_the_command(family: str, settings: dict[str, Any], tmp_path: Path) -> None:
    """Scores and pictures to the byte; an autoencoder has no score."""
    words = [word for name, value in settings.items() for word in (f"--{name}", value if family == "mixture" else 8)]
    assert run("train", family, *FLAGS, *words, "--out", tmp_path / "command" / "run") == 0
    made = ancestral.fit(family, tmp_path / "function" / "run", report=True, **settings, **SMALL)
    command, function = files_of(tmp_path / "command" / "run"), files_of(made.path)
    assert set(command) == set(function)
    compared = {name for name in command if name.split("/")[0] not in VARY}
    assert {"figures/samples.png", "log.jsonl", "health.json"} <= compared
    assert ("scores.json" in compared) == (family == "mixture")
    assert [name for name in compared if command[name] != function[name]] == []
    assert made.page.exists() and len(made.scores()) == (family == "mixture")


def test_report_false_writes_no_report(tmp_path: Path) -> None:
    made = ancestral.fit("mixture", tmp_path / "run", report=False, **SMALL)
    assert not made.page.exists() and not made.scores() and not made.figures.exists()


@pytest.mark.slow
def test_a_script_gets_a_report_and_no_progress_bar(tmp_path: Path) -> None:
    """The default; it needs another process, because here the tests have set another one."""
    program = f"import ancestral; ancestral.fit('mixture', 'run', **{SMALL!r})"
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (tmp_path / "run" / "report.html").exists() and (tmp_path / "run" / "scores.json").exists()


def test_requested_progress_is_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    em = {"method": "em", **SMALL}
    ancestral.fit("mixture", tmp_path / "a", progress=True, **em)
    assert "has no effect" not in capsys.readouterr().err, "what the user did not give"
    ancestral.fit("mixture", tmp_path / "b", progress=True, learning_rate=0.1, **em)
    assert "--learning-rate has no effect" in capsys.readouterr().err
    ancestral.fit("mixture", tmp_path / "c", progress=False, learning_rate=0.1, **em)
    assert capsys.readouterr().err == ""


def test_a_reporter_replaces_the_progress_bar(tmp_path: Path) -> None:
    seen: list[int] = []

    class Steps(Reporter):
        def advance(self, step: int, readings: Any) -> None:
            seen.append(step)

    def fit(**how: Any) -> None:
        ancestral.fit("mixture", tmp_path / "run", reporter=Steps(), **how, **SMALL)

    refused(lambda: fit(progress=True), "progress=True or a reporter")
    refused(lambda: fit(progress="bar"), "progress is 'bar'", "'auto'")
    refused(lambda: fit(report="yes"), "report is 'yes'", "True or False")
    assert not (tmp_path / "run").exists()
    fit()
    assert seen


def test_the_history_has_a_row_for_each_step_and_a_column_for_each_reading(
    small_runs: SmallRuns, tmp_path: Path
) -> None:
    made = ancestral.Run(small_runs.copied(["vae"], tmp_path) / "vae")
    columns = made.history()
    lines = [json.loads(line) for line in made.log_path.read_text().splitlines()]
    steps = sorted({line["step"] for line in lines})
    assert columns["step"] == steps
    assert {len(values) for values in columns.values()} == {len(steps)}
    assert set(columns) == {"step", "epoch", *(f"{line['split']}/{line['name']}" for line in lines)}
    for line in lines:
        assert columns[f"{line['split']}/{line['name']}"][steps.index(line["step"])] == line["value"]
    known = sum(not math.isnan(value) for name, values in columns.items() if "/" in name for value in values)
    assert known == len(lines)


def test_the_columns_of_a_log() -> None:
    log = [LogLine(1, 1, "train", "loss", 5.0), LogLine(8, 1, "valid", "nll", 4.0), LogLine(8, 1, "train", "loss", 3.0)]
    columns = columns_of(log)
    assert columns["step"] == [1, 8] and columns["epoch"] == [1, 1] and columns["train/loss"] == [5.0, 3.0]
    assert math.isnan(columns["valid/nll"][0]) and columns["valid/nll"][1] == 4.0
    assert columns_of([]) == {"step": [], "epoch": []}

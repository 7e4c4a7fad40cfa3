"""`log.csv` and TensorBoard's events have what `log.jsonl` has, also after a kill."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from helpers import refused

from ancestral import fit
from ancestral.commands.main import main
from ancestral.runs import fit as fitting
from ancestral.runs.run import Run
from ancestral.training.log import LogLine, Reading, TrainingLog
from ancestral.training.reporters import Reporter
from ancestral.training.trackers import WideTable

SMALL: dict[str, Any] = {
    "data": "digits",
    "train_size": 200,
    "valid_size": 50,
    "epochs": 3,
    "batch_size": 50,
    "log_every": 3,
    "validate_every": 2,
    "hidden": (8,),
    "latents": 2,
}


class Stop(Reporter):
    def __init__(self, step: int) -> None:
        self.step = step

    def advance(self, step: int, readings: Sequence[Reading]) -> None:
        if step >= self.step:
            raise KeyboardInterrupt


def pivoted(lines: Sequence[LogLine]) -> dict[int, dict[str, float]]:
    rows: dict[int, dict[str, float]] = {}
    for line in lines:
        rows.setdefault(line.step, {"epoch": line.epoch})[f"{line.split}/{line.name}"] = line.value
    return rows


def test_the_table_has_every_reading_once_and_nothing_else(tmp_path: Path) -> None:
    run = fit("vae", tmp_path / "run", track=("csv",), watch=("train", "valid"), **SMALL)
    with (run.path / "log.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    read = {
        int(row["step"]): {name: float(text) for name, text in row.items() if name != "step" and text} for row in rows
    }
    assert read == pivoted(run.log()) and len(rows) == len(read) and len(read) > 6
    assert list(rows[0])[:3] == ["step", "epoch", "train/loss"]


@pytest.mark.parametrize("step", [1, 4, 6, 8, 11])
def test_a_table_of_a_resumed_training_has_the_bytes_of_an_uninterrupted_one(step: int, tmp_path: Path) -> None:
    whole = fit("vae", tmp_path / "whole", track=("csv",), **SMALL)
    with pytest.raises(KeyboardInterrupt):
        fit("vae", tmp_path / "parts", track=("csv",), reporter=Stop(step), checkpoint_seconds=0.0, **SMALL)
    table = tmp_path / "parts" / "log.csv"
    table.write_bytes(table.read_bytes() + b"half a li")  # of a process that was killed
    fit("vae", tmp_path / "parts", track=("csv",), resume=True, **SMALL)
    assert table.read_bytes() == (whole.path / "log.csv").read_bytes()


def test_a_quantity_that_comes_later_gets_a_column(tmp_path: Path) -> None:
    table = WideTable(tmp_path / "log.csv")
    table.write(1, 1, [Reading("train", "loss", 0.1)])
    table.write(2, 1, [Reading("train", "loss", math.nan)])
    table.write(2, 1, [Reading("valid", "a, b", -3.0)])
    table.write(3, 2, [Reading("valid", "c", 1e-9), Reading("train", "loss", 2.0)])
    assert (tmp_path / "log.csv").read_text() == ('step,epoch,train/loss,"valid/a, b"\n1,1,0.1,\n2,1,nan,-3.0\n'), (
        "the row of a step is written once the next one begins"
    )
    table.close()
    table.close()
    assert (tmp_path / "log.csv").read_text().splitlines() == [
        *('step,epoch,train/loss,"valid/a, b",valid/c', "1,1,0.1,,", "2,1,nan,-3.0,", "3,2,2.0,,1e-09"),
    ]


def test_a_table_is_a_function_of_the_lines_wherever_it_is_resumed(tmp_path: Path) -> None:
    lines = [
        LogLine(step, 1 + step // 4, *reading)
        for step in range(1, 8)
        for reading in ([("train", "loss", step / 3)] + [("valid", f"of {step}", 1.0)] * (step % 2))
    ]
    texts = set()
    for kept in range(len(lines) + 1):
        table = WideTable(tmp_path / "log.csv", lines[:kept])
        for line in lines[kept:]:
            table.write(line.step, line.epoch, [Reading(*line[2:])])
        table.close()
        texts.add((tmp_path / "log.csv").read_text())
    assert len(texts) == 1


def test_the_log_passes_on_what_it_writes(tmp_path: Path) -> None:
    log = TrainingLog(tmp_path / "log.jsonl", track=["csv"])
    log.write(5, 1, [Reading("train", "loss", 2.5)])
    log.close()
    assert (tmp_path / "log.csv").read_text() == "step,epoch,train/loss\n5,1,2.5\n"


def test_tensorboard_gets_what_the_log_gets(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = fit("mixture", tmp_path / "run", epochs=2, components=3, train_size=200, track=("tensorboard", "csv"))
    events = EventAccumulator(str(run.path / "tensorboard"))
    events.Reload()
    assert set(events.Tags()["scalars"]) == {f"{line.split}/{line.name}" for line in run.log()}
    assert (run.path / "log.csv").exists()


def test_events_of_steps_that_are_done_again_are_hidden(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    with pytest.raises(KeyboardInterrupt):
        fit("vae", tmp_path / "run", track=("tensorboard",), reporter=Stop(9), checkpoint_seconds=1000.0, **SMALL)
    run = fit("vae", tmp_path / "run", track=("tensorboard",), resume=True, **SMALL)
    events = EventAccumulator(str(run.path / "tensorboard"))
    events.Reload()
    steps = [event.step for event in events.Scalars("train/loss")]
    assert steps == sorted(set(steps)) == [line.step for line in run.log() if line[2:4] == ("train", "loss")]


def test_without_tensorboard_one_line_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fitting, "find_spec", lambda name: None)
    refused(
        lambda: fit("vae", tmp_path / "run", track=("tensorboard",), **SMALL), "--track tensorboard", "ancestral[track]"
    )
    assert not (tmp_path / "run").exists()
    fit("vae", tmp_path / "run", track=("csv",), **{**SMALL, "epochs": 1})


WORDS = ["--epochs", "1", "--train-size", "100", "--valid-size", "20", "--hidden", "4", "--tolerate"]


@pytest.mark.slow
def test_the_former_switch_is_a_value_of_the_setting(tmp_path: Path) -> None:
    assert main(["train", "vae", *WORDS, "--tensorboard", "--out", str(tmp_path / "a")]) == 0
    assert Run(tmp_path / "a").settings.training.track == ("tensorboard",)
    small = {**SMALL, "epochs": 1}
    assert fit("vae", tmp_path / "b", tensorboard=True, **small).settings.training.track == ("tensorboard",)
    assert fit("vae", tmp_path / "c", tensorboard=False, **small).settings.training.track == ()
    refused(lambda: fit("vae", tmp_path / "d", tensorboard=True, track=("csv",), **small), "'tensorboard' and 'track'")
    refused(lambda: fit("vae", tmp_path / "d", tensorboard="yes", **small), "true or false")
    refused(lambda: fit("vae", tmp_path / "d", track=("wandb",), **small), "--track wandb")
    assert main(["train", "vae", *WORDS, "--tensorboard", "--track", "csv", "--out", str(tmp_path / "d")]) == 2
    assert not (tmp_path / "d").exists()


@pytest.mark.parametrize(("stored", "track"), [(True, ("tensorboard",)), (False, ())])
def test_settings_of_earlier_versions_are_read(stored: bool, track: tuple[str, ...], tmp_path: Path) -> None:
    run = fit("vae", tmp_path / "run", **{**SMALL, "epochs": 1})
    record = json.loads((run.path / "settings.json").read_text())
    del record["settings"]["training"]["track"]
    record["settings"]["training"]["tensorboard"] = stored
    (run.path / "settings.json").write_text(json.dumps(record))
    (run.path / "manifest.json").unlink()
    assert Run(run.path).settings.training.track == track

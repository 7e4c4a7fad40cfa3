"""Calls of reporters, and that an exception in a reporter does not end a training."""

from __future__ import annotations

import logging
import re
import sys
import types
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import ancestral
from ancestral.core.errors import TrainingDiverged
from ancestral.training.log import Reading

PAGE = Path(__file__).parents[2] / "docs" / "trackers.md"
SMALL: dict[str, Any] = {
    "data": "digits",
    "train_size": 200,
    "valid_size": 50,
    "epochs": 2,
    "batch_size": 50,
    "log_every": 2,
    "hidden": (8,),
    "latents": 2,
}


class Recorder(ancestral.Reporter):
    def __init__(self) -> None:
        self.started: list[tuple[int, int]] = []
        self.told: list[tuple[int, str, str, float]] = []
        self.ended: list[str] = []

    def begin(self, total_steps: int, step: int) -> None:
        self.started.append((total_steps, step))

    def advance(self, step: int, readings: Sequence[Reading]) -> None:
        self.told += [(step, one.split, one.name, one.value) for one in readings]

    def finish(self, reason: str) -> None:
        self.ended.append(reason)


def test_a_reporter_gets_the_readings_of_the_log(tmp_path: Path) -> None:
    told = Recorder()
    run = ancestral.fit("vae", tmp_path / "run", reporter=told, **SMALL)
    assert told.started == [(8, 0)] and told.ended == ["epochs"]
    assert told.told == [(line.step, line.split, line.name, line.value) for line in run.log()]


def test_a_reporter_gets_the_reason_for_the_end(tmp_path: Path) -> None:
    class Impatient(Recorder):
        def advance(self, step: int, readings: Sequence[Reading]) -> None:
            if step == 4:
                raise KeyboardInterrupt

    stopped, resumed, wild = Impatient(), Recorder(), Recorder()
    with pytest.raises(KeyboardInterrupt):
        ancestral.fit("vae", tmp_path / "run", reporter=stopped, checkpoint_seconds=0.0, **SMALL)
    ancestral.fit("vae", tmp_path / "run", reporter=resumed, resume=True, **SMALL)
    assert stopped.ended == ["interrupted"] and resumed.ended == ["epochs"]
    ((total, step),) = resumed.started
    assert total == 8 and 0 < step <= 4
    with pytest.raises(TrainingDiverged):
        ancestral.fit("vae", tmp_path / "wild", reporter=wild, learning_rate=1e30, optimizer="sgd", **SMALL)
    assert wild.ended == ["diverged"]


@pytest.mark.parametrize("method", ["begin", "advance", "finish", "warn"])
def test_a_reporter_that_raises_is_not_called_again_and_causes_one_notice(
    method: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    calls: list[str] = []

    class Broken:
        def __getattr__(self, name: str) -> Any:
            def called(*arguments: Any) -> None:
                calls.append(name)
                if name == method:
                    raise ValueError("no\nnetwork")

            return called

    settings = {**SMALL, "epochs": 16, "beta": 50.0, "log_every": 1}  # a trouble is reported: posterior collapse
    settings |= {"train_size": 1000, "valid_size": 200} if method == "warn" else {"epochs": 2, "beta": 1.0}
    with caplog.at_level(logging.WARNING, "ancestral"):
        run = ancestral.fit("vae", tmp_path / "run", reporter=Broken(), **settings)  # type: ignore[arg-type]
    assert run.finished and calls.count(method) == 1 and calls[-1] == method, "no call after the failure"
    (notice,) = [record.getMessage() for record in caplog.records if "reporter" in record.getMessage()]
    assert (
        notice == f"the reporter Broken failed in {method} (ValueError: no network): the training continues without it"
    )


def test_an_object_without_methods_is_a_reporter(tmp_path: Path) -> None:
    told = Recorder()

    class OnlyTheEnd:
        finish = staticmethod(told.finish)

    ancestral.fit("vae", tmp_path / "run", reporter=OnlyTheEnd(), **SMALL)  # type: ignore[arg-type]
    assert told.ended == ["epochs"]


class StandIn(types.ModuleType):
    """A module with the calls of Weights & Biases and trackio that the handbook uses; a step never goes back."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.projects: list[tuple[str, dict[str, Any]]] = []
        self.logged: list[tuple[int, dict[str, float]]] = []
        self.finished: list[int] = []

    def init(self, *, project: str, config: dict[str, Any]) -> StandIn:
        self.projects.append((project, config))
        return self

    def log(self, metrics: dict[str, float], *, step: int) -> None:
        assert not self.logged or step >= self.logged[-1][0]
        assert all(type(value) is float for value in metrics.values())
        self.logged.append((step, metrics))

    def finish(self, exit_code: int = 0) -> None:
        self.finished.append(exit_code)


@pytest.mark.parametrize("name", ["wandb", "trackio"])
def test_the_example_of_the_handbook(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (block,) = [text for text in re.findall(r"```py\n(.*?)```", PAGE.read_text(), re.S) if f"import {name}" in text]
    module = StandIn(name)
    monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.chdir(tmp_path)
    scope: dict[str, Any] = {"__name__": "example"}
    exec(compile(block, f"{PAGE.name}: {name}", "exec"), scope)
    run = scope["run"]
    ((project, config),) = module.projects
    assert project == "digits" and config["epochs"] == 2 and module.finished == [0]
    told = [(step, tag, value) for step, metrics in module.logged for tag, value in metrics.items()]
    assert told == [(line.step, f"{line.split}/{line.name}", line.value) for line in run.log()]

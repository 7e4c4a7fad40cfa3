"""`protocol` was formerly called `split`. The former name still works everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from helpers import refused

from ancestral.commands.dispatch import COMMANDS
from ancestral.commands.main import main
from ancestral.families.run_settings import settings_for
from ancestral.runs.stored_settings import settings_from_json, settings_to_json
from ancestral.studies.recipe import QUICK_MNIST, PlannedRun
from ancestral.sweeps.sweep_axes import axis_from, split_axes


def read(monkeypatch: pytest.MonkeyPatch, verb: str, *words: str) -> dict[str, Any]:
    """The arguments of a training command; nothing is trained."""
    called: dict[str, Any] = {}
    command = COMMANDS[verb]

    def record(**given: Any) -> None:
        called.update(given)

    record.__doc__, record.__signature__ = command.__doc__, __import__("inspect").signature(command)
    monkeypatch.setitem(COMMANDS, verb, record)
    assert main([verb, "vae", "--data", "mnist", *words]) == 0
    return called


@pytest.mark.parametrize("verb", ["train", "sweep"])
@pytest.mark.parametrize(
    "words",
    [["--protocol", "uva2020"], ["--protocol=uva2020"], ["--split", "uva2020"], ["--split=uva2020"]],
    ids=" ".join,
)
def test_both_names_are_read_on_the_command_line(monkeypatch: pytest.MonkeyPatch, verb: str, words: list[str]) -> None:
    assert read(monkeypatch, verb, *words)["data"].protocol == "uva2020"


@pytest.mark.parametrize("name", ["protocol", "split"])
def test_both_names_are_read_in_a_recipe(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str) -> None:
    (tmp_path / "recipe.yaml").write_text(f"{name}: uva2020\n")
    recipe = ["--recipe", str(tmp_path / "recipe.yaml")]
    assert read(monkeypatch, "train", *recipe)["data"].protocol == "uva2020"
    assert read(monkeypatch, "train", *recipe, "--split", "tue2024")["data"].protocol == "tue2024"


def test_help_shows_only_the_present_flag(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "vae", "--help"]) == 0
    out = capsys.readouterr().out
    assert "--protocol" in out and "--split " not in out


def test_both_names_are_keywords() -> None:
    assert settings_for("vae", data="mnist", split="uva2020") == settings_for("vae", data="mnist", protocol="uva2020")
    refused(lambda: settings_for("vae", data="mnist", split="uva2020", protocol="tue2024"), "split", "protocol")
    refused(lambda: settings_for("vae", data="mnist", split="uva2021"), "--protocol uva2021")


def test_the_settings_of_an_earlier_run_are_read() -> None:
    settings = settings_for("vae", data="mnist", protocol="uva2020")
    record = settings_to_json(settings)
    data = {("split" if name == "protocol" else name): value for name, value in record["data"].items()}
    assert "protocol" not in data and settings_from_json({**record, "data": data}) == settings


def test_a_planned_run_may_use_both_names() -> None:
    run = PlannedRun("vae", "a VAE", "vae", {"data": "mnist", "split": "uva2020"})
    assert run.settings_under("default", QUICK_MNIST).data.protocol == "uva2020"
    assert run.settings_under("quick", QUICK_MNIST).data.protocol is None
    assert run.settings_under("quick", {"epochs": 1, "split": None}).data.protocol is None


@pytest.mark.parametrize("name", ["protocol", "split"])
def test_it_cannot_be_swept(name: str) -> None:
    refused(lambda: axis_from("vae", name, "uva2018,uva2020"), "--protocol", "do not compare")
    refused(lambda: split_axes([f"--{name}", "uva2018,uva2020"], "vae"), "--protocol", "do not compare")

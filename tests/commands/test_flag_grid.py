"""Values out of range in every numeric flag of every command: one line and exit code 2, before any work.

`scripts/flag_grid.py` is the long version: it trains, in a process for each value.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import pytest
from helpers import ROOT, Captured, run

from ancestral.commands.dispatch import COMMANDS
from ancestral.families.catalogue import BUILT_IN, find
from ancestral.settings.checks import flag, without_none
from ancestral.settings.data import DataSettings
from ancestral.settings.training import TrainingSettings

sys.path.insert(0, str(ROOT / "scripts"))

import flag_grid

WRONG = (str(2**130), "nan", "")


def assert_refused_at_once(capsys: Captured, *words: str, holds: str) -> None:
    capsys.readouterr()
    assert run(*words) == 2, words
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("ancestral: ") and err.count("\n") == 1 and holds in err, (words, err)
    assert len(err) < 700


def never(**given: Any) -> None:
    raise AssertionError("the command was carried out")


@pytest.fixture(autouse=True)
def only_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Commands are parsed but not run."""
    monkeypatch.chdir(tmp_path)
    for name, command in list(COMMANDS.items()):

        def record(**given: Any) -> None:
            never(**given)

        record.__doc__, record.__name__ = command.__doc__, name
        record.__signature__ = inspect.signature(command)  # type: ignore[attr-defined]
        record.__annotations__ = get_type_hints(command, include_extras=True)
        monkeypatch.setitem(COMMANDS, name, record)


PARTS = {family: find(family).settings for family in BUILT_IN} | {"training": TrainingSettings, "data": DataSettings}


@pytest.mark.parametrize("part", PARTS)
def test_a_number_out_of_range_is_refused(capsys: Captured, part: str) -> None:
    family = part if part in BUILT_IN else "vae"
    names = list(flag_grid.numeric_flags(PARTS[part]))
    assert names
    for i, name in enumerate(names):  # every flag with one value; all values together in turn
        assert_refused_at_once(capsys, "train", family, name, WRONG[i % len(WRONG)], holds=name)


def numbers_of_commands() -> Iterator[tuple[str, str, bool]]:
    """Command, argument, and whether it takes several numbers."""
    for command, function in COMMANDS.items():
        hints = get_type_hints(function)
        for name in inspect.signature(function).parameters:
            hint = without_none(hints[name])
            kind = get_args(hint)[0] if get_origin(hint) is tuple else hint
            if not is_dataclass(hint) and kind in (int, float):
                yield command, name, get_origin(hint) is tuple


POSITIONAL = {
    "draw": ["samples", "run"],
    "study": ["tour"],
    "sweep": ["vae"],
    "data": [],
    "decompress": ["x.anc", "--run", "run"],
}


@pytest.mark.parametrize(("command", "name", "several"), list(numbers_of_commands()))
def test_every_number_of_a_command_has_bounds(capsys: Captured, command: str, name: str, several: bool) -> None:
    words = [command, *POSITIONAL.get(command, ["run"])]
    words += ["--out", "a.png"] if "out" in inspect.signature(COMMANDS[command]).parameters else []
    for value in ("1e308" if name == "value_range" else 2**63, "nan"):
        assert_refused_at_once(capsys, *words, flag(name), *[str(value)] * (2 if several else 1), holds=flag(name))
    if name not in ("split_seed", "value_range"):  # the settings of the data check these
        least = -1 if name == "seed" else -(2**31)
        assert_refused_at_once(capsys, *words, flag(name), *[str(least)] * (2 if several else 1), holds=flag(name))


def test_the_list_of_numeric_arguments_is_complete() -> None:
    found = {(command, name) for command, name, _ in numbers_of_commands()}
    assert {("evaluate", "samples"), ("sample", "n"), ("bracket", "leapfrogs"), ("study", "learning_rates")} <= found
    assert len(found) > 25


def test_the_script_classifies_outcomes(tmp_path: Path) -> None:
    """Its cases are all numeric flags; its outcomes distinguish a refusal, a fault and a start."""
    cases = list(flag_grid.cases(["vae", "gan"]))
    assert {"--importance-samples", "--critic-hidden", "--epochs", "--pad-to"} <= {words[-2] for _, words in cases}
    kind, line, _ = flag_grid.outcome(["train", "vae", "--epochs", "0"], tmp_path, 60.0)
    assert kind == "refused" and "--epochs 0" in line
    assert flag_grid.outcome(["train", "vae", "--latents", "3"], tmp_path, 60.0)[0] == "TRACEBACK", "`never` is called"

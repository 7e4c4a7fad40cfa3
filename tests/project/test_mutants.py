"""The deliberate mistakes of `make mutants` can be applied: each piece of code occurs exactly once."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from helpers import ROOT

sys.path.insert(0, str(ROOT / "scripts"))

import mutants


def test_every_mutant_applies_and_names_tests_that_exist() -> None:
    found = mutants.mutants()
    assert [f"{mutant.name}: {mutant.problem}" for mutant in found if mutant.problem] == []
    assert len({mutant.name for mutant in found}) == len(found) >= 300


def test_invalid_mutants_are_reported(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A piece that does not occur or occurs twice, a replacement that is not Python, a test that does not exist."""
    sound = mutants.Mutant("core", "m.py", "a = 1", "a = 2", "wrong", ("tests/project/test_mutants.py",))
    texts = {"sound": "a = 1\n", "gone": "b = 1\n", "twice": "a = 1\na = 1\n"}
    monkeypatch.setattr(mutants.Mutant, "name", property(lambda self: self.wrong))
    whole = Path.read_text
    for name, expected in (("sound", ""), ("gone", "occurs 0 times"), ("twice", "occurs 2 times")):
        monkeypatch.setattr(Path, "exists", lambda self: True)
        monkeypatch.setattr(
            Path,
            "read_text",
            lambda self, *rest, text=texts[name]: text if self.name == "m.py" else whole(self, *rest),
        )
        assert expected in sound.problem and bool(sound.problem) == bool(expected)
        monkeypatch.setattr(mutants, "mutants", lambda: [sound])
        assert mutants.main(["--list"]) == (1 if expected else 0)
        assert ("NO LONGER APPLIES" in capsys.readouterr().out) == bool(expected)
        if name == "sound":
            assert "no Python" in sound._replace(new="a = = 2").problem
            assert "no test tests/gone.py" in sound._replace(tests=("tests/gone.py",)).problem
            assert "no test" in sound._replace(tests=("tests/project/test_mutants.py::test_gone",)).problem

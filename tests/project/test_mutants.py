"""The deliberate mistakes of `make mutants` can still be made: their pieces of code are there, once each."""

from __future__ import annotations

import sys

from helpers import ROOT

sys.path.insert(0, str(ROOT / "scripts"))

import mutants


def test_every_mutant_applies_and_names_tests_that_exist() -> None:
    found = mutants.mutants()
    assert [f"{mutant.name}: {mutant.problem}" for mutant in found if mutant.problem] == []
    assert len({mutant.name for mutant in found}) == len(found) >= 80
    paths = {word.partition("::")[0] for mutant in found for word in mutant.tests if word.startswith("tests/")}
    assert [path for path in sorted(paths) if not (ROOT / path).exists()] == []

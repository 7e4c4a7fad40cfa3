"""A sweep whose runs start from trained weights has the settings of their run, and is checked before it begins."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest
from helpers import refused, train_without_page

import ancestral
from ancestral.commands.main import main
from ancestral.runs.run import Run
from ancestral.sweeps.sweep_axes import folder_name

SMALL: dict[str, Any] = {"train_size": 100, "valid_size": 40, "latents": 2, "hidden": (4,), "batch_size": 50}
RATES = (1e-2, 1e-3)


@pytest.fixture(scope="module")
def parent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained run that no test changes."""
    return ancestral.fit("vae", tmp_path_factory.mktemp("runs") / "parent", epochs=1, seed=3, **SMALL).path


def run_of(out: Path, rate: float) -> Run:
    return Run(out / "runs" / folder_name({"learning_rate": rate, "seed": 3}))


@pytest.mark.parametrize("way", ["path", "run", "words"])
def test_a_sweep_has_the_settings_of_the_parent(way: str, parent: Path, tmp_path: Path) -> None:
    out, axes = tmp_path / "out", {"learning_rate": RATES}
    if way == "words":
        words = f"sweep vae --init-from {parent} --learning-rate 1e-2,1e-3 --objective iwae --out {out}"
        assert main(shlex.split(words)) == 0
    else:
        start = ancestral.Run(parent) if way == "run" else parent
        ancestral.sweep("vae", out, axes, init_from=start, objective="iwae", progress=False)
    assert len(list((out / "runs").iterdir())) == 2
    for rate in RATES:
        run = run_of(out, rate)
        assert run.settings.data == Run(parent).settings.data and run.settings.training.seed == 3
        assert (run.settings.model.latents, run.settings.model.hidden, run.settings.model.objective) == (
            2,
            (4,),
            "iwae",
        )
        assert run.settings.training.learning_rate == rate
        assert run.record["parent"]["weights_sha256"] == Run(parent).weights_sha256
    alone = ancestral.fit("vae", tmp_path / "alone", init_from=parent, objective="iwae", learning_rate=RATES[1])
    assert alone.weights_sha256 == run_of(out, RATES[1]).weights_sha256


def test_varied_and_given_settings_are_not_inherited(
    parent: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="ancestral")
    given: dict[str, Any] = {"init_from": parent, "bs": 20, "progress": False}
    done = ancestral.sweep("vae", tmp_path / "out", {"learning_rate": RATES}, **given)
    for row in done.combinations:
        (run,) = row.runs
        assert run.settings.training.batch_size == 20
        assert run.settings.training.learning_rate == row.values["learning_rate"]
    (note,) = [line for line in caplog.messages if "settings taken from" in line]
    assert "--latents 2" in note and "--batch-size" not in note and "--learning-rate" not in note


@pytest.mark.parametrize(
    ("family", "axes", "given", "holds"),
    [
        ("vae", {"latents": (2, 3)}, {}, "latents 3: --init-from"),
        ("vae", {"learning_rate": RATES}, {"hidden": (5,)}, "its weights do not fit this model"),
        ("vae", {"learning_rate": RATES}, {"freeze": ("encodr",)}, "did you mean encoder"),
        ("made", {"learning_rate": RATES}, {}, "this run is of the family vae"),
        ("vae", {"learning_rate": RATES}, {"init_from": "absent"}, "absent"),
        ("vae", {"learning_rate": RATES}, {"init_from": 3}, "init_from is a run or its folder"),
        ("vae", {"init_from": ("a", "b")}, {}, "--init-from cannot be swept"),
    ],
)
def test_a_start_that_does_not_fit_is_refused_and_nothing_is_written(
    family: str, axes: dict[str, Any], given: dict[str, Any], holds: str, parent: Path, tmp_path: Path
) -> None:
    settings = {"init_from": parent, **given}
    refused(lambda: ancestral.sweep(family, tmp_path / "out", axes, progress=False, **settings), holds)
    assert not (tmp_path / "out").exists()


def test_an_underscore_in_a_flag_changes_nothing(parent: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    train_without_page("vae", "--init_from", parent, "--out", out, "--tolerate")
    assert Run(out).settings.model == Run(parent).settings.model

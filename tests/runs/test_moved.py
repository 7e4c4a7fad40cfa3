"""A run without its data: verbs that use no data open none, others say where the data were, and take other data."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers import printed, refused, run
from small_runs import BRIEF, SMALL_RUNS

from ancestral import evaluate, fit, sample
from ancestral.core.errors import DataNotHere, InputError
from ancestral.data import datasets
from ancestral.data.datasets import load_dataset
from ancestral.reports.pictures.catalogue import draw, draw_all, drawings_of
from ancestral.reports.run_page import write_run_page
from ancestral.runs import run_data
from ancestral.runs.export import copy_run
from ancestral.runs.run import Run
from ancestral.settings.data import POINT_SETS

DIGITS = load_dataset("digits")
QUICK = ("vae", "made", "moons", "classes")  # the other families are tried by the slow tests
FREE = {"samples", "walks", "manifold", "steps", "curves", "components", "density"}
"""Drawings that need no data, of those that a family has; of a model that searches for codes also `traversals`."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of every family on images of one's own, and other images beside them."""
    folder = tmp_path_factory.mktemp("moved")
    assert DIGITS.train.labels is not None and DIGITS.test.labels is not None
    np.savez(folder / "own.npz", images=DIGITS.train.images.numpy(), labels=DIGITS.train.labels.numpy())
    np.savez(folder / "others.npz", images=DIGITS.test.images.numpy()[:40], labels=DIGITS.test.labels.numpy()[:40])
    return folder


def trained(folder: Path, name: str) -> Path:
    """A run of `SMALL_RUNS` on the images of one's own; named points stay what they are."""
    if not (folder / name).exists():
        family, settings = SMALL_RUNS[name]
        fit(family, folder / name, **{"data": str(folder / "own.npz"), **settings, **BRIEF})
    return folder / name


@pytest.fixture(params=[pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in SMALL_RUNS])
def moved(request: pytest.FixtureRequest, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of a run in an empty place, in another working directory; to open its data fails."""
    source = trained(folder, request.param)
    place = tmp_path / "elsewhere" / request.param
    copy_run(Run(source), place, with_images=False)
    monkeypatch.chdir(tmp_path)
    return place


def never(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every reading of images fail; points of a named density are drawn, not read."""

    def opened(*arguments: Any, **options: Any) -> None:
        raise AssertionError("data were opened")

    for module in (run_data, datasets):
        for name in ("load_dataset", "read_source"):
            monkeypatch.setattr(module, name, opened, raising=False)


def test_commands_that_need_no_data_open_none(moved: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    never(monkeypatch)
    opened = Run(moved)
    known = drawings_of(opened)
    points = opened.settings.data.data in POINT_SETS
    searches = opened.load().encodes_by_search
    assert torch.equal(sample(opened, 5, seed=3), sample(Run(folder / moved.name), 5, seed=3))
    drawn, lacking = set(), {}
    for name in known:
        try:
            draw(Run(moved), name, **({"count": 8} if name in ("samples", "walks", "components") else {}))
            drawn.add(name)
        except DataNotHere as error:
            lacking[name] = str(error)
        except InputError:
            continue
    assert {"samples", "curves"} <= drawn
    assert points or drawn <= FREE | ({"traversals"} if searches else set())
    assert not lacking.keys() & FREE, "these need no data"
    assert all("are not at" in line and "give --data" in line for line in lacking.values())
    assert points or {"completions", "neighbours"} & lacking.keys()


def test_files_of_samples_need_no_data(
    moved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    never(monkeypatch)
    points = Run(moved).data.space.noun == "points"
    for out in ("a.png", "a.npy", "a.csv" if points else "folder"):
        printed(capsys, "sample", moved, "-n", 4, "--out", tmp_path / out)
    for what in ("samples", "curves"):
        printed(capsys, "draw", what, moved, "--out", tmp_path / f"{what}.png")


def test_other_data_can_replace_missing_data(moved: Path, folder: Path, tmp_path: Path, capsys: Any) -> None:
    if Run(moved).settings.data.data in POINT_SETS:
        pytest.skip("points of a named density are always at hand")
    others, scores = folder / "others.npz", Run(moved).scores()
    for verb, words in {
        "evaluate": (),
        "infer": ("--out", tmp_path / "z.npz"),
        "complete": ("--out", tmp_path / "c.png", "--count", 2),
    }.items():
        capsys.readouterr()
        code = run(verb, moved, "--data", others, *words)
        told = capsys.readouterr().err
        assert code == 0 or ("no likelihood" in told or "has no latents" in told or "not complete" in told), told
        assert "are not at" not in told
        assert run(verb, moved, *words) == 2
        assert code != 0 or "give --data" in capsys.readouterr().err
    assert Run(moved).scores() == scores, "scores of other data are not the run's"
    own = shutil.copy(folder / "own.npz", tmp_path / "again.npz")
    try:
        found = evaluate(Run(moved), data=own)
    except InputError as error:
        assert "no likelihood" in str(error)
    else:
        assert found == evaluate(Run(folder / moved.name)), "under the name that the run knows them by"
        assert Run(moved).scores() == [found], "data that are the run's own, at another place, are its own"


def test_a_page_is_made_without_the_data(moved: Path) -> None:
    page = write_run_page(Run(moved)).read_text()
    assert "Pictures" in page
    assert {"samples", "curves"} <= {file.stem for file in (moved / "figures").iterdir()}
    if Run(moved).settings.data.data not in POINT_SETS:
        before, after = page.split(" are not at ")  # said once
        assert "completions" in before.rpartition(">")[2] and "give --data" in after.partition("<")[0]


@pytest.mark.slow
def test_a_picture_drawn_before_stays_on_the_page(folder: Path, tmp_path: Path) -> None:
    source = Run(trained(folder, "vae"))
    write_run_page(source)
    copy_run(source, tmp_path / "copy", with_images=True)
    before = (tmp_path / "copy/figures/reconstructions.png").read_bytes()
    drawn, lacking = draw_all(Run(tmp_path / "copy"))
    assert "reconstructions" in drawn and lacking == []
    assert (tmp_path / "copy/figures/reconstructions.png").read_bytes() == before


def test_a_missing_named_data_set_is_not_downloaded(
    folder: Path, tmp_path: Path, monkeypatch: Any, capsys: Any
) -> None:
    monkeypatch.setenv("ANCESTRAL_DATA", str(tmp_path / "none"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("pooch.retrieve", lambda *_, **__: pytest.fail("it was downloaded"))
    opened = Run(trained(folder, "made"))
    for words in (
        ("evaluate", "--data", "kmnist"),
        ("detect", "--against", "kmnist"),
        ("complete", "--data", "kmnist"),
    ):
        out = ("--out", str(tmp_path / "x.png")) if words[0] == "complete" else ()
        assert run(words[0], opened.path, *words[1:], *out) == 2
        assert "kmnist" in capsys.readouterr().err
    opened.record["settings"]["data"]["data"] = "kmnist"
    refused(
        lambda: opened.data.dataset,
        f"are not at {tmp_path}/none/kmnist",
        "give --data PATH",
        "--fetch",
        kind=DataNotHere,
    )
    assert not (tmp_path / "cache").exists()


def test_missing_data_that_were_in_memory_are_requested(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = DIGITS.train.images.numpy()[:60]
    made = fit("vae", tmp_path / "run", data=images, latents=2, hidden=(4,), epochs=1)
    monkeypatch.setattr("ancestral.data.memory._held", {})
    again = Run(made.path)
    assert sample(again, 2).shape == (2, 1, 8, 8)
    refused(lambda: again.data.dataset, "data in memory", "data=...", kind=DataNotHere)
    assert evaluate(again, data=images).count == again.record["data"]["counts"]["test"]


def test_a_given_file_with_the_same_name_is_other_data(folder: Path, tmp_path: Path, monkeypatch: Any) -> None:
    copy_run(Run(trained(folder, "made")), tmp_path / "copy", with_images=False)
    monkeypatch.chdir(tmp_path)
    np.savez("own.npz", images=DIGITS.test.images.numpy())
    opened = Run(tmp_path / "copy")
    kept = opened.scores()
    refused(lambda: opened.data.dataset, "have changed")
    assert evaluate(Run(tmp_path / "copy"), data="own.npz").count == len(DIGITS.test)
    assert Run(tmp_path / "copy").scores() == kept

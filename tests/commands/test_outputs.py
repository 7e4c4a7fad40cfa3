"""Default output files of commands, file formats, and lists of available drawings."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from helpers import Captured, printed, refused, run, train_without_page
from PIL import Image

import ancestral
from ancestral.commands.places import PICTURES, picture_of
from ancestral.core.errors import InputError
from ancestral.figures.grids import image_grid
from ancestral.figures.style import FORMATS, save_figure
from ancestral.reports.pictures.catalogue import draw, drawings_of
from ancestral.runs.run import Run

SMALL = ["--epochs", "1", "--train-size", "120", "--valid-size", "40", "--tolerate"]
FAMILIES = {
    "vae": ["--latents", "2", "--hidden", "8"],
    "made": ["--hidden", "8"],
    "mixture": ["--components", "3"],
    "flow": ["--data", "moons", "--depth", "2"],
    "gan": ["--hidden", "8", "--critic-hidden", "8"],
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of each family, that of the VAE with a page."""
    folder = tmp_path_factory.mktemp("runs")
    assert run("train", "vae", *FAMILIES["vae"], *SMALL, "--out", folder / "vae") == 0
    for family, words in list(FAMILIES.items())[1:]:
        train_without_page(family, *words, *SMALL, "--out", folder / family)
    return folder


@pytest.fixture
def vae(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained / "vae", tmp_path / "vae"))


def kind_of(content: bytes) -> str:
    starts = {"png": b"\x89PNG", "jpg": b"\xff\xd8\xff", "pdf": b"%PDF-", "svg": b"<?xml"}
    return next(kind for kind, start in starts.items() if content.startswith(start))


# ---- forms


@pytest.mark.parametrize("ending", [*FORMATS, "PNG", "Svg"])
def test_a_figure_has_the_format_of_its_ending_and_reproducible_bytes(ending: str, tmp_path: Path) -> None:
    contents = []
    salt = mpl.rcParams["svg.hashsalt"]
    for number in range(2):
        path = tmp_path / f"{number}.{ending}"
        save_figure(image_grid(np.linspace(0, 1, 64).reshape(1, 1, 8, 8), title="one"), path)
        contents.append(path.read_bytes())
    assert contents[0] == contents[1] and kind_of(contents[0]) == ending.lower()
    assert mpl.rcParams["svg.hashsalt"] == salt, "a setting of the whole process is put back"
    for word in (b"Matplotlib", b"matplotlib.org", b"CreationDate", b"<dc:date>"):
        assert word not in contents[0] or (ending.lower() == "svg" and word == b"Matplotlib"), word


def test_png_and_jpg_files_have_the_same_pixels(tmp_path: Path) -> None:
    figure = image_grid(np.linspace(0, 1, 64).reshape(1, 1, 8, 8))
    read = []
    for ending in ("png", "jpg"):
        save_figure(figure, tmp_path / f"a.{ending}")
        read.append(np.asarray(Image.open(tmp_path / f"a.{ending}").convert("RGB"), float))
    assert read[0].shape == read[1].shape and np.abs(read[0] - read[1]).mean() < 2


@pytest.mark.parametrize("name", ["a.gif", "a", "a.jpeg", "a.tiff", "a.pgf"])
def test_other_file_formats_are_refused(name: str, tmp_path: Path) -> None:
    refused(lambda: save_figure(image_grid(np.zeros((1, 1, 8, 8))), tmp_path / name), ".png, .jpg, .pdf, .svg")
    assert not list(tmp_path.iterdir())


COMMANDS = {
    "draw": ["draw", "samples", "{}"],
    "sample": ["sample", "{}", "-n", "4"],
    "complete": ["complete", "{}", "--count", "2", "--draws", "1"],
    "explain": ["explain", "{}", "--count", "20"],
    "detect": ["detect", "{}", "--against", "noise", "--trials", "20", "--count", "60"],
    "quality": ["quality", "{}", "--count", "80", "--features", "pixels"],
    "data": ["data", "digits"],
}


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_accepts_each_picture_format(command: str, vae: Path, capsys: Captured) -> None:
    words = [word.format(vae) for word in COMMANDS[command]]
    flag = "--picture" if command == "quality" else "--out"
    assert run(*words, flag, vae / "picture.bmp") == 2
    assert ".png, .jpg, .pdf or .svg" in capsys.readouterr().err.replace(", .npy or .csv", "").replace(
        ".pdf, .svg", ".pdf or .svg"
    )
    for ending in PICTURES if command in ("draw", "sample") else (".pdf",):
        _, err = printed(capsys, *words, flag, vae / f"picture{ending}")
        assert kind_of((vae / f"picture{ending}").read_bytes()) == ending[1:] and f"picture{ending}" in err


# ---- places

PLACES = {
    "draw samples {}": "figures/samples.png",
    "draw samples {} --count 3 --seed 2": "figures/samples-count-3-seed-2.png",
    "draw reconstructions {} --data digits --split train": "figures/reconstructions-on-digits-split-train.png",
    "sample {}": "figures/draws-64.png",
    "sample {} -n 5 --seed 1 --mean": "figures/draws-5-seed-1-means.png",
    "complete {} --count 2": "figures/complete-halves-count-2.png",
    "complete {} {} --hide left": "figures/complete-left-of-2-runs.png",
    "infer {}": "latents-test.npz",
    "infer {} --split valid --count 7": "latents-valid-count-7.npz",
}


@pytest.mark.parametrize("words", PLACES)
def test_the_default_output_file_is_printed(words: str, vae: Path, capsys: Captured) -> None:
    before = {path: path.read_bytes() for path in vae.rglob("*") if path.is_file()}
    _, err = printed(capsys, *words.format(*[vae] * 2).split())
    assert str(vae / PLACES[words]) in err.splitlines()[-1] and (vae / PLACES[words]).exists()
    now = {path: path.read_bytes() for path in vae.rglob("*") if path.is_file()}
    assert {path for path in before if now[path] != before[path]} == set(), "a page's pictures stay as they are"
    assert set(now) - set(before) <= {vae / PLACES[words]}


def test_one_sample_is_not_many(vae: Path, capsys: Captured, tmp_path: Path) -> None:
    for words, said in (
        (["-n", "1"], "1 image: "),
        (["-n", "1", "--mean"], "1 mean (not samples): "),
        ([], "64 images: "),
    ):
        assert printed(capsys, "sample", vae, *words, "--out", tmp_path / "x.npy")[1].startswith(said)


def test_the_default_file_name_contains_changed_options() -> None:
    run = Path("runs/a")
    assert picture_of(run, "samples", seed=0) == picture_of(run, "samples", seed=None) == run / "figures/samples.png"
    assert picture_of(run, "samples", on="../x y") == run / "figures/samples-on-..-x-y.png"
    assert picture_of(run, "samples", label="a/b").parent == run / "figures"


# ---- what can be drawn


@pytest.mark.parametrize(
    "family", [pytest.param(name, marks=pytest.mark.slow if name in ("flow", "gan") else ()) for name in FAMILIES]
)
def test_draw_with_only_a_run_lists_its_drawings(
    family: str, trained: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "70")
    before = sorted(trained.rglob("*"))
    out, err = printed(capsys, "draw", trained / family)
    listed = re.findall(r"^  ([a-z][\w-]*)(?:  |$)", out, re.MULTILINE)
    opened, possible = Run(trained / family), []
    for name, drawing in drawings_of(opened).items():
        try:
            if not drawing.on_request:
                draw(opened, name)
            possible.append(name)
        except InputError:
            pass
    assert listed == possible and 5 <= len(listed) < len(drawings_of(opened))
    assert max(map(len, out.splitlines())) <= 70
    assert all(drawings_of(opened)[name].caption.split()[0] in out for name in listed)
    assert f"ancestral draw {listed[0]} {trained / family}" in err
    assert sorted(trained.rglob("*")) == before, "nothing is written"


PAGES = {
    **{name: [name, *words] for name, words in FAMILIES.items() if name != "vae"},
    "vae of levels": ["vae", *FAMILIES["vae"], "--pixels", "levels"],
    "belief-net": ["belief-net", "--latents", "3"],
    "gan by class": ["gan", "--classes", "10", *FAMILIES["gan"]],
    "flow of images": ["flow", "--width", "4", "--couplings", "1"],
}


@pytest.mark.slow
@pytest.mark.parametrize("name", PAGES)
def test_the_page_of_a_run_has_every_drawing_of_its_family(name: str, tmp_path: Path) -> None:
    """The quick tests draw them too, without a page; `vae` is the one with a page there."""
    assert run("train", *PAGES[name], *SMALL, "--out", tmp_path / "run") == 0
    opened, drawn = Run(tmp_path / "run"), {path.stem for path in (tmp_path / "run" / "figures").glob("*.png")}
    for what, drawing in drawings_of(opened).items():
        if drawing.on_request:
            assert what not in drawn
            continue
        try:
            draw(opened, what)
        except InputError:
            assert what not in drawn
        else:
            assert what in drawn and what in opened.page.read_text()


# ---- all runs of a folder


def test_compare_accepts_a_folder_of_runs(trained: Path, tmp_path: Path, capsys: Captured) -> None:
    for place, family in {"b": "vae", "group/a": "made", "group/deep/c": "mixture", "gan": "gan"}.items():
        shutil.copytree(trained / family, tmp_path / place)
    shutil.copytree(trained / "vae", tmp_path / "begun")
    for name in ("training.json", "manifest.json"):
        (tmp_path / "begun" / name).unlink()
    (tmp_path / "notes").mkdir()
    out, err = printed(capsys, "compare", tmp_path, "--json")
    assert {score["run"] for score in json.loads(out)} == {"a", "b", "c"}
    left = [line for line in err.splitlines() if "is omitted" in line]
    assert left == [
        f"{tmp_path / 'begun'} is omitted: its training is not finished (continue it with --resume)",
        f"{tmp_path / 'gan'} is omitted: it has no score of test images (compute one with: ancestral evaluate)",
    ]
    assert ancestral.compare(tmp_path).names == [score["run"] for score in json.loads(out)]
    out, _ = printed(capsys, "compare", tmp_path / "group", tmp_path / "b", "--json")
    assert {score["run"] for score in json.loads(out)} == {"a", "b", "c"}


def test_a_folder_without_runs_is_refused(trained: Path, tmp_path: Path, capsys: Captured) -> None:
    assert run("compare", tmp_path) == 2
    assert "contains none" in capsys.readouterr().err
    shutil.copytree(trained / "gan", tmp_path / "gan")
    assert run("compare", tmp_path) == 2
    assert "no run with a score" in capsys.readouterr().err
    refused(lambda: ancestral.compare(tmp_path), "or a folder of runs with scores")
    refused(lambda: ancestral.compare("nowhere"), "compare: runs")

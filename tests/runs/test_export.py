"""A run packed into one file: the same run where it is unpacked, and nothing of private data or of this machine."""

from __future__ import annotations

import json
import re
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers import printed, refused, run, train_without_page
from PIL import Image
from small_runs import SMALL_RUNS, SmallRuns

import ancestral
from ancestral import evaluate, export, fit, sample
from ancestral.core.errors import InputError
from ancestral.core.files import json_bytes
from ancestral.data.datasets import load_dataset
from ancestral.reports.run_page import write_run_page
from ancestral.runs.detect import detect_run
from ancestral.runs.evaluate import score_run
from ancestral.runs.export import FILES
from ancestral.runs.manifest import RECORDS, STATE
from ancestral.runs.run import Run
from ancestral.runs.thumbnails import sheet, thumbnails_of
from ancestral.runs.verify import verify_run

DIGITS = load_dataset("digits")
QUICK = ("vae", "mixture", "moons")  # the other families are tried by the slow tests
PUBLIC = {"README.md", "report.html", "thumbnails/train.png", "thumbnails/test.png", "figures/curves.png"}


def unpacked(path: Path, folder: Path) -> Path:
    """The one folder that a file holds, unpacked."""
    with zipfile.ZipFile(path) as packed:
        packed.extractall(folder)
    (found,) = folder.iterdir()
    return found


def names_in(path: Path) -> set[str]:
    with zipfile.ZipFile(path) as packed:
        return {name.partition("/")[2] for name in packed.namelist()}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in SMALL_RUNS]
)
def test_an_unpacked_run_is_the_same_run(name: str, small_runs: SmallRuns, tmp_path: Path, monkeypatch: Any) -> None:
    source = Run(small_runs.copied([name], tmp_path / "here") / name)
    try:
        score_run(source)
    except InputError:
        assert source.scores() == []
    export(source, tmp_path / "run.zip")
    expected, scores, origin = sample(source, 6, seed=2), source.scores(), source.origin
    shutil.rmtree(tmp_path / "here")
    there = unpacked(tmp_path / "run.zip", tmp_path / "there")
    monkeypatch.chdir(tmp_path / "there")
    copy = Run(there)
    assert there.name == name and copy.finished and list(copy.manifest.problems()) == []
    assert torch.equal(sample(copy, 6, seed=2), expected) and copy.scores() == scores and copy.origin == origin
    if scores:
        assert evaluate(copy) == scores[0]
    assert all(check.passed for check in verify_run(there) if "files" in check.name or "log" in check.name)
    assert len(copy.log()) == len(copy.log()) > 0 and copy.health is not None


def test_the_same_run_gives_the_same_bytes(small_runs: SmallRuns, tmp_path: Path, capsys: Any) -> None:
    source = small_runs.copied(["mixture"], tmp_path) / "mixture"
    write_run_page(Run(source))
    printed(capsys, "export", source)
    first = (tmp_path / "mixture.zip").read_bytes()
    shutil.copytree(source, tmp_path / "other/mixture")
    _, told = printed(capsys, "export", tmp_path / "other/mixture", "--out", tmp_path / "again.zip")
    assert (tmp_path / "again.zip").read_bytes() == first and f"exported: {tmp_path}/again.zip" in told
    assert names_in(tmp_path / "again.zip") >= PUBLIC and STATE not in names_in(tmp_path / "again.zip")
    assert "omitted: the checkpoint" in told and "not a public data set" not in told


@pytest.fixture(scope="module")
def private(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on a person's own images, with everything that can be drawn and measured of it."""
    folder = tmp_path_factory.mktemp("someone") / "secret project"
    folder.mkdir()
    noise = np.random.default_rng(5).integers(0, 256, (400, 1, 12, 12), dtype=np.uint8)
    np.savez(folder / "patients.npz", images=noise, labels=np.arange(400) % 3)
    np.savez(folder / "others.npz", images=noise[:50, :, ::-1])
    made = fit(
        "vae", folder / "runs/first", data=folder / "patients.npz", latents=2, hidden=(8,), epochs=1, pixels="levels"
    )
    score_run(made)
    detect_run(Run(made.path), str(folder / "others.npz"), sizes=(1, 2), trials=50)
    write_run_page(Run(made.path))
    record = json.loads((made.path / "settings.json").read_text())
    record["command"] = [
        "ancestral",
        "train",
        "vae",
        "--data",
        "../secret project/patients.npz",
        f"--recipe={folder}/r.yaml",
    ]
    record["settings"]["data"]["data"] = "../secret project/patients.npz"
    record["data"]["assumptions"] += [f"read from {folder}/patients.npz"]
    made.manifest.replace("settings.json", json_bytes(record))
    return folder


def held_in(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as packed:
        return {name.partition("/")[2]: packed.read(name) for name in packed.namelist()}


def test_an_export_contains_no_images_and_no_paths(
    private: Path, tmp_path: Path, capsys: Any, monkeypatch: Any
) -> None:
    monkeypatch.chdir(private)
    assert (private / "runs/first/figures/reconstructions.png").exists() and thumbnails_of(private / "runs/first")
    _, told = printed(capsys, "export", "runs/first", "--out", tmp_path / "x.zip")
    held = held_in(tmp_path / "x.zip")
    assert set(held) <= {*FILES, *RECORDS, "README.md", "manifest.json"} and {"scores.json", "detections.json"} <= set(
        held
    )
    images = np.load("patients.npz")["images"]
    forbidden = [str(private), str(private.parent), str(tmp_path), str(Path.home()), "secret project", "/patients.npz"]
    for name, content in held.items():
        for text in forbidden:
            assert text.encode() not in content, (name, text)
        for row in images.reshape(-1, 12):
            assert row.tobytes() not in content, name
        assert b"\x89PNG" not in content and b"data:image" not in content
    record = json.loads(held["settings.json"])
    assert record["settings"]["data"]["data"] == "patients.npz" and "absolute_path" not in record["data"]
    assert record["command"][-2:] == ["patients.npz", "--recipe=r.yaml"]
    assert json.loads(held["detections.json"])[0]["against"] == "others.npz"
    assert "sheets of thumbnails" in told and "figures and the page" in told and "--with-images" in told
    assert "omitted: the path of the data" in told
    copy = Run(unpacked(tmp_path / "x.zip", tmp_path / "there"))
    assert list(copy.manifest.problems()) == [] and copy.scores() == Run(private / "runs/first").scores()
    refused(lambda: copy.data.dataset, "are not at patients.npz", "give --data") if not Path(
        "patients.npz"
    ).exists() else None
    assert evaluate(copy, data=private / "patients.npz") == copy.scores()[0]


def test_an_export_contains_images_only_if_requested(private: Path, tmp_path: Path) -> None:
    found = export(private / "runs/first", tmp_path / "x.zip", with_images=True, licence="cc0-1.0")
    held = held_in(tmp_path / "x.zip")
    assert {"thumbnails/train.png", "figures/reconstructions.png", "report.html"} <= set(held)
    assert not any("thumbnails" in line for line in found.left_out)
    assert b"license: cc0-1.0" in held["README.md"] and b"![train](thumbnails/train.png)" in held["README.md"]
    for name, content in held.items():
        assert str(private).encode() not in content, name
    page = re.sub("<[^>]+>", "", held["report.html"].decode())
    assert "--data patients.npz" in page and "--out first" in page


def test_a_damaged_or_unfinished_run_is_refused(private: Path, tmp_path: Path, monkeypatch: Any) -> None:
    broken = Path(shutil.copytree(private / "runs/first", tmp_path / "broken"))
    log = (broken / "log.jsonl").read_bytes()
    (broken / "log.jsonl").write_bytes(log + b"\n")
    refused(lambda: export(broken), "log.jsonl", "SHA-256")
    (broken / "log.jsonl").write_bytes(log)
    (broken / "training.json").unlink()
    (broken / "manifest.json").unlink()
    refused(lambda: export(broken), "is not finished", "--resume")
    refused(lambda: export(tmp_path), "not a run folder")
    refused(lambda: export(private / "runs/first", tmp_path / "x.tar"), ".zip")
    assert run("export", private / "runs/first", "--out", tmp_path / "x.tar") == 2
    assert run("export", private / "runs/first", "--format", "onnx", "--with-images") == 2
    assert {path.name for path in tmp_path.iterdir()} == {"broken"}


def test_an_exported_run_is_not_trained_anew_by_resume(small_runs: SmallRuns, tmp_path: Path, capsys: Any) -> None:
    source = small_runs.copied(["mixture"], tmp_path / "here") / "mixture"
    export(source, tmp_path / "x.zip")
    copy = unpacked(tmp_path / "x.zip", tmp_path / "there")
    before = {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()}
    words = ("train", "mixture", "--components", 3, "--epochs", 1, "--train-size", 100, "--valid-size", 20)
    assert run(*words, "--out", copy, "--resume") == 2
    assert "has no checkpoint" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in copy.rglob("*") if path.is_file() and path.name != ".lock"} == before


# ---- thumbnails


def test_thumbnails_show_the_first_images(small_runs: SmallRuns, tmp_path: Path) -> None:
    source = small_runs.copied(["mixture"], tmp_path) / "mixture"
    for split, path in thumbnails_of(source).items():
        pixels = np.asarray(Image.open(path))
        assert pixels.shape == (8 * 34, 8 * 34)
        images = getattr(DIGITS, split).images
        for place in (0, 9, 63):
            row, column = divmod(place, 8)
            tile = pixels[34 * row : 34 * row + 32, 34 * column : 34 * column + 32] / 255
            means = tile.reshape(8, 4, 8, 4).mean((1, 3))  # of the interpolated image, a value for each pixel
            assert np.abs(means - images[place, 0].numpy() / 16).mean() < 0.08, (split, place)
            assert np.abs(means - images[place + 1 if place < 63 else 0, 0].numpy() / 16).mean() > 0.1
        assert (pixels[32:34] == 255).all()
    page = write_run_page(Run(source), redraw=False).read_text()
    assert "The first training images of the data, before conversion to the pixels of the model." in page


def test_thumbnails_can_be_left_out(tmp_path: Path) -> None:
    words = ("mixture", "--components", 2, "--epochs", 1, "--train-size", 60, "--no-thumbnails")
    train_without_page(*words, "--out", tmp_path / "run")
    assert not (tmp_path / "run/thumbnails").exists()
    page = write_run_page(Run(tmp_path / "run"), redraw=False).read_text()
    assert "--no-thumbnails" in page and "The first training images" not in page
    points = fit("flow", tmp_path / "points", data="moons", depth=2, epochs=1, train_size=100, valid_size=20)
    assert thumbnails_of(points.path) == {}


@pytest.mark.parametrize(
    ("shape", "size"), [((1, 8, 8), (34, 272)), ((3, 64, 64), (66, 528)), ((1, 100, 200), (34, 528))]
)
def test_thumbnail_sheets_have_a_bounded_size(shape: tuple[int, ...], size: tuple[int, int]) -> None:
    images = torch.zeros(3, *shape)
    images[1] = 1
    pixels = sheet(images)
    assert pixels.shape == (*size, shape[0])
    width = size[1] // 8
    assert (pixels[: size[0] - 2, : width - 2] == 0).all() and (pixels[:, width : 2 * width] == 255).all()
    assert (pixels[:, 3 * width :] == 255).all()


# ---- the page


def test_open_makes_the_page_and_opens_it(small_runs: SmallRuns, tmp_path: Path, capsys: Any, monkeypatch: Any) -> None:
    source = small_runs.copied(["mixture"], tmp_path) / "mixture"
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", lambda url: opened.append(url) or True)
    _, told = printed(capsys, "open", source)
    assert opened == [(source / "report.html").resolve().as_uri()] and f"report: {source}/report.html" in told
    (source / "report.html").write_text("as it was")
    printed(capsys, "open", source)
    assert (source / "report.html").read_text() == "as it was" and len(opened) == 2
    monkeypatch.setattr("webbrowser.open", lambda url: False)
    _, told = printed(capsys, "open", source)
    assert "no browser" in told
    assert run("open", tmp_path) == 2 and "not a run folder" in capsys.readouterr().err


def test_an_export_has_a_card_and_lists_what_is_left_out(private: Path, tmp_path: Path) -> None:
    found = ancestral.export(private / "runs/first", tmp_path / "x.zip")
    assert found.paths == [tmp_path / "x.zip"] and len(found.left_out) == 3 and found.details == []
    card = held_in(tmp_path / "x.zip")["README.md"].decode()
    assert "license: unknown" in card and "patients" in card and re.search(r"\| levels of a pixel \| 256 \|", card)
    assert "![" not in card and "pipeline_tag" in card

"""Samples of a run: of which classes, and in which files."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import printed, refused, run
from PIL import Image
from small_runs import SmallRuns

import ancestral
from ancestral.families.family import DataSpec
from ancestral.families.gan.model import GAN, build_gan
from ancestral.families.gan.settings import GANSettings
from ancestral.runs.run import Run
from ancestral.runs.sample import class_number, sample_labelled, save_images


@pytest.fixture(scope="module")
def folder(small_runs: SmallRuns, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_runs.copied(["classes", "vae", "moons"], tmp_path_factory.mktemp("sampled"))


def conditional(proportions: list[float]) -> GAN:
    spec = DataSpec((1, 2, 2), 256, "unit", len(proportions), proportions=tuple(proportions))
    return build_gan(GANSettings(latents=2, hidden=(4,), classes=len(proportions)), spec)


def test_classes_are_sampled_as_often_as_in_training():
    torch.manual_seed(0)
    model = conditional([0.7, 0.0, 0.3])
    drawn = model.codes(4000)[:, 2:].mean(0)
    # a share of 0.7 of 4000 draws has a standard deviation of 0.0072
    assert drawn[1] == 0 and abs(drawn[0] - 0.7) < 5 * 0.0072
    pairs = model.sample_code_pairs(50)
    assert pairs.held[:, 1].sum() == 0 and pairs.held.sum() == 50
    assert torch.equal(model.draw_classes(0), torch.zeros(0, dtype=torch.long))


def test_proportions_are_kept_with_the_model(tmp_path):
    model = conditional([0.7, 0.0, 0.3])
    model.save(tmp_path)
    again = ancestral.load_model(tmp_path)
    assert isinstance(again, GAN) and again.shares.tolist() == pytest.approx([0.7, 0.0, 0.3])
    refused(lambda: GAN(model.generator, 2, (1, 2, 2), 3, [0.5, 0.5]), "proportions")


def test_a_run_samples_classes_in_the_proportions_of_its_training_images(folder):
    opened = Run(folder / "classes")
    counts = torch.tensor(opened.record["data"]["class_counts"]["train"]).double()
    model = opened.load()
    assert isinstance(model, GAN) and torch.allclose(model.shares.double(), counts / counts.sum(), atol=1e-6)
    x, labels = sample_labelled(model, 30, seed=1)
    assert x.shape == (30, 1, 8, 8) and labels.shape == (30,)
    again, same = sample_labelled(model, 30, seed=1)
    assert torch.equal(x, again) and torch.equal(labels, same)
    assert set(sample_labelled(model, 5, 0, 7)[1].tolist()) == {7}


def test_a_folder_gets_one_file_an_image_and_their_classes(folder, tmp_path, capsys):
    out = tmp_path / "drawn"
    assert run("sample", folder / "classes", "--out", out, "-n", 12) == 0
    files = sorted(out.glob("*.png"))
    assert [file.name for file in files] == [f"{i:02}.png" for i in range(12)]
    assert np.asarray(Image.open(files[0])).shape == (8, 8)
    rows = list(csv.reader((out / "labels.csv").open()))
    assert rows[0] == ["file", "label"] and [row[0] for row in rows[1:]] == [file.name for file in files]
    model = ancestral.load(folder / "classes")
    x, labels = sample_labelled(model, 12)
    assert [int(row[1]) for row in rows[1:]] == labels.tolist()
    assert np.array_equal(np.asarray(Image.open(files[3])), (x[3, 0] * 255).round().to(torch.uint8).numpy())
    assert run("sample", folder / "classes", "--out", out) == 2
    assert "not an empty folder" in capsys.readouterr().err
    assert run("sample", folder / "vae", "--out", tmp_path / "others", "-n", 2) == 0
    assert sorted(file.name for file in (tmp_path / "others").iterdir()) == ["0.png", "1.png"]


def test_a_class_is_given_by_name_or_number(folder):
    opened = Run(folder / "classes")
    assert class_number(opened, "3") == 3
    refused(lambda: class_number(opened, "three"), "no names", "number")
    opened.record["data"]["classes"] = ["10", "2", "cat"]
    assert [class_number(opened, name) for name in ("10", "2", "cat")] == [0, 1, 2]  # names win over numbers
    refused(lambda: class_number(opened, "0"), "no such class")
    refused(lambda: class_number(opened, "cta"), "cat")


def test_mean_images_are_not_called_samples(folder, tmp_path, capsys):
    _, said = printed(capsys, "sample", folder / "vae", "--out", tmp_path / "x.npy", "-n", 5, "--mean")
    assert "means (not samples)" in said
    means = np.load(tmp_path / "x.npy")
    assert ((means > 0) & (means < 1)).all()
    assert run("sample", folder / "vae", "--out", tmp_path / "y.npy", "-n", 5) == 0
    assert set(np.unique(np.load(tmp_path / "y.npy"))) <= {0.0, 1.0}
    assert run("sample", folder / "classes", "--out", tmp_path / "z.npy", "--mean", "--label", 3) == 2


def test_points_are_written_as_a_table(folder, tmp_path):
    assert run("sample", folder / "moons", "--out", tmp_path / "x.csv", "-n", 7) == 0
    rows = list(csv.reader((tmp_path / "x.csv").open()))
    assert rows[0] == ["x1", "x2"] and len(rows) == 8
    drawn = ancestral.sample(folder / "moons", 7)
    assert np.allclose(np.array(rows[1:], float), drawn.numpy())
    assert run("sample", folder / "moons", "--out", tmp_path / "y") == 2
    assert run("sample", folder / "vae", "--out", tmp_path / "y.csv") == 2 and not (tmp_path / "y.csv").exists()


def test_samples_that_a_png_file_cannot_hold_are_refused(tmp_path):
    refused(lambda: save_images(torch.zeros(1, 2, 3, 3), tmp_path / "x"), "npy")
    save_images(torch.rand(2, 3, 4, 5), tmp_path / "colour")
    assert np.asarray(Image.open(tmp_path / "colour" / "1.png")).shape == (4, 5, 3)

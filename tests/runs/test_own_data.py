"""Training on one's own data: what is assumed is printed and recorded, and the defaults suit the data."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import printed, refused, run, train_without_page
from sklearn.datasets import load_digits

import ancestral
from ancestral.data.datasets import load_dataset
from ancestral.distributions.pixels import DiscretisedLogisticPixels, GaussianPixels
from ancestral.families.run_settings import settings_for
from ancestral.families.vae.vae import VAE
from ancestral.runs.run import Run
from ancestral.runs.run_data import RunData, read_data
from ancestral.settings.data import DataSettings

BRIEF = {"epochs": 1, "hidden": (8,)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of digits in several forms."""
    folder = tmp_path_factory.mktemp("own")
    pixels, labels = load_digits(return_X_y=True)
    images = pixels.reshape(-1, 8, 8)[:300]
    np.savez(folder / "levels.npz", images=images.astype(np.uint8), labels=labels[:300])
    np.save(folder / "masks.npy", (images > 8).astype(np.uint8))
    np.save(folder / "bytes.npy", (images * 255 / 16).astype(np.uint8))
    np.save(folder / "dark.npy", (images * 100 / 16).astype(np.uint8))
    np.save(folder / "floats.npy", (images / 16).astype(np.float32))
    colour = np.stack([images, images[:, ::-1], images.swapaxes(1, 2)], -1) * 255 / 16
    np.save(folder / "colour.npy", colour.astype(np.uint8))
    some = np.where(np.arange(300) % 3 == 0, -1, labels[:300])
    np.savez(folder / "some.npz", images=(images * 255 / 16).astype(np.uint8), labels=some)
    return folder


def test_what_was_read_is_recorded_and_printed(folder, tmp_path, capsys):
    out = tmp_path / "run"
    train_without_page("mixture", "--data", folder / "levels.npz", "--epochs", 1, "--out", out)
    said = capsys.readouterr().err
    assert "levels: 300 images (240 train + 30 valid + 30 test), grey, 8x8 pixels" in said
    assert "note: pixels are 0..16: read as 17 levels" in said and "--split-seed 0" in said
    assert "note: pixels of 17 levels become binary" in said
    record = json.loads((out / "settings.json").read_text())
    data = record["data"]
    assert (data["levels"], data["value_range"], data["event_shape"]) == (17, [0, 16], [1, 8, 8])
    assert data["counts"] == {"train": 240, "valid": 30, "test": 30} and data["version"] == 2
    assert sum(data["class_counts"]["train"]) == 240 and len(data["assumptions"]) >= 2
    assert record["settings"]["data"]["pixels"] == "threshold"
    assert Run(out).data.dataset.sha256 == data["sha256"]


def test_the_data_command_says_the_same(folder, tmp_path, capsys):
    out, said = printed(capsys, "data", folder / "levels.npz", "--out", tmp_path / "sheet.png")
    assert "read as 17 levels" in out and "classes by training images: 0 " in out
    assert (tmp_path / "sheet.png").stat().st_size > 1000 and "sheet of examples" in said
    out, _ = printed(capsys, "data", folder / "levels.npz", "--json", "--levels", 20)
    (record,) = json.loads(out)
    assert record["levels"] == 20 and record["value_range"] == [0, 19] and record["counts"]["test"] == 30
    assert run("data", folder / "nothing.npz") == 2 and run("data", "digits", "--levels", 4) == 2
    assert run("data", "--levels", 4) == 2


@pytest.mark.parametrize(
    ("family", "file", "pixels"),
    [
        ("mixture", "bytes.npy", "threshold"),
        ("mixture", "masks.npy", "threshold"),
        ("vae", "bytes.npy", "levels"),
        ("vae", "masks.npy", "threshold"),
        ("vae", "levels.npz", "threshold"),
        ("made", "colour.npy", "levels"),
        ("pixelcnn", "bytes.npy", "levels"),
        ("flow", "colour.npy", "levels"),
        ("gan", "colour.npy", "unit"),
    ],
)
def test_default_pixels_depend_on_the_data(folder, family, file, pixels):
    settings, data = read_data(settings_for(family, data=str(folder / file)))
    assert settings.data.pixels == pixels == data.space.name
    stated, _ = read_data(settings_for(family, data=str(folder / file), pixels=pixels))
    assert stated == settings


def test_many_levels_have_a_logistic_distribution(folder, tmp_path):
    fitted = ancestral.fit("vae", tmp_path / "run", data=folder / "bytes.npy", latents=2, **BRIEF)
    model = fitted.load()
    assert isinstance(model, VAE) and isinstance(model.likelihood, DiscretisedLogisticPixels)
    assert fitted.settings.model.likelihood == "logistic"
    again = ancestral.fit("vae", tmp_path / "run", data=folder / "bytes.npy", latents=2, resume=True, **BRIEF)
    assert torch.equal(again.load().sample_mean(1).isfinite().all(), torch.tensor(True))
    assert settings_for("vae", data="mnist", pixels="levels").model.likelihood == "auto"  # named sets keep theirs


def test_a_threshold_that_leaves_one_value_is_refused(folder, tmp_path):
    dark = str(folder / "dark.npy")
    refused(lambda: ancestral.fit("mixture", tmp_path / "run", data=dark), "below one half", "--levels")
    assert not (tmp_path / "run").exists()
    settings, data = read_data(settings_for("mixture", data=dark, levels=101))
    assert settings.data.pixels == "threshold" and 0 < data.held("train").first(99).mean() < 1


def test_gaussian_pixels_learn_their_variance(folder, tmp_path):
    floats = str(folder / "floats.npy")
    learned = ancestral.fit("vae", tmp_path / "a", data=floats, pixels="unit", latents=2, **BRIEF).load()
    fixed = ancestral.fit("vae", tmp_path / "b", data=floats, pixels="unit", variance=1.0, latents=2, **BRIEF).load()
    coder = ancestral.fit("autoencoder", tmp_path / "c", data=floats, pixels="unit", latents=2, **BRIEF).load()
    for model, trained in ((learned, True), (fixed, False), (coder, False)):
        likelihood = model.likelihood
        assert isinstance(likelihood, GaussianPixels)
        assert ("log_variance" in dict(likelihood.named_parameters())) == trained
        assert trained or likelihood.log_variance.item() == 0
    assert learned.likelihood.log_variance.item() < -3


def test_a_conditional_gan_leaves_images_without_a_label_out(folder, tmp_path, capsys):
    out = tmp_path / "run"
    small = ["--hidden", 8, "--critic-hidden", 8, "--latents", 2, "--epochs", 1]
    train_without_page("gan", "--data", folder / "some.npz", "--classes", 10, *small, "--tolerate", "--out", out)
    said = capsys.readouterr().err
    assert "80 training images without a label are not used" in said
    fitted = Run(out)
    assert fitted.record["data"]["class_counts"]["train"] == fitted.data.train_split(True).labels.bincount().tolist()
    assert len(fitted.data.training(0, labelled_only=True)) == 160 and len(fitted.data.training(0)) == 240
    plain = ancestral.fit(
        "gan", tmp_path / "plain", data=folder / "some.npz", hidden=(8,), critic_hidden=(8,), epochs=1
    )
    assert len(plain.data.dataset.train) == 240


def test_older_runs_read_data_as_before(folder):
    settings = DataSettings(str(folder / "levels.npz"))
    old, new = RunData(settings, version=1), RunData(settings)
    assert (old.dataset.levels, new.dataset.levels) == (256, 17) and old.dataset.sha256 == new.dataset.sha256
    assert not torch.equal(old.dataset.train.images, new.dataset.train.images)
    digits = DataSettings("digits", pixels="static")
    before, now = RunData(digits, version=1), RunData(digits)
    assert torch.equal(before.held("test").first(99), now.held("test").first(99))
    assert not torch.equal(before.held("valid").first(99), now.held("valid").first(99))


def test_settings_of_files_are_refused_for_named_sets():
    for name, value in (("levels", 17), ("grey", True), ("resize", 9), ("array", "x"), ("value_range", (0, 1))):
        refused(lambda name=name, value=value: DataSettings("digits", **{name: value}), "--" + name.replace("_", "-"))
    for bounds in ((1, 0), (0, float("nan")), (0, float("inf")), (1, 1)):
        refused(lambda bounds=bounds: DataSettings("x.npy", value_range=bounds), "--value-range")
    refused(lambda: DataSettings("x.npy", levels=70_000), "--levels")


def test_a_large_source_is_not_copied(folder, monkeypatch):
    small = load_dataset(str(folder / "bytes.npy"))
    monkeypatch.setattr("ancestral.data.datasets.COPIED", 0)
    large = load_dataset(str(folder / "bytes.npy"))
    assert large.train.chosen is not None and large.train.stored.shape[0] == 300
    assert large.train.stored.data_ptr() == large.test.stored.data_ptr()
    for part in ("train", "valid", "test"):
        ours, theirs = large.split(part), small.split(part)
        assert torch.equal(ours.images, theirs.images) and len(ours) == len(theirs)
    assert large.assumptions == small.assumptions
    path = str(folder / "bytes.npy")
    for pixels in ("threshold", "static", "binary", "levels", "unit"):
        settings = DataSettings(path, pixels=pixels)  # type: ignore[arg-type]
        data = RunData(settings)
        with monkeypatch.context() as patch:
            patch.setattr("ancestral.data.datasets.COPIED", 2**28)
            expected = RunData(settings)
        assert data.dataset.train.chosen is not None and expected.dataset.train.chosen is None
        for ours, theirs in zip(data.training(1).shuffled(0, 50), expected.training(1).shuffled(0, 50), strict=True):
            assert torch.equal(ours.x, theirs.x)
        assert torch.equal(data.held("test", 20).first(99), expected.held("test", 20).first(99))
        valid = [torch.cat(list(one.held("valid").in_order(7))) for one in (data, expected)]
        assert torch.equal(*valid)

"""Training runs on data with missing values and weights, by the command and from Python."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import printed, refused, run, train_without_page

import ancestral
from ancestral.data.datasets import load_dataset
from ancestral.families.catalogue import find
from ancestral.runs.complete import complete_run
from ancestral.runs.hiding import MISSING
from ancestral.runs.run import Run

DIGITS = load_dataset("digits")
IMAGES = torch.cat([DIGITS.train.images, DIGITS.valid.images])[:, 0].numpy()
TEST = DIGITS.test.images[:, 0].numpy()
HIDDEN = np.random.default_rng(0).random(IMAGES.shape) < 0.3
EM = ["--components", 10, "--method", "em", "--epochs", 8, "--batch-size", 500]
FEW = {"epochs": 4, "batch_size": 100, "report": False, "pixels": "threshold"}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Digits with 30 % of the training pixels removed, complete, and with the mean in their place."""
    folder = tmp_path_factory.mktemp("missing")
    means = (np.where(HIDDEN, 0, IMAGES).sum(0) / (~HIDDEN).sum(0)).round()
    np.savez(folder / "seen.npz", train=IMAGES, test=TEST, train_seen=~HIDDEN, levels=np.array(17))
    np.savez(
        folder / "mean.npz", train=np.where(HIDDEN, means, IMAGES).astype(np.uint8), test=TEST, levels=np.array(17)
    )
    np.save(folder / "nan.npy", np.where(HIDDEN, np.nan, IMAGES / 16))
    return folder


def test_30_percent_of_the_pixels_may_be_missing(files: Path, tmp_path: Path) -> None:
    """The score on complete test images is near that of complete data, and far above that of mean values."""
    for family, options in (
        ("mixture", {"components": 10, "method": "em"}),
        ("circuit", {"states": 4, "smoothing": 0.3}),
    ):
        scores = {}
        for name, source, missing in (("missing", "seen", True), ("whole", "seen", False), ("mean", "mean", False)):
            out = tmp_path / f"{family}-{name}"
            fitted = ancestral.fit(family, out, data=files / f"{source}.npz", missing=missing, **options, **FEW)
            scores[name] = ancestral.evaluate(fitted).nats
        assert scores["missing"] > scores["whole"] - 1.5
        assert scores["missing"] > scores["mean"] + 0.5


def test_the_command_trains_scores_and_completes_missing_pixels(files: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / "run"
    said = printed(capsys, "train", "mixture", "--data", files / "nan.npy", "--missing", *EM, "--out", out)
    assert "pixels are NaN: missing" in said[1] and "of the pixels of the training images are missing" in said[1]
    scored, _ = printed(capsys, "evaluate", out)
    assert "of the seen pixels only (7" in scored
    opened = Run(out)
    model, part = opened.load(), opened.data.stored("test")
    assert part.seen is not None
    x = opened.data.held("test").first_batch(1000).x
    wanted = model.log_prob_seen(x, part.seen).mean().item()
    assert opened.scores()[0].nats == pytest.approx(wanted, abs=1e-4)
    found = complete_run(opened, MISSING, count=4, draws=2)
    assert torch.equal(found.seen, part.seen[:4]) and found.score is None
    assert torch.equal(found.drawn[:, found.seen], found.x[found.seen].expand(2, -1))
    assert run("complete", out, "--hide", "missing", "--out", tmp_path / "c.png") == 0
    other, _ = printed(capsys, "evaluate", out, "--data", "digits")
    assert "seen" not in other


def test_hidden_values_do_not_matter(files: Path, tmp_path: Path) -> None:
    """Other values under the mask give the same weights to the bit."""
    np.savez(tmp_path / "a.npz", train=np.where(HIDDEN, 16 - IMAGES, IMAGES), test=TEST, train_seen=~HIDDEN)
    np.savez(tmp_path / "b.npz", train=IMAGES, test=TEST, train_seen=~HIDDEN)
    for family, options in (("mixture", {"method": "em"}), ("circuit", {"states": 3}), ("vae", {"hidden": (8,)})):
        found = [
            ancestral.fit(
                family,
                tmp_path / f"{family}-{name}",
                data=tmp_path / f"{name}.npz",
                missing=True,
                levels=17,
                **options,
                **{**FEW, "epochs": 1},
            )
            for name in "ab"
        ]
        one, other = (fitted.load().state_dict() for fitted in found)
        assert all(torch.equal(one[name], other[name]) for name in one)


def test_families_that_cannot_leave_out_values_refuse(files: Path, tmp_path: Path) -> None:
    for family in ("made", "pixelcnn", "gan", "flow", "autoencoder"):
        assert run("train", family, "--data", files / "nan.npy", "--missing", "--out", tmp_path / family) == 2
        assert not (tmp_path / family).exists()
    refused(
        lambda: ancestral.fit("made", tmp_path / "m", data=files / "nan.npy", missing=True, **FEW),
        "cannot leave them out",
        "mixture",
        "circuit",
        "vae",
    )
    refused(lambda: ancestral.fit("vae", tmp_path / "m", data=files / "nan.npy", **FEW), "--missing")


@pytest.mark.usefixtures("catalogue_as_before")
def test_a_faulty_plug_in_does_not_hide_the_reason_of_a_refusal(files: Path, tmp_path: Path) -> None:
    settings = find("mixture").settings
    ancestral.register_family(ancestral.Family("faulty", settings, build="nowhere:build", tiny="nowhere:tiny"))
    refused(
        lambda: ancestral.fit("made", tmp_path / "m", data=files / "nan.npy", missing=True, **FEW),
        "cannot leave them out",
        "mixture",
    )


def test_weights_from_python_and_from_a_file_are_the_same(tmp_path: Path) -> None:
    """Zero for half of the digits: the model is that of the others. Weights of all images are in the record."""
    weights = (np.arange(len(IMAGES)) % 3).astype(float)
    options = {"components": 5, "method": "em", "levels": 17, **FEW}
    np.savez(tmp_path / "a.npz", images=IMAGES, weights=weights)
    one = ancestral.fit("mixture", tmp_path / "one", data=tmp_path / "a.npz", **options)
    two = ancestral.fit("mixture", tmp_path / "two", data=IMAGES, weights=weights, **options)
    plain = ancestral.fit("mixture", tmp_path / "plain", data=IMAGES, **options)
    first, second, third = (fitted.load().state_dict()["w"] for fitted in (one, two, plain))
    assert torch.equal(first, second) and not torch.allclose(first, third, atol=1e-3)
    refused(lambda: ancestral.fit("mixture", tmp_path / "x", data=IMAGES, weights=weights[:9], **options), "9 weights")
    refused(
        lambda: ancestral.fit("mixture", tmp_path / "x", data=tmp_path / "a.npz", weights=weights, **options),
        "need data in memory",
    )
    few = {**FEW, "levels": 17, "pixels": "unit"}
    refused(lambda: ancestral.fit("gan", tmp_path / "x", data=tmp_path / "a.npz", **few), "has weights", "gan")


def test_a_column_of_weights_trains_a_circuit(tmp_path: Path) -> None:
    """Weights that are proportional to a density ratio move the model to the other density."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(800, 2))
    weights = np.exp(x[:, 0] - 0.5)  # of N(1, 1) over N(0, 1)
    rows = "\n".join(f"{a:.6f},{b:.6f},{w:.6f}" for (a, b), w in zip(x, weights, strict=True))
    (tmp_path / "t.csv").write_text(f"a,b,w\n{rows}\n")
    train_without_page(
        "circuit",
        "--data",
        tmp_path / "t.csv",
        "--weights",
        "w",
        "--states",
        3,
        "--epochs",
        10,
        "--out",
        tmp_path / "run",
    )
    drawn = ancestral.load(tmp_path / "run").sample(4000).mean(0)
    assert drawn[0].item() == pytest.approx(np.average(x[:, 0], weights=weights), abs=0.25)
    assert drawn[1].item() == pytest.approx(0, abs=0.25)


def test_samples_are_not_compared_with_images_that_have_missing_pixels(files: Path, tmp_path: Path) -> None:
    """They would be compared with the zeros under the mask."""
    for name, part in (("nan.npy", "test"), ("seen.npz", "train")):
        trained = ancestral.fit("mixture", tmp_path / part, data=files / name, missing=True, **{**FEW, "epochs": 1})
        refused(lambda run=trained: ancestral.quality(run, count=200), f"{part} images of", "have missing pixels")

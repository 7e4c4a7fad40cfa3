"""Missing values and weights as stored: NaN, masks in a file, empty cells, and columns or arrays of weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers import refused

from ancestral.data.datasets import load_dataset
from ancestral.data.memory import hold
from ancestral.settings.data import DataSettings, ReadOptions

MISSING = ReadOptions(missing=True)
RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 5, (60, 4, 4)).astype(np.uint8)
SEEN = RNG.random(IMAGES.shape) > 0.3


def parts_of(path: Path | str, options: ReadOptions = MISSING):
    data = load_dataset(str(path), options=options)
    return data, [data.train, data.valid, data.test]


@pytest.mark.parametrize("name", ["seen", "observed", "mask", "missing"])
def test_masks_of_a_file_follow_their_images(tmp_path: Path, name: str) -> None:
    """After a random split, each image has its own mask, and no hidden value is left."""
    mask = SEEN if name in ("seen", "observed") else ~SEEN
    stored = IMAGES * SEEN  # so that the hash differs by the mask only
    np.savez(tmp_path / "a.npz", images=stored, **{name: mask})
    data, splits = parts_of(tmp_path / "a.npz")
    for split in splits:
        assert split.seen is not None and split.rows is not None
        assert np.array_equal(split.seen[:, 0].numpy(), SEEN[split.rows])
        assert np.array_equal(split.images[:, 0].numpy(), IMAGES[split.rows] * SEEN[split.rows])
    plain, _ = parts_of(tmp_path / "a.npz", ReadOptions())
    assert plain.train.seen is None and plain.sha256 != data.sha256
    assert any("ignored array" in line and name in line for line in plain.assumptions)


def test_masks_of_parts_and_one_mask_for_all(tmp_path: Path) -> None:
    one = np.zeros((4, 4), bool)
    one[0] = True
    np.savez(tmp_path / "a.npz", train=IMAGES[:40], test=IMAGES[40:], train_seen=SEEN[:40], mask_test=one)
    data, _ = parts_of(tmp_path / "a.npz")
    assert data.train.seen is not None and data.test.seen is not None
    assert (data.test.seen[:, 0].numpy() == ~one).all()
    np.savez(tmp_path / "b.npz", train=IMAGES[:40], test=IMAGES[40:], train_seen=SEEN[:40])
    data, _ = parts_of(tmp_path / "b.npz")
    assert data.valid.seen is not None and data.test.seen is None


def test_masks_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", images=IMAGES, seen=SEEN[:, :3])
    refused(lambda: parts_of(tmp_path / "a.npz"), "the mask seen", "does not fit data of 60x1x4x4")
    np.savez(tmp_path / "a.npz", images=IMAGES, seen=SEEN[:7])
    refused(lambda: parts_of(tmp_path / "a.npz"), "does not fit")
    np.savez(tmp_path / "a.npz", images=IMAGES, seen=SEEN, mask=~SEEN)
    refused(lambda: parts_of(tmp_path / "a.npz"), "two masks of the all part (seen and mask)")


def test_nan_needs_the_option_and_the_error_names_it(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.where(SEEN, IMAGES / 4, np.nan))
    refused(lambda: parts_of(tmp_path / "a.npy", ReadOptions()), "NaN", "--missing")
    _, (train, *_) = parts_of(tmp_path / "a.npy")
    assert train.seen is not None and train.rows is not None
    assert np.array_equal(train.seen[:, 0].numpy(), SEEN[train.rows])
    points = IMAGES.reshape(60, 16)[:, :3] + RNG.random((60, 3))
    np.save(tmp_path / "p.npy", np.where(SEEN.reshape(60, 16)[:, :3], points, np.nan))
    refused(lambda: parts_of(tmp_path / "p.npy", ReadOptions()), "missing", "--missing")
    data, (train, *_) = parts_of(tmp_path / "p.npy")
    assert train.seen is not None and any("values are missing" in line for line in data.assumptions)
    refused(lambda: load_dataset(hold(np.where(SEEN, IMAGES / 4, np.nan))), "missing=...")


def test_what_is_missing_altogether_is_said_or_refused(tmp_path: Path) -> None:
    seen = SEEN.copy()
    seen[:30], seen[:, 2, 2] = False, False
    np.savez(tmp_path / "a.npz", images=IMAGES, seen=seen)
    said = " | ".join(parts_of(tmp_path / "a.npz")[0].assumptions)
    assert "have no seen pixels: they do not change the model" in said and "1 of 16 pixels are missing in all" in said
    lines = ["a,b,c", *(f"{i * 0.37 % 1:.3f},{'' if i else 3},{i * 0.11:.2f}" for i in range(60))]
    (tmp_path / "t.csv").write_text("\n".join(lines))
    refused(lambda: parts_of(tmp_path / "t.csv"), "all training points", "(b)")
    lines = ["a,b,c", *(f"{i * 0.37 % 1:.3f},{'' if i % 2 else 3},{i * 0.11:.2f}" for i in range(60))]
    (tmp_path / "t.csv").write_text("\n".join(lines))
    refused(lambda: parts_of(tmp_path / "t.csv"), "one value", "(b)")


def test_weights_follow_their_rows(tmp_path: Path) -> None:
    weights = np.arange(60) / 10
    np.savez(tmp_path / "a.npz", images=IMAGES, weights=weights)
    data, splits = parts_of(tmp_path / "a.npz", ReadOptions())
    assert any("weights holds the weights" in line for line in data.assumptions)
    lines = ["a,w", *(f"{value:.3f},{weight}" for value, weight in zip(RNG.random(60), weights, strict=True))]
    (tmp_path / "t.csv").write_text("\n".join(lines))
    table, others = parts_of(tmp_path / "t.csv", ReadOptions(weights="w"))
    assert table.columns == ("a",)
    for split in (*splits, *others):
        assert split.weights is not None and split.rows is not None
        assert np.allclose(split.weights.numpy(), weights[split.rows])
    np.savez(tmp_path / "b.npz", images=IMAGES, weights=np.full(60, 2.0))
    equal, (train, *_) = parts_of(tmp_path / "b.npz", ReadOptions())
    assert train.weights is None and equal.sha256 != data.sha256


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        (np.where(np.arange(60) == 3, -1.0, 1.0), "the weight of row 3 (from 0) is -1"),
        (np.where(np.arange(60) == 5, np.nan, 1.0), "the weight of row 5 (from 0) is nan"),
        (np.zeros(60), "are 0"),
        (np.ones(59), "59 weights (weights) for 60 rows"),
        (np.array(["a"] * 60), "are not numbers"),
    ],
    ids=["negative", "nan", "zeros", "length", "text"],
)
def test_weights_that_are_none_are_refused(tmp_path: Path, weights: np.ndarray, words: str) -> None:
    np.savez(tmp_path / "a.npz", images=IMAGES, weights=weights)
    refused(lambda: parts_of(tmp_path / "a.npz", ReadOptions()), words)


def test_weights_that_are_not_there_are_refused(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,b\n" + "\n".join(f"{i * 0.1},{i * 0.37 % 1}" for i in range(60)))
    refused(lambda: parts_of(tmp_path / "t.csv", ReadOptions(weights="c")), "no column c of numbers")
    refused(lambda: DataSettings(data="digits", weights="w"), "--weights")
    refused(lambda: DataSettings(data="digits", missing=True), "--missing")

"""Completing images of one's own: under a mask, or where the data themselves lack pixels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import printed, refused, run
from PIL import Image
from small_runs import SmallRuns

from ancestral.data.datasets import load_dataset
from ancestral.data.mask_files import read_masks
from ancestral.runs.complete import complete_run
from ancestral.runs.hiding import MASKED, MISSING
from ancestral.runs.new_data import GIVEN, on_data
from ancestral.runs.run import Run
from ancestral.settings.data import OtherData

DIGITS = load_dataset("digits").test.images
SHAPE = (1, 8, 8)


@pytest.fixture(scope="module")
def folder(small_runs: SmallRuns, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_runs.copied(["mixture", "grey"], tmp_path_factory.mktemp("missing"))


@pytest.fixture
def corner() -> np.ndarray:
    """Missing pixels of one image: a corner."""
    missing = np.zeros((8, 8), bool)
    missing[:3, 5:] = True
    return missing


def test_all_forms_of_a_mask_are_equivalent(tmp_path, corner):
    expected = torch.from_numpy(~corner).expand(4, *SHAPE)
    Image.fromarray(corner.astype(np.uint8) * 255).save(tmp_path / "mask.png")
    np.save(tmp_path / "one.npy", corner)
    np.save(tmp_path / "each.npy", np.stack([corner] * 4).astype(np.float32))
    (tmp_path / "folder").mkdir()
    for i in range(4):
        Image.fromarray(corner.astype(np.uint8) * 255).save(tmp_path / "folder" / f"{i}.png")
    for name in ("mask.png", "one.npy", "each.npy", "folder"):
        assert torch.equal(read_masks(tmp_path / name, 4, SHAPE), expected), name
    refused(lambda: read_masks(tmp_path / "each.npy", 3, SHAPE), "4 masks for 3 images")
    refused(lambda: read_masks(tmp_path / "one.npy", 4, (1, 9, 8)), "8x8", "9x8")
    np.save(tmp_path / "none.npy", np.zeros((8, 8)))
    refused(lambda: read_masks(tmp_path / "none.npy", 4, SHAPE), "missing")


def test_a_mask_hides_the_same_pixels_as_a_half(folder, tmp_path):
    opened = Run(folder / "mixture")
    top = np.zeros((8, 8), bool)
    top[:4] = True
    np.save(tmp_path / "top.npy", top)
    named = complete_run(opened, "top", count=3, draws=2, scored=50)
    masked = complete_run(opened, MASKED, count=3, draws=2, scored=50, masks=tmp_path / "top.npy")
    assert torch.equal(named.drawn, masked.drawn) and torch.equal(named.seen, masked.seen)
    assert named.score is not None and masked.score is not None
    assert (named.score.nats, named.score.count) == (masked.score.nats, masked.score.count) == (named.score.nats, 50)
    each = np.stack([top, ~top, top])
    np.save(tmp_path / "each.npy", each)
    different = complete_run(opened, MASKED, count=3, draws=1, scored=50, masks=tmp_path / "each.npy")
    assert torch.equal(different.seen[:, 0], torch.from_numpy(~each))
    assert different.score is not None and different.score.count == 3


def test_nan_pixels_are_completed_and_the_others_stay(folder, tmp_path, corner):
    images = DIGITS[:5, 0].numpy() / 16
    holes = np.where(corner, np.nan, images)
    np.save(tmp_path / "holes.npy", holes)
    opened = Run(folder / "grey")
    refused(lambda: on_data(opened, OtherData(str(tmp_path / "holes.npy"))), "NaN")
    other, split = on_data(opened, OtherData(str(tmp_path / "holes.npy")), missing=True)
    assert split == GIVEN
    found = complete_run(other, MISSING, count=5, draws=3, split=split)
    assert torch.equal(found.seen, torch.from_numpy(~corner).expand(5, *SHAPE)) and found.score is None
    seen = found.seen.expand(3, 5, *SHAPE)
    assert torch.equal(found.drawn[seen], DIGITS[:5].float().expand(3, 5, *SHAPE)[seen])
    filled = np.where(corner, 0.7, images)  # the value of a missing pixel is not used
    np.savez(tmp_path / "filled.npz", images=np.where(corner, np.nan, filled))
    again, split = on_data(opened, OtherData(str(tmp_path / "filled.npz")), missing=True)
    assert torch.equal(complete_run(again, MISSING, count=5, draws=3, split=split).drawn, found.drawn)
    plain, split = on_data(opened, OtherData("digits"), missing=True)
    refused(lambda: complete_run(plain, MISSING, split=split), "missing")


def test_transparent_pixels_of_an_image_are_missing(folder, tmp_path, corner, capsys):
    grey = (DIGITS[0, 0].numpy().astype(int) * 255 // 16).astype(np.uint8)
    Image.merge("LA", [Image.fromarray(grey), Image.fromarray(np.where(corner, 0, 255).astype(np.uint8))]).save(
        tmp_path / "image.png"
    )
    out = tmp_path / "drawn.npz"
    printed(capsys, "complete", folder / "grey", "--data", tmp_path / "image.png", "--hide", "missing", "--out", out)
    found = np.load(out)
    assert set(found) == {"x", "seen", "drawn"} and np.array_equal(found["seen"][0, 0], ~corner)
    assert (
        found["drawn"].shape == (4, 1, *SHAPE) and (found["drawn"][:, 0, 0] == DIGITS[0, 0].numpy())[:, ~corner].all()
    )


def test_conflicting_requests_are_refused(folder, tmp_path, corner):
    np.save(tmp_path / "mask.npy", corner)
    out = ["--out", tmp_path / "x.png"]
    assert run("complete", folder / "mixture", "--mask", tmp_path / "mask.npy", "--hide", "left", *out) == 2
    assert run("complete", folder / "mixture", "--hide", "missing", *out) == 2
    assert run("complete", folder / "mixture", "--mask", tmp_path / "nothing.npy", *out) == 2
    assert not (tmp_path / "x.png").exists()
    assert (
        run("complete", folder / "mixture", "--mask", tmp_path / "mask.npy", *out) == 0
        and (tmp_path / "x.png").exists()
    )

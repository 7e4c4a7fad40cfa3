"""Files of arrays: use of the arrays, shapes of images, labels, notices and errors."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import scipy.io
import torch
from helpers import refused
from small_arrays import images, labels, read, said

from ancestral.data import numpy_files
from ancestral.data.arrays import read_arrays, read_npy
from ancestral.data.datasets import load_dataset
from ancestral.data.imported import Imported
from ancestral.data.pictures import transform
from ancestral.settings.data import ReadOptions

SEED = np.random.default_rng(0)


# --- the cases that were read wrongly ---------------------------------------------------------------------


def test_masks_of_bytes_have_two_levels(tmp_path):
    masks = (SEED.random((60, 8, 8)) > 0.5).astype(np.uint8)
    np.save(tmp_path / "masks.npy", masks)
    found = read_arrays(tmp_path / "masks.npy")
    assert found.levels == 2 and np.array_equal(found.parts["all"].images[:, 0], masks)
    assert "read as 2 levels" in said(found)


def test_bytes_up_to_16_have_17_levels(tmp_path):
    np.save(tmp_path / "a.npy", SEED.integers(0, 17, (60, 8, 8), dtype=np.uint8))
    assert read_arrays(tmp_path / "a.npy").levels == 17


def test_sixteen_bits_are_read_without_wrapping(tmp_path):
    steps = SEED.integers(0, 17, (30, 8, 8)).astype(np.uint16)
    np.save(tmp_path / "a.npy", steps * 255)
    scaled = read_arrays(tmp_path / "a.npy")
    assert scaled.levels == 256 and scaled.value_range == (0, 4095)
    assert "scaled from 0..4,095" in said(scaled)
    own = read_arrays(tmp_path / "a.npy", ReadOptions(levels=17, value_range=(0.0, 4080.0)))
    assert own.levels == 17 and np.array_equal(own.parts["all"].images[:, 0], steps)
    kept = read_arrays(tmp_path / "a.npy", ReadOptions(levels=4081)).parts["all"].images
    assert kept.dtype == np.uint16 and np.array_equal(kept[:, 0], steps * 255)


def test_booleans_of_other_bytes_are_0_and_1(tmp_path):
    strange = SEED.choice(np.array([0, 1, 2, 200], np.uint8), (20, 6, 6))
    np.save(tmp_path / "a.npy", strange.view(np.bool_))
    found = read_arrays(tmp_path / "a.npy")
    assert found.levels == 2 and np.array_equal(found.parts["all"].images[:, 0], strange != 0)


def test_minus_one_is_an_image_without_a_label(tmp_path):
    some = np.array([0, 1, -1, 2, -1, 0])
    assert labels(read(tmp_path, images=images(6), labels=some)) == some.tolist()
    refused(lambda: read(tmp_path, images=images(6), labels=some - 1), "a.npz", "-2", "-1")


def test_y_are_the_labels_of_images(tmp_path):
    assert labels(read(tmp_path, images=images(6), y=np.arange(6) % 3)) == [0, 1, 2, 0, 1, 2]
    # an older run keeps the data that it was trained on
    assert labels(read(tmp_path, infer=False, images=images(6), y=np.arange(6) % 3)) is None


def test_missing_pixels_raise_a_clear_error(tmp_path):
    pixels = SEED.random((50, 8, 8)).astype(np.float32)
    pixels[:7, 2, 3] = np.nan
    np.save(tmp_path / "nan.npy", pixels)
    refused(lambda: read_arrays(tmp_path / "nan.npy"), "nan.npy", "7 of 50 images", "NaN")


def test_missing_pixels_are_marked_on_request(tmp_path):
    pixels = SEED.random((20, 8, 8)).astype(np.float32)
    pixels[:7, 2, 3] = np.nan
    np.save(tmp_path / "nan.npy", pixels)
    found = read_arrays(tmp_path / "nan.npy", ReadOptions(missing=True))
    part = found.parts["all"]
    assert part.seen is not None and np.array_equal(part.seen[:, 0], ~np.isnan(pixels))
    assert np.array_equal(part.images[:, 0], np.rint(np.nan_to_num(pixels, nan=0.0) * np.float32(255)))
    assert "7 of 1,280 pixels are NaN" in said(found)
    ranged = read_arrays(tmp_path / "nan.npy", ReadOptions(missing=True, value_range=(-1.0, 1.0))).parts["all"]
    assert (ranged.images[:7, 0, 2, 3] == 0).all() and ranged.seen is not None
    np.save(tmp_path / "nan.npy", np.nan_to_num(pixels))
    assert read_arrays(tmp_path / "nan.npy", ReadOptions(missing=True)).parts["all"].seen is None
    mixed = {"train": pixels, "test": images(3, 8, 8)}
    np.savez(tmp_path / "a.npz", **mixed)
    refused(lambda: read_arrays(tmp_path / "a.npz", ReadOptions(missing=True)), "a.npz", "different types")


def test_transparent_pixels_are_missing_on_request(tmp_path):
    pixels = SEED.random((3, 2, 2, 4)).astype(np.float32)
    pixels[..., 3], pixels[1, 0, 0, 3], pixels[2, 1, 0, 1] = 1, 0.5, np.nan
    np.save(tmp_path / "a.npy", pixels)
    part = read_arrays(tmp_path / "a.npy", ReadOptions(missing=True)).parts["all"]
    wanted = np.ones((3, 3, 2, 2), bool)
    wanted[1, :, 0, 0] = wanted[2, 1, 1, 0] = False
    assert part.seen is not None and np.array_equal(part.seen, wanted) and part.images.shape == part.seen.shape
    np.save(tmp_path / "a.npy", np.full((3, 2, 2, 4), 255, np.uint8))
    assert read_arrays(tmp_path / "a.npy", ReadOptions(missing=True)).parts["all"].seen is None


# --- layouts ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "event"),
    [
        ((20, 4, 5), (1, 4, 5)),
        ((20, 4, 3), (1, 4, 3)),
        ((20, 4, 5, 3), (3, 4, 5)),
        ((20, 4, 5, 1), (1, 4, 5)),
        ((20, 3, 4, 5), (3, 4, 5)),
        ((20, 1, 4, 5), (1, 4, 5)),
        ((20, 3, 4, 3), (3, 4, 3)),
        ((20, 1, 4, 3), (1, 4, 3)),
    ],
)
def test_layouts(tmp_path, shape, event):
    pixels = np.arange(np.prod(shape), dtype=np.uint32).reshape(shape).astype(np.uint8)
    np.save(tmp_path / "a.npy", pixels)
    np.save(tmp_path / "f.npy", np.asfortranarray(pixels))
    found = read_arrays(tmp_path / "a.npy").parts["all"].images
    assert found.shape == (20, *event) and found.flags.c_contiguous
    assert np.array_equal(found, read_arrays(tmp_path / "f.npy").parts["all"].images)
    last = len(shape) == 4 and event == (shape[3], *shape[1:3])
    assert np.array_equal(found, pixels.transpose(0, 3, 1, 2) if last else pixels.reshape(found.shape))
    assert ("channels" in said(read_arrays(tmp_path / "a.npy"))) == (len(shape) == 4 and {*shape[1::2]} <= {1, 3})


@pytest.mark.parametrize("shape", [(), (20,), (20, 6, 5, 2), (20, 1, 4, 5, 3)])
def test_other_shapes_are_refused(tmp_path, shape):
    np.save(tmp_path / "a.npy", np.zeros(shape, np.uint8))
    refused(lambda: read_arrays(tmp_path / "a.npy"), "a.npy", str(shape), "(N, H, W)")


@pytest.mark.parametrize("shape", [(0, 4, 5), (20, 0, 5), (20, 1, 4, 0)])
def test_empty_arrays_are_refused(tmp_path, shape):
    np.save(tmp_path / "a.npy", np.zeros(shape, np.uint8))
    refused(lambda: read_arrays(tmp_path / "a.npy"), "a.npy", "no pixels")


def test_the_axis_of_images_is_found_by_the_labels(tmp_path):
    colour = SEED.integers(0, 256, (9, 6, 5, 3), dtype=np.uint8)
    last = np.moveaxis(colour, 0, -1)
    found = read(tmp_path, X=last, y=np.arange(9)[:, None])
    assert np.array_equal(found.parts["all"].images, colour.transpose(0, 3, 1, 2)) and "last axis" in said(found)
    grey = read(tmp_path, X=np.moveaxis(images(9), 0, -1), y=np.arange(9))
    assert np.array_equal(grey.parts["all"].images[:, 0], images(9))


def test_transparency_is_composited(tmp_path):
    pixels = np.zeros((3, 2, 2, 4), np.uint8)
    pixels[..., 0], pixels[1, ..., 3], pixels[2, ..., 3] = 200, 255, 51
    for stored in (pixels, pixels.transpose(0, 3, 1, 2)):
        np.save(tmp_path / "a.npy", stored)
        found = read_arrays(tmp_path / "a.npy", ReadOptions(background="#0000ff"))
        assert found.parts["all"].images[:, :, 0, 0].tolist() == [[0, 0, 255], [200, 0, 0], [40, 0, 204]]
        assert "#0000ff" in said(found)


def test_pixels_are_transformed_as_those_of_pictures(tmp_path):
    options = ReadOptions(grey=True, crop=True, resize=3)
    np.save(tmp_path / "b.npy", (SEED.random((5, 6, 8)) > 0.5).astype(np.uint8))
    small = read_arrays(tmp_path / "b.npy", ReadOptions(resize=3))
    assert "scaled to a square" in said(small) and "rounded to the 2 levels" in said(small)
    np.save(tmp_path / "a.npy", SEED.integers(0, 256, (5, 3, 6, 8), dtype=np.uint8))
    found = read_arrays(tmp_path / "a.npy", options).parts["all"].images
    assert found.shape == (5, 1, 3, 3)
    assert np.array_equal(found, transform(np.load(tmp_path / "a.npy"), options))


def test_two_dimensions_are_points(tmp_path):
    pytest.importorskip("ancestral.data.tables")
    rows = SEED.normal(size=(9, 16))
    found = read(tmp_path, x_train=rows[:6], x_test=rows[6:], y_train=np.arange(6) % 2, y_test=np.arange(3) % 2)
    assert found.kind == "points" and found.levels == 0 and list(found.parts) == ["train", "test"]
    assert np.array_equal(found.parts["test"].images, rows[6:].astype(np.float32)) and labels(found, "test") == [
        0,
        1,
        0,
    ]
    assert "not images of 4x4" in said(found)


# --- other kinds of file ------------------------------------------------------------------------------------


def test_mat_files_as_those_of_street_numbers(tmp_path):
    colour = SEED.integers(0, 256, (12, 6, 6, 3), dtype=np.uint8)
    stored = {"X": np.moveaxis(colour, 0, -1), "y": np.arange(1, 13, dtype=np.uint8)[:, None] % 10 + 1}
    for compressed in (True, False):
        scipy.io.savemat(tmp_path / "a.mat", stored, do_compression=compressed)
        found = read_arrays(tmp_path / "a.mat")
        assert np.array_equal(found.parts["all"].images, colour.transpose(0, 3, 1, 2))
        assert found.classes == tuple(str(number) for number in range(1, 11))
        assert labels(found) == [number % 10 for number in range(1, 13)]


def test_mat_files_of_other_kinds(tmp_path):
    scipy.io.savemat(tmp_path / "a.mat", {"masks": np.moveaxis(images(9) > 99, 0, -1), "note": "text", "s": {"a": 1}})
    found = read_arrays(tmp_path / "a.mat")
    assert found.levels == 2 and np.array_equal(found.parts["all"].images[:, 0], images(9) > 99)
    assert "note (1)" in said(found) and "s (unreadable)" in said(found)
    faces = SEED.integers(0, 256, (30, 28, 20), dtype=np.uint8)
    scipy.io.savemat(tmp_path / "a.mat", {"ff": faces.reshape(30, 560).T})
    found = read_arrays(tmp_path / "a.mat")
    assert np.array_equal(found.parts["all"].images[:, 0], faces) and "Frey" in said(found)


def test_files_of_tensors(tmp_path):
    path, pixels, classes = tmp_path / "a.pt", torch.from_numpy(images(9)), torch.arange(9) % 3
    wanted = images(9)[:, None]

    def written(held: object) -> Imported:
        torch.save(held, path)
        return read_arrays(path)

    assert np.array_equal(written(pixels).parts["all"].images, wanted)
    pair = written((pixels, classes))
    assert np.array_equal(pair.parts["all"].images, wanted) and labels(pair) == classes.tolist()
    named = written({"data": pixels, "targets": classes, "classes": ["a", "b", "c"], "epoch": 3, "lr": 0.1})
    assert np.array_equal(named.parts["all"].images, wanted) and named.classes == ("a", "b", "c")
    assert "epoch (one number)" in said(named)
    floats = written((pixels / 255).to(torch.bfloat16).requires_grad_())
    assert floats.levels == 256 and abs(floats.parts["all"].images.astype(int) - wanted).max() <= 1


# --- memory -------------------------------------------------------------------------------------------------


def test_large_arrays_stay_in_their_file(tmp_path, monkeypatch):
    np.save(tmp_path / "a.npy", images(50))
    read_arrays(tmp_path / "a.npy")
    monkeypatch.setattr(numpy_files, "available_memory", lambda: 3000)
    found = read_arrays(tmp_path / "a.npy")
    stored = found.parts["all"].images
    assert "memory-mapped" in said(found) and np.array_equal(stored[:, 0], images(50))
    owner = stored
    while isinstance(owner.base, np.ndarray) and not isinstance(owner, np.memmap):
        owner = owner.base
    assert isinstance(owner, np.memmap)
    stored[0] = 7  # a change stays in memory
    assert np.array_equal(np.load(tmp_path / "a.npy"), images(50))
    for other in (images(50).astype(np.float32) / 255, np.asfortranarray(images(50))):
        np.save(tmp_path / "a.npy", other)
        assert "memory-mapped" not in said(read_arrays(tmp_path / "a.npy"))


def test_a_file_gives_the_same_data_in_every_format(tmp_path):
    pixels, classes = images(30), np.arange(30) % 3
    np.savez(tmp_path / "a.npz", images=pixels, labels=classes)
    np.savez_compressed(tmp_path / "b.npz", images=pixels.astype(np.float64) / 255, labels=classes)
    scipy.io.savemat(tmp_path / "c.mat", {"images": pixels, "labels": classes})
    torch.save((torch.from_numpy(pixels), torch.from_numpy(classes)), tmp_path / "d.pt")
    hashes = {load_dataset(str(tmp_path / name)).sha256 for name in ("a.npz", "b.npz", "c.mat", "d.pt")}
    assert len(hashes) == 1


@pytest.mark.parametrize(
    ("pixels", "word"),
    [
        (np.full((9, 2, 2), "a"), "real numbers"),
        (np.zeros((9, 2, 2), [("a", "u1")]), "numbers"),
        (np.zeros((9, 2, 2), "M8[s]"), "real numbers"),
        (np.zeros((9, 2, 2), complex), "complex"),
    ],
)
def test_other_pixels_are_refused(tmp_path, pixels, word):
    np.save(tmp_path / "a.npy", pixels)
    np.savez(tmp_path / "a.npz", images=pixels)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name in ("a.npy", "a.npz"):
            refused(lambda name=name: read_arrays(tmp_path / name), name, word)


def test_an_array_as_it_is_stored(tmp_path):
    np.save(tmp_path / "a.npy", np.arange(6).reshape(2, 3))
    assert np.array_equal(read_npy(tmp_path / "a.npy"), np.arange(6).reshape(2, 3))

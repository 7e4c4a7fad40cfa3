"""The choice of the arrays of images and labels in a file, and the conversion of labels to class numbers."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import refused
from small_arrays import images, labels, read, said

from ancestral.data.arrays import read_arrays
from ancestral.settings.data import ReadOptions


@pytest.mark.parametrize(
    ("pixels", "classes"),
    [
        ("images", "labels"), ("images", "y"), ("x", "y"), ("X", "y"), ("X", "Y"), ("data", "target"),
        ("imgs", "labels"), ("arr_0", "arr_1"), ("train", "train_labels"), ("x_train", "y_train"), ("frames", "label"),
    ],
)  # fmt: skip
def test_pairs_of_names(tmp_path, pixels, classes):
    whole = images(6)
    found = read(tmp_path, **{classes: np.arange(6) % 2, pixels: whole})
    assert list(found.parts) == ["all"] and labels(found) == [0, 1] * 3 and not found.assumptions
    assert np.array_equal(found.parts["all"].images[:, 0], whole)


@pytest.mark.parametrize(
    ("pixels", "classes"),
    [
        ("{}", "{}_labels"), ("x_{}", "y_{}"), ("X_{}", "y_{}"), ("{}_images", "{}_labels"), ("{}_x", "{}_y"),
        ("x{}", "y{}"), ("{}_data", "{}_targets"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("valid", ["valid", "val", "validation", None])
def test_divided_files(tmp_path, pixels, classes, valid):
    sizes = {"train": 9, valid: 4, "test": 5}
    arrays = {pixels.format(part): images(size) for part, size in sizes.items() if part}
    arrays |= {classes.format(part): np.arange(size)[:, None] % 4 for part, size in sizes.items() if part}
    found = read(tmp_path, **arrays)
    assert {part: len(of_part) for part, of_part in found.parts.items()} == {
        "valid" if part == valid else part: size for part, size in sizes.items() if part
    }
    assert labels(found, "test") == [0, 1, 2, 3, 0] and not found.assumptions


def test_images_come_before_parts_as_in_earlier_versions(tmp_path):
    found = read(tmp_path, images=images(6), train=images(4), test=images(2))
    assert list(found.parts) == ["all"] and "train (4x4x5), test (2x4x5)" in said(found)


def test_ignored_arrays_are_listed(tmp_path):
    found = read(tmp_path, imgs=images(6), latents_values=np.zeros((6, 3)), latents_classes=np.zeros((6, 3), int))
    assert "ignored arrays: latents_values (6x3), latents_classes (6x3)" in said(found)
    assert "ignored array: meta (unreadable)" in said(read(tmp_path, images=images(6), meta=np.array([{}], object)))


def test_a_stated_array_is_read_with_its_own_labels(tmp_path):
    arrays = {"x_train": images(9), "y_train": np.arange(9), "x_test": images(5), "y_test": np.arange(5)}
    np.savez(tmp_path / "a.npz", z=images(5), **arrays)
    for name in ("x_test", "X_TEST"):
        found = read_arrays(tmp_path / "a.npz", ReadOptions(array=name))
        assert len(found.parts["all"]) == 5 and labels(found) == list(range(5))
        assert "x_train (9x4x5)" in said(found)
    assert labels(read_arrays(tmp_path / "a.npz", ReadOptions(array="z"))) is None
    refused(lambda: read_arrays(tmp_path / "a.npz", ReadOptions(array="x_tset")), "x_tset", "x_test (5x4x5)", "did you")


def test_it_must_be_clear_which_arrays_are_the_images(tmp_path):
    refused(lambda: read(tmp_path, a=images(5), b=images(5)), "a.npz", "a (5x4x5), b (5x4x5)", "--array NAME")
    refused(lambda: read(tmp_path, x=images(5), X=images(5)), "x and X", "--array NAME")
    refused(lambda: read(tmp_path), "a.npz", "nothing")
    refused(lambda: read(tmp_path, valid=images(5), test=images(5)), "has only valid and test")
    assert list(read(tmp_path, train=images(5), valid=images(5)).parts) == ["train", "valid"]
    # a mask of rows is no image
    found = read(tmp_path, data=images(5), train=np.arange(3), test=np.arange(2))
    assert list(found.parts) == ["all"] and "train (3)" in said(found)


def test_weights_are_read_and_equal_ones_are_left_out(tmp_path):
    found = read(tmp_path, images=images(5), weights=np.arange(5.0)).parts["all"].weights
    assert found is not None and found.tolist() == [0, 1, 2, 3, 4]
    assert read(tmp_path, images=images(5), weights=np.full(5, 0.2)).parts["all"].weights is None


def test_parts_must_fit_together(tmp_path):
    refused(lambda: read(tmp_path, train=images(5), test=images(5, 4, 4)), "a.npz", "different shapes")
    refused(lambda: read(tmp_path, train=images(5), test=images(5) > 0), "a.npz", "different types")
    half = read(tmp_path, train=images(5), test=images(5), test_labels=np.arange(5))
    assert labels(half, "train") is None and labels(half, "test") == list(range(5))
    assert "train images have no labels" in said(half)


def test_the_levels_of_the_file(tmp_path):
    assert read(tmp_path, images=images(9) % 17, levels=np.array(17)).levels == 17
    assert read(tmp_path, x=images(9) % 3, levels=np.array([64])).levels == 64
    for wrong in (np.array(257), np.array(1), np.array(16.0), np.array([17, 17])):
        refused(lambda wrong=wrong: read(tmp_path, images=images(9), levels=wrong), "a.npz", "levels")
    refused(lambda: read(tmp_path, images=images(9), levels=np.array(4)), "a.npz", "255, but levels is 4")
    np.savez(tmp_path / "b.npz", images=images(9) % 17, levels=np.array(17))
    found = read_arrays(tmp_path / "b.npz", ReadOptions(levels=20))
    assert found.levels == 20 and "states 17 levels" in said(found)


# --- labels -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stored", "wanted", "classes"),
    [
        (np.array([0.0, 1.0, 2.0]), [0, 1, 2], None),
        (np.array([[2], [1], [0]]), [2, 1, 0], None),
        (np.array([[2, 1, 0]]), [2, 1, 0], None),
        (np.eye(3)[[2, 0, 1]], [2, 0, 1], None),
        (np.array(["c10", "c2", "c10"]), [1, 0, 1], ("c2", "c10")),
        (np.array([b"b", b"a", b""]), [1, 0, -1], ("a", "b")),
        (np.array([3, 7, 7]), [0, 1, 1], ("3", "7")),
        (np.array([1, 10, -1]), [0, 1, -1], ("1", "10")),
        (np.array([0, 2, 2]), [0, 2, 2], None),
        (np.array([2**40, 0, 2**40]), [1, 0, 1], ("0", str(2**40))),
        (np.array([True, False, True]), [1, 0, 1], None),
    ],
)
def test_labels_become_numbers_of_classes(tmp_path, stored, wanted, classes):
    found = read(tmp_path, images=images(3), labels=stored)
    assert labels(found) == wanted and found.classes == classes
    assert found.parts["all"].labels is not None and found.parts["all"].labels.dtype == np.int64


def test_labels_of_earlier_versions_keep_their_numbers(tmp_path):
    found = read(tmp_path, infer=False, images=images(3), labels=np.array([3, 7, 7]), classes=np.array(["a", "b"]))
    assert labels(found) == [3, 7, 7] and found.classes is None
    refused(lambda: read(tmp_path, infer=False, images=images(3), labels=np.zeros(3)), "a.npz", "float64")


def test_names_of_classes(tmp_path):
    found = read(tmp_path, images=images(3), labels=np.array([2, 0, 0]), class_names=np.array(["a", "b", "c"]))
    assert labels(found) == [2, 0, 0] and found.classes == ("a", "b", "c") and not found.assumptions


def test_numbers_that_are_not_classes_are_ignored_with_a_notice(tmp_path):
    found = read(tmp_path, images=images(3), y=np.array([0.5, 1.5, 2.5]))
    assert labels(found) is None and "ignored" in said(found)
    refused(lambda: read(tmp_path, images=images(3), labels=np.arange(4)), "a.npz", "(4,)", "3 images")
    refused(lambda: read(tmp_path, images=images(3), labels=np.full(3, 2**63, np.uint64)), "int64")

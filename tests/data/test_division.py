"""Splits of a source: at random, stratified by class; and notices about repeated images."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from helpers import refused
from hypothesis import given, settings
from hypothesis import strategies as st

from ancestral.data.datasets import Dataset, load_dataset
from ancestral.data.division import image_keys, repeated, stratified_permutation
from ancestral.data.pixels import PixelBatches, PixelSpace
from ancestral.data.summary import summarise


def numbered(count: int) -> np.ndarray:
    """Images whose first two pixels say which one they are; the third is 255, so that all have 256 levels."""
    images = np.zeros((count, 3, 4), np.uint8)
    images[:, 0, 0], images[:, 0, 1], images[:, 0, 2] = np.arange(count) // 256, np.arange(count) % 256, 255
    return images


def numbers(images: torch.Tensor) -> list[int]:
    first = images[:, 0, 0].long()
    return (first[:, 0] * 256 + first[:, 1]).tolist()


@pytest.fixture
def saved(tmp_path) -> Callable[..., Dataset]:
    """Writes arrays into one file and reads them as a data set."""

    def save_and_load(arrays: dict[str, np.ndarray], **options) -> Dataset:
        np.savez_compressed(tmp_path / "source.npz", **arrays)  # type: ignore[arg-type]
        return load_dataset(str(tmp_path / "source.npz"), **options)

    return save_and_load


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 60), min_size=1, max_size=6),
    seed=st.integers(0, 5),
    start=st.floats(0, 1),
    stop=st.floats(0, 1),
)
def test_every_section_of_the_order_has_the_classes_in_proportion(sizes, seed, start, stop):
    labels = np.repeat(np.arange(len(sizes)), sizes)
    order = stratified_permutation(labels, len(labels), seed)
    assert sorted(order) == list(range(len(labels)))
    first, last = sorted((round(start * len(labels)), round(stop * len(labels))))
    counts = np.bincount(labels[order[first:last]], minlength=len(sizes))
    expected = np.array(sizes) * (last - first) / len(labels)
    assert (abs(counts - expected) <= 2 + 0.35 * len(sizes)).all()


def test_within_a_class_the_order_is_random():
    labels = np.repeat([0, 1], 500)
    order = stratified_permutation(labels, 1000, 0)
    ranks = order[labels[order] == 0]
    # the mean of the first half of a random order of 0..499 is 249.5 with a standard deviation of 6.5
    assert abs(ranks[:250].mean() - 249.5) < 5 * 6.5 and (np.diff(ranks) < 0).any()
    assert not np.array_equal(order, stratified_permutation(labels, 1000, 1))


def test_the_only_image_of_a_class_is_for_training():
    labels = np.array([0] * 500 + [1])
    assert all(500 in stratified_permutation(labels, 501, seed)[:400] for seed in range(20))


def test_an_array_sorted_by_class_keeps_every_class_in_every_split(saved):
    data = saved({"images": numbered(300), "labels": np.repeat(np.arange(3), 100)})
    for part, count in (("train", 80), ("valid", 10), ("test", 10)):
        labels = data.split(part).labels
        assert labels is not None and all(abs(int((labels == c).sum()) - count) <= 2 for c in range(3)), part
    together = [number for part in ("train", "valid", "test") for number in numbers(data.split(part).images)]
    assert sorted(together) == list(range(300))
    assert data.train.rows is not None and data.train.rows.tolist() == numbers(data.train.images)
    assert any("at random, in proportion to the classes (--split-seed 0)" in said for said in data.assumptions)


def test_validation_images_are_drawn_from_a_sorted_training_set(saved):
    arrays = {"x_train": numbered(300), "y_train": np.repeat(np.arange(3), 100), "x_test": numbered(30)}
    data = saved(arrays | {"y_test": np.repeat(np.arange(3), 10)})
    assert data.valid.labels is not None and data.valid.labels.bincount().tolist() == pytest.approx([17] * 3, abs=1)
    assert numbers(data.test.images) == list(range(30))
    assert not set(numbers(data.train.images)) & set(numbers(data.valid.images))
    other = saved(arrays | {"y_test": np.repeat(np.arange(3), 10)}, split_seed=1)
    assert set(numbers(other.valid.images)) != set(numbers(data.valid.images))


def test_the_file_s_own_validation_images_stay(saved):
    arrays = {
        name: numbered(90)[place]
        for name, place in (("train", slice(60)), ("valid", slice(60, 75)), ("test", slice(75, None)))
    }
    data = saved(arrays)
    assert set(numbers(data.train.images)) == set(range(60)) and set(numbers(data.valid.images)) == set(range(60, 75))
    assert numbers(data.test.images) == list(range(75, 90))
    few = saved(arrays, train_size=10)
    assert len(few.train) == 10 and set(numbers(few.train.images)) < set(range(60))


def test_an_older_run_keeps_its_division(saved):
    arrays = {"train": numbered(300), "test": numbered(30)}
    old = saved(arrays, version=1)
    assert numbers(old.train.images) == list(range(250)) and numbers(old.valid.images) == list(range(250, 300))
    assert numbers(saved(arrays).train.images) != list(range(250))


def test_equal_images_have_equal_keys_and_no_others():
    images = np.random.default_rng(0).integers(0, 2, (3000, 1, 3, 3), np.uint8)
    keys = image_keys(images)
    rows = np.unique(images.reshape(3000, -1), axis=0)
    assert len(np.unique(keys)) == len(rows)
    assert (keys == image_keys(images.astype(np.uint8, order="F"))).all()
    assert repeated(keys[:0], keys) == (0, 0)


def test_repeated_images_cause_a_notice(saved):
    two = numbered(2)[np.arange(1000) % 2]
    said = saved({"images": two}).assumptions
    assert any("798 of 800 training images are copies" in line for line in said)
    assert any("100 of 100 test images are also training or validation images" in line for line in said)
    assert not any("occur" in line or "copies" in line for line in saved({"images": numbered(1000)}).assumptions)


def test_missing_labels_and_empty_classes_cause_notices(saved):
    labels = np.where(np.arange(200) % 2 == 0, -1, np.arange(200) % 4)  # -1, 1 and 3
    data = saved({"images": numbered(200), "labels": labels})
    assert any("have no label (-1)" in line for line in data.assumptions)
    summary = summarise(data)
    assert summary.class_counts is not None and sum(summary.class_counts["train"]) == 80
    assert sum(sum(counts) for counts in summary.class_counts.values()) == 100


def test_a_summary_describes_the_data(saved):
    data = saved({"images": numbered(100), "labels": np.arange(100) % 2})
    summary = summarise(data)
    assert summary.lines()[0] == (
        "source: 100 images (80 train + 10 valid + 10 test), grey, 3x4 pixels (height x width), 256 levels of stored "
        "values 0 to 255"
    )
    assert f"SHA-256 {data.sha256}" in summary.lines()
    record = summary.to_json()
    assert (record["event_shape"], record["levels"], record["value_range"]) == ([1, 3, 4], 256, [0.0, 255.0])
    assert record["counts"] == {"train": 80, "valid": 10, "test": 10} and record["sha256"] == data.sha256


def test_each_split_has_its_own_draw_of_binary_pixels():
    grey = torch.full((50, 1, 8, 8), 8, dtype=torch.uint8)
    space = PixelSpace("static", 17)
    drawn = [PixelBatches(grey, space, draw=name).first(50) for name in ("train", "valid", "test")]
    same = [(a == b).float().mean().item() for i, a in enumerate(drawn) for b in drawn[:i]]
    # independent fair pixels agree in half of 3200 places, with a standard deviation of 0.009
    assert all(abs(share - 0.5) < 0.05 for share in same)
    assert torch.equal(drawn[2], PixelBatches(grey, space).first(50))


def test_too_few_images_are_refused(saved):
    refused(lambda: saved({"images": numbered(2)}), "are too few for three splits")
    refused(lambda: saved({"images": numbered(20)}, split_seed=-1), "split_seed")

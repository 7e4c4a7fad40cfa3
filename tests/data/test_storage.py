"""Large arrays in memory-mapped files, and blocks of their rows."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from sources_in_memory import IMAGES

from ancestral.data import datasets, memory, storage
from ancestral.data.datasets import load_dataset
from ancestral.data.memory import hold
from ancestral.data.pixels import PixelBatches, PixelSpace
from ancestral.data.storage import Rows, allocated, is_mapped, joined, row_blocks


def test_an_array_is_in_a_file_where_it_exceeds_a_share_of_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not is_mapped(allocated((10, 10), np.float32))
    monkeypatch.setattr(storage, "available_memory", lambda: 4 * 400 - 4)
    large = allocated((10, 10), np.float32)
    assert is_mapped(large) and is_mapped(large[2:, ::-1].T) and not is_mapped(allocated((9, 11), np.float32).copy())
    large[:] = 3
    assert large.sum() == 300 and not is_mapped(allocated((9, 11), np.float32))


def test_rows_grow() -> None:
    values = np.random.default_rng(0).normal(size=(1000, 3))
    for count in (1000, None):
        rows = Rows(values[0], count)
        for value in values:
            rows.add(value)
        assert len(rows) == 1000 and np.array_equal(rows.array, values)


def test_blocks_and_joined_arrays_are_the_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "BLOCK_BYTES", 640)
    blocks = list(row_blocks(IMAGES))
    assert [start for start, _ in blocks] == list(range(0, 200, 10))
    assert np.array_equal(np.concatenate([block for _, block in blocks]), IMAGES)
    assert joined([IMAGES]) is IMAGES and np.array_equal(joined([IMAGES[:50], IMAGES[50:]]), IMAGES)


FILES = {
    "bytes": lambda: IMAGES,
    "channels last": lambda: np.stack([IMAGES, IMAGES[::-1], IMAGES // 2], 3),
    "16 bits": lambda: IMAGES.astype(np.uint16) * 60,
}


@pytest.mark.parametrize("kind", FILES)
def test_a_mapped_file_is_not_copied(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    array = FILES[kind]()
    np.save(tmp_path / "large.npy", array)
    expected = load_dataset(str(tmp_path / "large.npy"), options=_options(kind))
    for module in (storage, datasets, memory):
        monkeypatch.setattr(module, "COPIED", 0)
    mapped = np.load(tmp_path / "large.npy", mmap_mode="r")
    name = hold(mapped)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # such as that of torch about memory that may not be written
        found = load_dataset(name, options=_options(kind))
    assert found.sha256 == expected.sha256
    of_file = mapped.__array_interface__["data"][0]
    for part in ("train", "valid", "test"):
        split = found.split(part)
        assert of_file <= split.stored.data_ptr() < of_file + mapped.nbytes and split.chosen is not None
        assert torch.equal(split.images, expected.split(part).images)
        space = PixelSpace("levels", found.levels)
        ours, theirs = (PixelBatches(one.split(part), space, seed=1) for one in (found, expected))
        for batch, other in zip(ours.shuffled(0, 30), theirs.shuffled(0, 30), strict=True):
            assert torch.equal(batch.x, other.x) and batch.x.is_contiguous()


def _options(kind: str):
    from ancestral.settings.data import ReadOptions

    return ReadOptions(levels=1024) if kind == "16 bits" else ReadOptions()


def test_points_of_a_mapped_file_are_not_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    points = np.random.default_rng(0).normal(size=(300, 3)).astype(np.float32)
    np.save(tmp_path / "points.npy", points)
    expected = load_dataset(str(tmp_path / "points.npy"))
    for module in (storage, datasets, memory):
        monkeypatch.setattr(module, "COPIED", 0)
    mapped = np.load(tmp_path / "points.npy", mmap_mode="r")
    found = load_dataset(hold(mapped))
    assert found.train.stored.data_ptr() == mapped.__array_interface__["data"][0]
    assert found.sha256 == expected.sha256 and torch.equal(found.test.images, expected.test.images)


def test_levels_that_exceed_memory_are_kept_in_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = load_dataset(hold(IMAGES / 16))
    name = hold(IMAGES / 16)
    monkeypatch.setattr(storage, "available_memory", lambda: 20_000)
    found = load_dataset(name)
    assert found.sha256 == expected.sha256 and any("levels need much memory" in line for line in found.assumptions)

"""Images that stay on disk: one .npy file or a folder of shards give the same data as an array in memory."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import refused

import ancestral
from ancestral.core.errors import InputError
from ancestral.data import anomalies, datasets, numpy_files, pixels, sharded, shards, storage
from ancestral.data.datasets import load_dataset
from ancestral.data.imported import Imported
from ancestral.data.memory import hold
from ancestral.data.orders import epoch_order
from ancestral.data.pixels import PixelBatches, PixelSpace
from ancestral.data.read_ahead import AHEAD, read_ahead
from ancestral.data.sharded import ShardedImages
from ancestral.data.shards import read_shards
from ancestral.data.splits import Dataset, Split
from ancestral.evaluation.likelihood import per_image
from ancestral.families.mixture.model import MixtureOfBernoullis
from ancestral.settings.data import ReadOptions

COUNT, SIZES = 200, (70, 1, 60, 69)
IMAGES = np.random.default_rng(0).integers(0, 256, (COUNT, 3, 6, 5), dtype=np.uint8)
CLASSES = np.random.default_rng(1).integers(0, 4, COUNT)


@pytest.fixture
def on_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Even small images stay on disk."""
    for module in (storage, datasets, shards, pixels):
        monkeypatch.setattr(module, "COPIED", 0)
    monkeypatch.setattr(numpy_files, "MAPPED_BYTES", 0)


def write_shards(
    folder: Path, images: np.ndarray = IMAGES, labels: str = "", first: int = 0, sizes: tuple[int, ...] = SIZES
) -> Path:
    """Shards of images; with labels in one file ("one"), in one for each shard ("each"), or without."""
    folder.mkdir(parents=True, exist_ok=True)
    ends = np.cumsum(sizes)[:-1]
    for number, (part, known) in enumerate(zip(np.split(images, ends), np.split(CLASSES, ends), strict=True), first):
        np.save(folder / f"shard-{number:05d}.npy", part)
        if labels == "each":
            np.save(folder / f"shard-{number:05d}.labels.npy", known)
    if labels == "one":
        np.save(folder / "labels.npy", CLASSES)
    return folder


def in_memory(folder: Path, images: np.ndarray = IMAGES) -> Dataset:
    np.savez(folder / "memory.npz", images=images, labels=CLASSES)
    return load_dataset(str(folder / "memory.npz"))


def same_data(found: Dataset, expected: Dataset) -> None:
    """Hash, splits, labels and rows are equal."""
    assert (found.sha256, found.levels, found.event_shape) == (expected.sha256, expected.levels, expected.event_shape)
    for part in ("train", "valid", "test"):
        ours, theirs = found.split(part), expected.split(part)
        assert torch.equal(ours.images, theirs.images) and len(ours) == len(theirs)
        assert (ours.rows is None) == (theirs.rows is None)
        assert ours.rows is None or theirs.rows is None or np.array_equal(ours.rows, theirs.rows)
        assert (ours.labels is None) == (theirs.labels is None)
        assert ours.labels is None or theirs.labels is None or torch.equal(ours.labels, theirs.labels)


@pytest.mark.parametrize("labels", ["one", "each"])
@pytest.mark.parametrize("axes", ["channels first", "channels last", "grey"])
def test_shards_are_one_data_set(labels: str, axes: str, tmp_path: Path, on_disk: None) -> None:
    images = {"channels first": IMAGES, "channels last": IMAGES.transpose(0, 2, 3, 1), "grey": IMAGES[:, 0]}[axes]
    expected = in_memory(tmp_path, np.ascontiguousarray(images))
    found = load_dataset(str(write_shards(tmp_path / "many", np.ascontiguousarray(images), labels, first=1)))
    same_data(found, expected)
    assert isinstance(found.train.stored, ShardedImages) and "4 shards" in found.assumptions[0]


def test_small_shards_are_read_into_memory(tmp_path: Path) -> None:
    found = load_dataset(str(write_shards(tmp_path / "many", labels="each")))
    same_data(found, in_memory(tmp_path))
    assert isinstance(found.train.stored, torch.Tensor) and found.train.chosen is None


def test_other_types_are_converted(tmp_path: Path, on_disk: None) -> None:
    for images in (IMAGES / 255, IMAGES.astype(np.uint16) * 257):
        np.save(tmp_path / "whole.npy", images)
        found = load_dataset(str(write_shards(tmp_path / "many", images)))
        assert found.sha256 == load_dataset(str(tmp_path / "whole.npy")).sha256


def test_folders_of_shards_are_splits(tmp_path: Path, on_disk: None) -> None:
    parts = dict(zip(("train", "val", "test"), np.split(IMAGES, [120, 160]), strict=True))
    for name, images in parts.items():
        write_shards(tmp_path / "many" / name, images, sizes=(20, len(images) - 20))
    np.savez(tmp_path / "memory.npz", **parts)
    same_data(load_dataset(str(tmp_path / "many")), load_dataset(str(tmp_path / "memory.npz")))


@pytest.mark.parametrize("axes", ["channels first", "channels last"])
def test_one_file_stays_where_it_is(axes: str, tmp_path: Path, on_disk: None) -> None:
    images = IMAGES if axes == "channels first" else np.ascontiguousarray(IMAGES.transpose(0, 2, 3, 1))
    np.save(tmp_path / "one.npy", images)
    found = load_dataset(str(tmp_path / "one.npy"))
    assert any("memory-mapped" in line for line in found.assumptions) and found.train.chosen is not None
    for part in ("train", "valid", "test"):
        assert torch.equal(found.split(part).images, torch.from_numpy(IMAGES[found.split(part).rows]))


def batches_of(data: Dataset, space: str, window: int | None, first: int = 0) -> list[torch.Tensor]:
    """All batches of an epoch with their labels, and the held-out images in blocks."""
    space_of = PixelSpace(space, data.levels)
    train = PixelBatches(data.train, space_of, 3, fresh=True, labels=data.train.labels, draw="train", window=window)
    held = PixelBatches(data.test, space_of)
    epoch = [tensor for batch in train.shuffled(2, 16, first) for tensor in (batch.x, batch.labels)]
    return [tensor for tensor in epoch if tensor is not None] + list(held.in_order(7))


@pytest.mark.parametrize("window", [None, 30])
@pytest.mark.parametrize("space", ["levels", "unit", "threshold", "binary", "static"])
def test_batches_are_equal_to_the_bit(
    space: str, window: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = batches_of(in_memory(tmp_path), space, window)
    write_shards(tmp_path / "many", labels="one")
    np.save(tmp_path / "one.npy", IMAGES)
    for module in (storage, datasets, shards, pixels):
        monkeypatch.setattr(module, "COPIED", 0)
    mapped = np.load(tmp_path / "one.npy", mmap_mode="r")
    sources = str(tmp_path / "many"), hold((mapped, CLASSES))
    for source in sources:
        data = load_dataset(source)
        assert data.train.chosen is not None
        found = batches_of(data, space, window)
        assert len(found) == len(expected)
        assert all(torch.equal(ours, theirs) for ours, theirs in zip(found, expected, strict=True))
        later = batches_of(data, space, window, first=4)  # as after a stop in the epoch
        assert all(torch.equal(ours, theirs) for ours, theirs in zip(later, expected[2 * 4 :], strict=True))


@pytest.mark.parametrize("window", [1, 7, 50, 99, 100, None])
def test_an_epoch_visits_each_image_once(window: int | None) -> None:
    stored = torch.randperm(100, generator=torch.Generator().manual_seed(0))
    orders = [epoch_order(100, seed, window, stored) for seed in range(20)]
    assert all(torch.equal(order.sort().values, torch.arange(100)) for order in orders)
    assert len({tuple(order.tolist()) for order in orders}) == 20
    assert torch.equal(orders[3], epoch_order(100, 3, window, stored))


def test_the_images_of_a_window_are_close_in_the_file() -> None:
    stored = torch.randperm(1000, generator=torch.Generator().manual_seed(0))
    cuts = set()
    for seed in range(30):
        places = stored[epoch_order(1000, seed, 50, stored)]
        far = (places.diff().abs() >= 50).nonzero()[:, 0] + 1
        ends = [0, *far.tolist(), 1000]
        pieces = [places[first:last] for first, last in pairwise(ends)]
        assert all(int(piece.max() - piece.min()) < 2 * 50 for piece in pieces) and 15 <= len(pieces) <= 21
        cuts.add(int(places[:50].min()) % 50)
        inside = max(pieces, key=len)
        assert not torch.equal(inside, inside.sort().values)
    assert len(cuts) > 10  # the cuts differ between epochs


def test_rows_of_several_arrays() -> None:
    rows = torch.tensor([150, 3, 199, 70, 69, 3])
    many = ShardedImages(np.split(IMAGES, [70, 71, 131]))
    assert torch.equal(many.index_select(0, rows), torch.from_numpy(IMAGES)[rows])
    assert len(many.index_select(0, rows[:0])) == 0 and len(many[5:5]) == 0
    for start, stop in ((0, 200), (60, 140), (70, 71), (199, 300)):
        assert np.array_equal(many[start:stop], IMAGES[start:stop])


def test_every_page_of_a_batch_is_touched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharded, "PAGE", 16)
    asked: list[tuple[torch.Tensor, torch.Tensor]] = []
    select = torch.Tensor.index_select

    def watched(stored: torch.Tensor, dim: int, rows: torch.Tensor) -> torch.Tensor:
        asked.append((stored, rows))
        return select(stored, dim, rows)

    monkeypatch.setattr(torch.Tensor, "index_select", watched)
    for images in (IMAGES, np.ascontiguousarray(IMAGES.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)):
        whole = torch.from_numpy(images)
        asked.clear()
        sharded.touch(whole[10:], torch.tensor([150, 3, 99]))
        ((view, rows),) = asked
        first = (view.data_ptr() - whole.data_ptr()) // 90
        assert rows.tolist() == [3, 99, 150] and first == 10 and view.shape == (190, 6) and view.stride() == (90, 16)
        asked.clear()
        sharded.touch(ShardedImages([images[:70], images[70:71], images[71:]]), torch.tensor([150, 3, 99]))
        assert [(len(view), rows.tolist()) for view, rows in asked] == [(70, [3]), (129, [28, 79])]


def test_reading_ahead_keeps_order_and_errors_and_is_bounded() -> None:
    started: list[int] = []

    def read(item: int) -> None:
        started.append(item)
        assert threading.current_thread() is not threading.main_thread()
        if item == 7:
            raise InputError("damaged")

    assert list(read_ahead(read, [5, 2, 3])) == started == [5, 2, 3]
    assert not list(read_ahead(read, []))
    started.clear()
    found = read_ahead(read, list(range(100)))
    assert [next(found), next(found)] == [0, 1]
    time.sleep(0.05)
    assert 2 < len(started) <= 1 + AHEAD
    assert [next(found) for _ in range(5)][-1] == 6 in started
    with pytest.raises(InputError, match="damaged"):
        next(found)
    again = read_ahead(read, [1, 2, 3, 4, 5, 6])
    next(again)
    again.close()  # as when the training stops
    assert not any(thread.name.startswith("ancestral-read-ahead") for thread in threading.enumerate())


def damage(folder: Path, kind: str) -> None:
    """Change one shard, or a file next to it."""
    third, second = folder / "shard-00002.npy", folder / "shard-00001.npy"
    if kind == "truncated":
        os.truncate(third, third.stat().st_size - 10)
    elif kind == "missing":
        third.unlink()
    elif kind == "empty":
        np.save(third, IMAGES[:0])
    elif kind == "table":
        np.save(third, IMAGES[0, 0])
    elif kind in ("shape", "type"):
        np.save(third, IMAGES[:9, :, :4] if kind == "shape" else IMAGES[:9].astype(np.int16))
    elif kind == "number":
        np.save(folder / "shard-1.npy", IMAGES[:9])
    elif kind == "series":
        np.save(folder / "other-4.npy", IMAGES[:9])
    elif kind == "no number":
        np.save(folder / "images.npy", IMAGES[:9])
    elif kind == "few labels":
        np.save(folder / "labels.npy", CLASSES[1:])
    else:
        np.save(second.with_suffix(".labels.npy"), CLASSES[:1])


WRONG = {
    "truncated": ("shard-00002.npy", "states 5,400 bytes but has 5,390"),
    "missing": ("shard number 2 is missing", "up to 3"),
    "empty": ("shard-00002.npy", "0 images"),
    "table": ("shard-00002.npy", "not a set of images"),
    "shape": ("shard-00002.npy", "9 images (3, 4, 5) of type uint8", "shard-00000.npy has 70 images (3, 6, 5)"),
    "type": ("shard-00002.npy", "int16", "uint8"),
    "number": ("shard-1.npy", "same number as shard-00001.npy"),
    "series": ("two series of shards", "other-4.npy", "shard-00000.npy"),
    "no number": ("images.npy", "no number"),
    "few labels": ("labels.npy", "(199,) for 200 images"),
    "missing labels": ("shard-00000.labels.npy", "missing"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_a_wrong_shard_is_one_line(kind: str, tmp_path: Path, on_disk: None) -> None:
    damage(write_shards(tmp_path / "many"), kind)
    refused(lambda: load_dataset(str(tmp_path / "many")), *WRONG[kind])


def test_options_that_change_shards_are_refused(tmp_path: Path, on_disk: None) -> None:
    folder = write_shards(tmp_path / "many")
    for options in (ReadOptions(grey=True), ReadOptions(crop=True), ReadOptions(resize=4), ReadOptions(missing=True)):
        refused(lambda options=options: read_shards(folder, options), "shards, which stay on disk")
    refused(lambda: load_dataset(str(folder), pad_to=9), "cannot be padded")
    (tmp_path / "many/train").mkdir()
    (tmp_path / "split/test").mkdir(parents=True)
    write_shards(tmp_path / "split/test")
    refused(lambda: load_dataset(str(tmp_path / "split")), "no folder train")


def test_image_files_are_not_shards(tmp_path: Path) -> None:
    from PIL import Image

    write_shards(tmp_path)
    Image.fromarray(IMAGES[0, 0]).save(tmp_path / "a.png")
    assert not shards.has_shards(tmp_path)


def test_many_shards_need_no_open_files(tmp_path: Path, on_disk: None) -> None:
    before = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else 0
    found: Imported = read_shards(write_shards(tmp_path / "many", sizes=(1,) * COUNT))
    after = len(os.listdir("/proc/self/fd")) if before else 0
    assert len(found.parts["all"]) == COUNT and after - before < 20


def test_a_resumed_training_on_shards_has_the_same_weights(
    tmp_path: Path, on_disk: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from helpers import Stopping

    from ancestral.families.run_settings import settings_for
    from ancestral.runs.fit import fit_settings

    folder = write_shards(tmp_path / "many", labels="one")
    brief = {"latents": 2, "hidden": (8,), "epochs": 3, "batch_size": 16, "pixels": "levels", "shuffle_window": 40}
    settings = settings_for("vae", data=str(folder), log_every=1, **brief)
    with caplog.at_level("WARNING", "ancestral"):
        whole = fit_settings(settings, tmp_path / "whole")
    assert "random within windows of 40 images" in caplog.text
    for step in (5, 17):
        with pytest.raises(KeyboardInterrupt):
            fit_settings(settings, tmp_path / "again", step > 5, Stopping(step), checkpoint_seconds=0.0)
    again = fit_settings(settings, tmp_path / "again", resume=True)
    assert again.weights_sha256 == whole.weights_sha256
    np.savez(tmp_path / "memory.npz", images=IMAGES, labels=CLASSES)
    for module in (storage, datasets, shards, pixels):
        monkeypatch.setattr(module, "COPIED", 2**28)
    other = fit_settings(settings_for("vae", data=str(tmp_path / "memory.npz"), **brief), tmp_path / "memory")
    assert other.weights_sha256 == whole.weights_sha256


def test_a_shard_that_changes_ends_the_resume(tmp_path: Path, on_disk: None) -> None:
    from helpers import Stopping

    from ancestral.families.run_settings import settings_for
    from ancestral.runs.fit import fit_settings

    folder = write_shards(tmp_path / "many")
    settings = settings_for("vae", data=str(folder), latents=2, hidden=(8,), epochs=2, batch_size=16, pixels="levels")
    with pytest.raises(KeyboardInterrupt):
        fit_settings(settings, tmp_path / "run", False, Stopping(3))
    images = np.load(folder / "shard-00002.npy")
    images[4, 1, 2, 3] ^= 1
    np.save(folder / "shard-00002.npy", images)
    refused(lambda: fit_settings(settings, tmp_path / "run", resume=True), "changed", "SHA-256")


def test_commands_that_need_all_images_refuse_too_many(
    tmp_path: Path, on_disk: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_shards(tmp_path / "many", labels="one")
    settings = {"components": 2, "epochs": 1, "pixels": "threshold", "valid_size": 60}
    run = ancestral.fit("mixture", tmp_path / "run", data=str(folder), **settings)
    assert ancestral.evaluate(run).count == 20
    assert len(ancestral.evaluate(run, data=str(folder)).data_sha256 or "") == 64
    assert ancestral.detect(run, against="noise", trials=20).counts == (10, 10)
    ancestral.compress(run, tmp_path / "test.anc")
    write_shards(tmp_path / "new", IMAGES[:30], sizes=(10, 20))
    assert ancestral.evaluate(run, data=str(tmp_path / "new")).count == 30
    monkeypatch.setattr(storage, "MOST_AT_ONCE", 5 * IMAGES[0].size)
    refused(lambda: ancestral.detect(run, against="noise", trials=20), "80 images in memory", "--count")
    refused(lambda: ancestral.compress(run, tmp_path / "test.anc"), "20 images in memory")


def test_training_images_are_found_in_blocks() -> None:
    training = Split(ShardedImages(np.split(IMAGES, [70, 71])), None)
    anomalies.refuse_training_images(torch.from_numpy(255 - IMAGES), training, "new")
    known = torch.from_numpy(np.concatenate([IMAGES[:3], 255 - IMAGES[:4]]))
    refused(lambda: anomalies.refuse_training_images(known, training, "new"), "3 of its 7 images")


GROWTH = """
import sys, threading
import torch
from ancestral.data import datasets, numpy_files, pixels, storage
from ancestral.runs.run_data import RunData
from ancestral.settings.data import DataSettings

def anonymous():
    line = next(line for line in open("/proc/self/status") if line.startswith("RssAnon"))
    return int(line.split()[1]) // 1024

def growth(action):
    stop, start = threading.Event(), anonymous()
    peak = start
    def watch():
        nonlocal peak
        while not stop.wait(0.002):
            peak = max(peak, anonymous())
    watching = threading.Thread(target=watch)
    watching.start()
    result = action()
    stop.set()
    watching.join()
    return peak - start, result

def read(path):
    data = RunData(DataSettings(data=path, pixels="unit"))
    for number, batch in enumerate(data.training(0).shuffled(0, 64)):
        if number == 40:
            break
    return sum(float(x.sum()) for x in data.held("test").in_order(500))

numpy_files.MAPPED_BYTES = storage.COPIED = datasets.COPIED = pixels.COPIED = 2**20
torch.set_num_threads(1)
print(*(growth(lambda: read(path))[0] for path in sys.argv[1:]))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc")
def test_memory_does_not_grow_with_the_images(tmp_path: Path) -> None:
    """Four times as many images, 246 MB in place of 61 MB, need at most 60 MiB more of anonymous memory."""
    shape = (3, 64, 64)
    for name, count in (("small", 5_000), ("large", 20_000)):
        with open(tmp_path / f"{name}.npy", "wb") as stream:  # a sparse file: only the first image takes space
            np.lib.format.write_array_header_1_0(
                stream, {"descr": "|u1", "fortran_order": False, "shape": (count, *shape)}
            )
            stream.write(bytes(range(256)) * 48)
            stream.truncate(stream.tell() + (count - 1) * 12288)
    files = [str(tmp_path / f"{name}.npy") for name in ("small", "small", "large")]
    done = subprocess.run([sys.executable, "-c", GROWTH, *files], capture_output=True, text=True, check=True)
    first, again, large = map(int, done.stdout.split())
    # between two readings of the same file, what the allocator keeps varies by more than 50 MiB
    assert large - max(first, again) < 60, done.stdout


def test_scores_of_blocks_are_not_kept_as_tensors_of_their_own() -> None:
    """A small tensor for each block, between the large ones, would split the memory that the blocks use again."""
    model = MixtureOfBernoullis((3, 6, 5), 2)
    alive: list[int] = []

    def value(x: torch.Tensor) -> torch.Tensor:
        found = (one for one in gc.get_objects() if type(one) is torch.Tensor and one.dtype == torch.float64)
        alive.append(sum(1 for _ in found))
        return x.flatten(1).sum(1)

    images = PixelBatches(torch.from_numpy(IMAGES), PixelSpace("levels", 256))
    values = per_image(model, images, 25, value, 0, None)
    assert torch.equal(values, torch.from_numpy(IMAGES).flatten(1).double().sum(1)) and values.dtype == torch.float64
    assert len(alive) == 8 and len(set(alive[2:])) == 1, alive

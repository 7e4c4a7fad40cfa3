"""Reading of data: an array file, and a folder of pictures."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from benchmarks.harness.declarations import Contestant, Repetition, Workload
from benchmarks.harness.training import binary_images


def array_file(tiny: bool) -> tuple[tempfile.TemporaryDirectory[str], Path]:
    folder = tempfile.TemporaryDirectory()
    path = Path(folder.name) / "images.npz"
    np.savez(path, x=np.random.default_rng(0).integers(0, 256, (64 if tiny else 20_000, 28, 28), dtype=np.uint8))
    return folder, path


def picture_folder(tiny: bool) -> tuple[tempfile.TemporaryDirectory[str], Path]:
    from PIL import Image

    folder = tempfile.TemporaryDirectory()
    for number, image in enumerate(binary_images(32 if tiny else 1000)[:, 0].numpy()):
        inside = Path(folder.name) / f"class-{number % 4}"
        inside.mkdir(exist_ok=True)
        Image.fromarray(np.maximum(image, number % 200).astype(np.uint8)).save(inside / f"{number}.png")
    return folder, Path(folder.name)


def ours(make, tiny: bool) -> Repetition:
    from ancestral.data.datasets import load_dataset

    folder, path = make(tiny)

    def repetition() -> int:
        assert folder
        return sum(len(part) for part in _splits(load_dataset(str(path))))

    return repetition


def _splits(dataset):
    return dataset.train, dataset.valid, dataset.test


def bare_array(tiny: bool) -> Repetition:
    """`numpy.load` only: no checks, hash, split or levels."""
    folder, path = array_file(tiny)

    def repetition() -> int:
        assert folder
        with np.load(path) as held:
            return len(held["x"])

    return repetition


def bare_pictures(tiny: bool) -> Repetition:
    """PIL in a loop over the sorted files: no checks, hash, split or levels."""
    from PIL import Image

    folder, path = picture_folder(tiny)

    def repetition() -> int:
        assert folder
        images = [np.asarray(Image.open(file).convert("L")) for file in sorted(path.rglob("*.png"))]
        return len(np.stack(images))

    return repetition


WORKLOADS = (
    Workload(
        "reading-array",
        "reading of an array file",
        "20,000 images 28 x 28 in a .npz file, with checks, hash and splits",
        (
            Contestant("ours", "ours", lambda tiny: ours(array_file, tiny)),
            Contestant("numpy.load", "limit", bare_array),
        ),
        threads=(1,),
    ),
    Workload(
        "reading-folder",
        "reading of a folder of pictures",
        "1,000 PNG files 28 x 28 in 4 classes, with checks, hash and splits",
        (
            Contestant("ours", "ours", lambda tiny: ours(picture_folder, tiny)),
            Contestant("PIL", "limit", bare_pictures),
        ),
        threads=(1,),
    ),
)

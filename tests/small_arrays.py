"""Small arrays of images in files, and what their reader finds, for the tests of files of arrays."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ancestral.data.arrays import read_arrays
from ancestral.data.imported import Imported
from ancestral.settings.data import ReadOptions


def images(count: int, height: int = 4, width: int = 5) -> np.ndarray:
    """Bytes of which each image has its own, and of which the largest is 255."""
    pixels = np.random.default_rng(count).integers(0, 256, (count, height, width), dtype=np.uint8)
    pixels[:, 0, 0], pixels[0, 0, 1] = np.arange(count), 255
    return pixels


def read(folder: Path, infer: bool = True, **arrays: np.ndarray) -> Imported:
    """What is read from a .npz file of these arrays."""
    np.savez(folder / "a.npz", **arrays)  # type: ignore[arg-type]
    return read_arrays(folder / "a.npz", ReadOptions(infer=infer))


def labels(found: Imported, part: str = "all") -> list[int] | None:
    """The labels of a part as a list."""
    stored = found.parts[part].labels
    return None if stored is None else stored.tolist()


def said(found: Imported) -> str:
    """All assumptions as one text."""
    return "; ".join(found.assumptions)

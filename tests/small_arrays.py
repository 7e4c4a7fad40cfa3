"""Small arrays of images in files, and the result of reading them, for tests of array files."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ancestral.data.arrays import read_arrays
from ancestral.data.imported import Imported
from ancestral.settings.data import ReadOptions


def images(count: int, height: int = 4, width: int = 5) -> np.ndarray:
    """Images of bytes that all differ, with a maximum of 255."""
    pixels = np.random.default_rng(count).integers(0, 256, (count, height, width), dtype=np.uint8)
    pixels[:, 0, 0], pixels[0, 0, 1] = np.arange(count), 255
    return pixels


def read(folder: Path, infer: bool = True, **arrays: np.ndarray) -> Imported:
    """The result of reading a .npz file with these arrays."""
    np.savez(folder / "a.npz", **arrays)  # type: ignore[arg-type]
    return read_arrays(folder / "a.npz", ReadOptions(infer=infer))


def labels(found: Imported, part: str = "all") -> list[int] | None:
    """The labels of a part as a list."""
    stored = found.parts[part].labels
    return None if stored is None else stored.tolist()


def said(found: Imported) -> str:
    """All assumptions of the reader as one text."""
    return "; ".join(found.assumptions)

"""Masks of missing pixels from a file or folder: one for all images, or one for each."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ancestral.core.errors import refusal
from ancestral.data.imported import Imported
from ancestral.settings.data import ReadOptions


def read_masks(path: Path, count: int, event_shape: tuple[int, ...]) -> Tensor:
    """Which pixels of each image are seen, from a mask in which missing pixels are not zero (white).

    Args:      path: an image file, a folder of them in the order of the images' names, or a file with one array of
               shape (H, W), (N, H, W) or (N, C, H, W). count: images. event_shape: (C, H, W) of one.
    Returns:   boolean, shape (count, C, H, W), true where a pixel is seen.
    Raises:    InputError: no such file, another shape or another number of masks, or nothing missing in any.
    """
    if len(event_shape) != 3:
        raise refusal(path, "masks are of images", "name the columns to complete")
    missing = _arrays(path) != 0
    channels, height, width = event_shape
    if missing.ndim == 2:
        missing = missing[None]
    if missing.ndim == 3:
        missing = missing[:, None]
    if missing.ndim != 4 or missing.shape[1] not in (1, channels) or missing.shape[2:] != (height, width):
        found = "x".join(map(str, missing.shape[-2:]))
        raise refusal(path, f"masks of {found} pixels", f"the images have {height}x{width}")
    if len(missing) not in (1, count):
        raise refusal(path, f"{len(missing)} masks for {count} images", "give one for all, or one for each")
    if not missing.any():
        raise refusal(path, "no pixel is missing", "missing pixels are those that are not zero (white) in the mask")
    return torch.from_numpy(~missing).expand(count, channels, height, width)


def _arrays(path: Path) -> np.ndarray:
    """The masks as they are stored."""
    from ancestral.data.datasets import read_source
    from ancestral.data.pictures import read_picture

    if os.path.isfile(path) and path.suffix.lower() not in (".npy", ".npz", ".mat", ".pt", ".pth"):
        return read_picture(path)
    if path.suffix.lower() == ".npy" and os.path.isfile(path):
        from ancestral.data.arrays import read_npy

        return read_npy(path)
    _, found = read_source(str(path), ReadOptions())
    return _only(path, found)


def _only(path: Path, found: Imported) -> np.ndarray:
    if "all" not in found.parts:
        raise refusal(path, "masks are not divided in training and test", "give one array or folder of masks")
    return found.parts["all"].images

"""Conversion of arrays of images in common layouts to shape (N, C, H, W), with notices about ambiguous shapes."""

from __future__ import annotations

import numpy as np

from ancestral.core.errors import refusal

CHANNELS = (1, 3)
WITH_ALPHA = 4
FREY_ROWS, FREY_SIZE = 560, (28, 20)  # the Frey faces of frey_rawface.mat: one column per face


def channels_first(
    subject: object, array: np.ndarray, count: int | None = None, matlab: bool = False
) -> tuple[np.ndarray, list[str]]:
    """A view of an array of images as (N, C, H, W), and notices.

    Args:
        subject: the array, for errors.
        array: shape (N, H, W), (N, C, H, W) or (N, H, W, C) with C of 1, 3 or 4; or with N as the last axis, if
            `count` or `matlab` implies this.
        count: number of labels, if there are any.
        matlab: whether the array is from MATLAB, where N is usually the last axis.

    Raises: InputError for any other shape.
    """
    said: list[str] = []
    if array.ndim in (3, 4) and _images_last(array.shape, count, matlab):
        said.append(f"shape {array.shape}: the last axis counts the images")
        array = np.moveaxis(array, -1, 0)
    shape = array.shape
    if array.ndim == 3:
        return array[:, None], said
    first, last = (shape[1], shape[3]) if array.ndim == 4 else (0, 0)
    for colours in (CHANNELS, (WITH_ALPHA,)):
        if first in colours and last in colours:
            said.append(f"shape {shape}: ambiguous; channels are read before height and width")
        if first in colours:
            return array, said
        if last in colours:
            return array.transpose(0, 3, 1, 2), said
    raise refusal(
        subject,
        f"shape {shape} is not a set of images",
        "give (N, H, W), (N, H, W, C) or (N, C, H, W) with C 1, 3 or 4",
    )


def frey_faces(array: np.ndarray) -> np.ndarray:
    """The Frey faces, shape (560, N), as images of shape (N, 1, 28, 20)."""
    return array.T.reshape(-1, 1, *FREY_SIZE)


def composited(images: np.ndarray, levels: int, background: tuple[int, int, int]) -> np.ndarray:
    """Composite images with transparency on a background of one colour.

    Args:      images: RGBA as levels, shape (N, 4, H, W). levels: number of levels. background: RGB, 0 to 255.
    Returns:   RGB, shape (N, 3, H, W), of the same type.
    """
    behind = (np.array(background) * (levels - 1) / 255.0).reshape(1, 3, 1, 1)
    result = np.empty((len(images), 3, *images.shape[2:]), images.dtype)
    step = max(1, (1 << 20) // max(1, images[:1].size))
    for start in range(0, len(images), step):
        block = images[start : start + step].astype(np.float64)
        alpha = block[:, 3:] / (levels - 1)
        result[start : start + step] = np.rint(block[:, :3] * alpha + behind * (1 - alpha))
    return result


def _images_last(shape: tuple[int, ...], count: int | None, matlab: bool) -> bool:
    """Whether the last axis counts the images."""
    if len(shape) == 4 and shape[2] not in (*CHANNELS, WITH_ALPHA):
        return False
    if count is not None and (shape[0] == count) != (shape[-1] == count):
        return shape[-1] == count
    if not matlab:
        return False
    if len(shape) == 4:  # (H, W, C, N), unless it is (N, C, H, W) or (N, H, W, C)
        return shape[1] not in (*CHANNELS, WITH_ALPHA) and shape[3] not in (*CHANNELS, WITH_ALPHA)
    return shape[1] != shape[2]  # (N, H, W) of square images is the other possibility

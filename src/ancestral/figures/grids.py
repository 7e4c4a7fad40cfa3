"""Figures of many images: grids, pairs, latent manifolds.

images (N, C, H, W) in [0, 1]  ->  one array  ->  Figure, one array pixel = one PNG pixel
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ancestral.core.errors import InputError
from ancestral.figures.enlarge import enlarge, is_small, smooth_note, smooth_scale
from ancestral.figures.png import WHOLE
from ancestral.figures.sheet import MARGIN, Sheet, as_images, framed, placed
from ancestral.figures.style import (
    DPI,
    MUTED,
    TEXT_SIZE,
    WIDTH_INCHES,
    as_floats,
    save_figure,
    style_axes,
    text_style,
    text_width,
    write_picture,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from torch import Tensor


def image_grid(
    images: np.ndarray | Tensor,
    *,
    columns: int | None = None,
    captions: Sequence[str] | None = None,
    row_titles: Sequence[str] | None = None,
    title: str | None = None,
    gap_every: int | None = None,
    note: str | None = None,
    smooth: bool = False,
) -> Figure:
    """Draw images in a grid, row by row, pixel-exact.

    Args:
        images: (N, 1 or 3, H, W), values in [0, 1]; 1 is white.
        columns: images in a row; default: ceil(sqrt(N)).
        captions: N short texts, one under each image.
        row_titles: one text at the left of each row.
        title: above the grid.
        gap_every: a wider gap after this many rows.
        note: small print below the grid.
        smooth: enlarge images of at most 16 pixels a side by bicubic interpolation; the note then says so.

    Returns: the figure; save it with `save_figure`.
    Raises: InputError for a wrong shape, values that are not finite or outside [0, 1], or texts that do not
        match the images in number.
    """
    return _sheet(images, columns, row_titles, smooth, captions, title, gap_every, note).figure()


def save_image_grid(
    images: np.ndarray | Tensor,
    path: Path,
    *,
    columns: int | None = None,
    row_titles: Sequence[str] | None = None,
    smooth: bool = False,
) -> None:
    """Write the figure of `image_grid` to a file; a .png file without text is made without matplotlib.

    The bytes of the file are those of `save_figure`; the import of matplotlib takes longer than the drawing.

    Args:
        images, columns, row_titles, smooth: as in `image_grid`.
        path: as in `save_figure`.

    Raises: InputError as in `image_grid` and `save_figure`.
    """
    sheet = _sheet(images, columns, row_titles, smooth)
    if path.suffix.lower() == ".png" and not sheet.has_text:
        write_picture(path, sheet.png())
    else:
        save_figure(sheet.figure(), path)


def _sheet(
    images: np.ndarray | Tensor,
    columns: int | None,
    row_titles: Sequence[str] | None,
    smooth: bool,
    captions: Sequence[str] | None = None,
    title: str | None = None,
    gap_every: int | None = None,
    note: str | None = None,
) -> Sheet:
    pixels = as_images(images)
    count = len(pixels)
    columns = math.ceil(math.sqrt(count)) if columns is None else _positive("columns", columns)
    columns = min(columns, count)
    rows, cols = np.divmod(np.arange(count), columns)
    for name, texts, wanted in (("captions", captions, count), ("row titles", row_titles, rows[-1] + 1)):
        if texts is not None and len(texts) != wanted:
            raise InputError(f"{len(texts)} {name} given, {wanted} needed")
    every = None if gap_every is None else _positive("gap_every", gap_every)
    return Sheet(pixels, rows, cols, captions or (), row_titles or (), every, smooth, title or "", note or "")


def pair_grid(
    top: np.ndarray | Tensor,
    bottom: np.ndarray | Tensor,
    *,
    columns: int,
    labels: tuple[str, str] = ("real", "reconstruction"),
    title: str | None = None,
    smooth: bool = False,
) -> Figure:
    """Draw pairs of images, one above the other, such as originals and reconstructions.

    Args:
        top: (N, 1 or 3, H, W), values in [0, 1].
        bottom: the second image of each pair, same shape.
        columns: pairs in a row.
        labels: names of the upper and the lower rows.
        title: above the grid.
        smooth: as in `image_grid`.

    Returns: the figure.
    Raises: InputError as in `image_grid`, or if the two shapes differ.
    """
    upper, lower = as_images(top), as_images(bottom)
    if upper.shape != lower.shape:
        raise InputError(f"pairs need equal shapes, got {upper.shape} and {lower.shape}")
    columns = min(_positive("columns", columns), len(upper))
    rows, cols = np.divmod(np.arange(len(upper)), columns)
    sheet = Sheet(
        np.concatenate([upper, lower]),
        np.concatenate([2 * rows, 2 * rows + 1]),
        np.concatenate([cols, cols]),
        row_titles=list(labels) * int(rows[-1] + 1),
        every=2,
        smooth=smooth,
        title=title or "",
    )
    return sheet.figure()


def manifold_grid(
    images: np.ndarray | Tensor,
    *,
    axis_values: Sequence[float] | np.ndarray | Tensor,
    title: str | None = None,
    smooth: bool = False,
) -> Figure:
    """Draw images on a grid of a latent plane without gaps, with coordinates on two sides.

    Args:
        images: (S * S, 1 or 3, H, W), values in [0, 1]; image i * S + j is decoded from
            z = (axis_values[j], axis_values[i]). The first coordinate increases to the right and the second
            upwards: image 0 is at the bottom left.
        axis_values: the S coordinates, increasing, the same for both axes.
        title: above the figure.
        smooth: as in `image_grid`.

    Returns: the figure.
    Raises: InputError as in `image_grid`, or if there are not S * S images for S increasing coordinates.
    """
    pixels = as_images(images)
    values = as_floats("axis_values", axis_values)
    side = len(values)
    if not (np.diff(values) > 0).all() or not np.isfinite(values).all():
        raise InputError("axis values must be finite and increasing")
    if len(pixels) != side * side:
        raise InputError(f"{side} axis values need {side * side} images, got {len(pixels)}")
    _, channels, height, width = pixels.shape
    pixels = pixels.reshape(side, side, channels, height, width)[::-1].reshape(-1, channels, height, width)
    from matplotlib.ticker import MaxNLocator

    nice = MaxNLocator(6, steps=[1, 2, 5, 10])
    ticks = [v for v in nice.tick_values(values[0], values[-1]) if values[0] <= v <= values[-1]]
    names = [f"{v:.3g}".replace("-", "\N{MINUS SIGN}") for v in ticks]
    below, left = 46, MARGIN + round((max(text_width(name, TEXT_SIZE) for name in names) + 4) * DPI / 72)
    scale = max(1, round((WIDTH_INCHES * DPI - left - MARGIN) / (side * width)))
    if smooth and is_small(pixels):
        scale = min(scale, smooth_scale(pixels))
    array = tile(enlarge(pixels, scale, smooth), side, 0)
    note = smooth_note(pixels) if smooth else ""
    figure, axes = framed(array, title or "", note, left=left, below=below, dpi=DPI).figure([WHOLE])
    places = np.interp(ticks, values, np.arange(side) + 0.5)
    for x, y, across, name in ((1.0, -0.022, "top", "z₁"), (-0.015, 1.0, "center", "z₂")):
        axes.text(x, y, name, transform=axes.transAxes, **text_style(TEXT_SIZE, MUTED, ha="right", va=across))
    axes.set_axis_on()
    axes.set_xticks(places * width * scale - 0.5, names)
    axes.set_yticks((side - places) * height * scale - 0.5, names)
    style_axes(axes)
    axes.grid(False)
    axes.spines["bottom"].set_visible(False)
    return figure


def tile(images: np.ndarray | Tensor, columns: int, gap: int) -> np.ndarray:
    """Put images into one array, row by row, with white gaps between them.

    Args:
        images: (N, 1 or 3, H, W), values in [0, 1].
        columns: images in a row; unused places in the last row are white.
        gap: white pixels between neighbours.

    Returns: (rows * (H + gap) - gap, columns * (W + gap) - gap), with a last axis of 3 for colour.
    Raises: InputError as in `image_grid`.
    """
    pixels = as_images(images)
    rows, cols = np.divmod(np.arange(len(pixels)), _positive("columns", columns))
    tops, lefts = rows * (pixels.shape[2] + gap), cols * (pixels.shape[3] + gap)
    return placed(pixels, tops, lefts, columns * (pixels.shape[3] + gap) - gap)


def _positive(name: str, value: int) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
        raise InputError(f"{name} must be a whole number of at least 1, got {value!r}")
    return int(value)

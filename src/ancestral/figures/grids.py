"""Figures of many images: grids, pairs, latent manifolds.

images (N, C, H, W) in [0, 1]  ->  one array  ->  Figure, one array pixel = one PNG pixel
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ancestral.core.errors import InputError
from ancestral.figures.enlarge import enlarge, is_small, smooth_note, smooth_scale
from ancestral.figures.png import WHOLE, Box, mark_images
from ancestral.figures.style import (
    DPI,
    LINE_HEIGHT,
    MUTED,
    SMALL_SIZE,
    TEXT_SIZE,
    TITLE_SIZE,
    WIDTH_INCHES,
    as_floats,
    new_figure,
    style_axes,
    text_height,
    text_style,
    text_width,
    wrap,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from torch import Tensor

MARGIN = 24  # pixels at DPI
LARGEST_TILE = 280


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
    pixels = _as_images(images)
    count = len(pixels)
    columns = math.ceil(math.sqrt(count)) if columns is None else _positive("columns", columns)
    columns = min(columns, count)
    rows, cols = np.divmod(np.arange(count), columns)
    for name, texts, wanted in (("captions", captions, count), ("row titles", row_titles, rows[-1] + 1)):
        if texts is not None and len(texts) != wanted:
            raise InputError(f"{len(texts)} {name} given, {wanted} needed")
    every = None if gap_every is None else _positive("gap_every", gap_every)
    sheet = _Sheet(pixels, rows, cols, captions or (), row_titles or (), every, smooth)
    return sheet.draw(title or "", note or "")


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
    upper, lower = _as_images(top), _as_images(bottom)
    if upper.shape != lower.shape:
        raise InputError(f"pairs need equal shapes, got {upper.shape} and {lower.shape}")
    columns = min(_positive("columns", columns), len(upper))
    rows, cols = np.divmod(np.arange(len(upper)), columns)
    sheet = _Sheet(
        np.concatenate([upper, lower]),
        np.concatenate([2 * rows, 2 * rows + 1]),
        np.concatenate([cols, cols]),
        row_titles=list(labels) * int(rows[-1] + 1),
        every=2,
        smooth=smooth,
    )
    return sheet.draw(title or "", "")


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
    pixels = _as_images(images)
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
    figure, axes = _frame(array, title or "", note, left=left, below=below, dpi=DPI)
    mark_images(axes, [WHOLE])
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
    pixels = _as_images(images)
    rows, cols = np.divmod(np.arange(len(pixels)), _positive("columns", columns))
    tops, lefts = rows * (pixels.shape[2] + gap), cols * (pixels.shape[3] + gap)
    return _place(pixels, tops, lefts, columns * (pixels.shape[3] + gap) - gap)


@dataclass
class _Sheet:
    """Images with their positions and texts."""

    pixels: np.ndarray  # (N, C, H, W)
    rows: np.ndarray  # (N,)
    cols: np.ndarray  # (N,)
    captions: Sequence[str] = ()
    row_titles: Sequence[str] = ()
    every: int | None = None
    smooth: bool = False

    def draw(self, title: str, note: str) -> Figure:
        height, width = self.pixels.shape[2:]
        columns, rows = int(self.cols.max()) + 1, int(self.rows.max()) + 1
        natural = columns * (width + 2) + 2 * MARGIN
        dpi = DPI * max(1.0, natural / (WIDTH_INCHES * DPI))  # text is scaled up with large images
        unit = dpi / 72
        left = MARGIN
        if any(self.row_titles):
            left += round((max(text_width(t, SMALL_SIZE) for t in self.row_titles) + 6) * unit)
        space = (WIDTH_INCHES * dpi - left - MARGIN) / columns
        scale = max(1, int(min(space * 0.98, LARGEST_TILE * dpi / DPI) // width))
        if self.smooth and is_small(self.pixels):
            scale = min(scale, smooth_scale(self.pixels))
        height, width = height * scale, width * scale
        gap = max(2, width // 40)
        captions = [wrap(text, SMALL_SIZE, (width - 2) / unit) for text in self.captions]
        line = max((text_height(text, SMALL_SIZE) for text in captions), default=0.0)
        widest = max((text_width(text, SMALL_SIZE) for text in captions), default=0.0)
        beyond = max(0, math.ceil((widest + 4) * unit) - width)  # a caption wider than its image
        across = max(gap, beyond)
        under = round((line + 2) * unit) if captions else 0
        down = under + round(5 * unit) if captions else gap
        tops = np.arange(rows) * (height + down)
        if self.every:
            tops += np.arange(rows) // self.every * max(6 * gap, round(7 * unit))
        lefts = beyond // 2 + np.arange(columns) * (width + across)
        total = int(lefts[-1]) + width + beyond // 2
        array = _place(enlarge(self.pixels, scale, self.smooth), tops[self.rows], lefts[self.cols], total)
        if self.smooth:
            note = " ".join(filter(None, [note, smooth_note(self.pixels)]))
        figure, axes = _frame(array, title, note, left=left, below=under, dpi=dpi)
        mark_images(axes, [*self._places(tops, lefts, (height, width), array.shape[:2])])
        self._label(figure, captions, tops, lefts, (height, width), unit)
        return figure

    def _places(
        self, tops: np.ndarray, lefts: np.ndarray, size: tuple[int, int], whole: tuple[int, ...]
    ) -> Iterator[Box]:
        """Where each image is, in shares of the array."""
        for row, col in zip(self.rows, self.cols, strict=True):
            top, left = float(tops[row]), float(lefts[col])
            yield left / whole[1], top / whole[0], (left + size[1]) / whole[1], (top + size[0]) / whole[0]

    def _label(
        self,
        figure: Figure,
        captions: list[str],
        tops: np.ndarray,
        lefts: np.ndarray,
        size: tuple[int, int],
        unit: float,
    ) -> None:
        box = figure.axes[0].get_window_extent()
        total_width, total_height = figure.bbox.width, figure.bbox.height
        for text, row, col in zip(captions, self.rows, self.cols, strict=False):
            x = box.x0 + lefts[col] + size[1] / 2
            y = box.y1 - tops[row] - size[0] - 2 * unit
            style = text_style(SMALL_SIZE, ha="center", va="top", linespacing=LINE_HEIGHT * 0.9)
            figure.text(float(x / total_width), float(y / total_height), text, **style)
        for row, text in enumerate(self.row_titles):
            x, y = box.x0 - 6 * unit, box.y1 - tops[row] - size[0] / 2
            style = text_style(SMALL_SIZE, MUTED, ha="right", va="center_baseline")
            figure.text(float(x / total_width), float(y / total_height), text, **style)


def _frame(array: np.ndarray, title: str, note: str, *, left: int, below: int, dpi: float) -> tuple[Figure, Axes]:
    """A figure with the array at whole pixel positions, and the smallest margins for title and note."""
    unit = dpi / 72
    width = max(left + array.shape[1] + MARGIN, round(WIDTH_INCHES * dpi / 2))
    space = (width - 2 * MARGIN) / unit
    title = wrap(title, TITLE_SIZE, space, "bold")
    note = wrap(note, SMALL_SIZE, space)
    above = MARGIN + (round((text_height(title, TITLE_SIZE) + 5) * unit) if title else 0)
    beneath = MARGIN + below + (round((text_height(note, SMALL_SIZE) + 5) * unit) if note else 0)
    height = above + array.shape[0] + beneath
    figure = new_figure(width, height, dpi)
    axes = figure.add_axes((left / width, beneath / height, array.shape[1] / width, array.shape[0] / height))
    # bytes, because matplotlib rounds some grey levels wrongly when it converts floats
    levels = np.rint(array * 255).astype(np.uint8)
    colours = levels if levels.ndim == 3 else levels[:, :, None].repeat(3, axis=2)
    axes.imshow(colours, interpolation="nearest", aspect="auto")
    axes.set_axis_off()
    style = text_style(TITLE_SIZE, fontweight="bold", va="top", linespacing=LINE_HEIGHT)
    figure.text(MARGIN / width, 1 - MARGIN / height, title, **style)
    figure.text(MARGIN / width, MARGIN / height, note, **text_style(SMALL_SIZE, MUTED, va="bottom"))
    return figure, axes


def _place(pixels: np.ndarray, tops: np.ndarray, lefts: np.ndarray, total: int) -> np.ndarray:
    """One white array `total` pixels wide, with image n at (tops[n], lefts[n])."""
    count, channels, height, width = pixels.shape
    canvas = np.ones((int(tops.max()) + height, total, channels), np.float32)
    for n in range(count):
        canvas[tops[n] : tops[n] + height, lefts[n] : lefts[n] + width] = pixels[n].transpose(1, 2, 0)
    return canvas[:, :, 0] if channels == 1 else canvas


def _as_images(images: Any) -> np.ndarray:
    """Images as (N, C, H, W) float32 in [0, 1]; raises InputError otherwise."""
    array = images.detach().cpu().float().numpy() if hasattr(images, "detach") else np.asarray(images)
    if array.ndim != 4 or array.shape[1] not in (1, 3) or not array.size:
        raise InputError(f"images must have shape (N, 1 or 3, H, W), got {array.shape}")
    if array.dtype.kind not in "fiub":
        raise InputError(f"images must be numbers in [0, 1], got {array.dtype}")
    array = array.astype(np.float32)
    if not np.isfinite(array).all():
        raise InputError("images contain values that are not finite (NaN or infinite)")
    low, high = float(array.min()), float(array.max())
    if low < -1e-6 or high > 1 + 1e-6:
        raise InputError(f"images must be in [0, 1], got values from {low:.6g} to {high:.6g}")
    return array.clip(0, 1)


def _positive(name: str, value: int) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
        raise InputError(f"{name} must be a whole number of at least 1, got {value!r}")
    return int(value)

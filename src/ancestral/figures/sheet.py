"""Images at whole pixel positions of one array, with texts around it: as a figure, or without texts as pixels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ancestral.core.errors import InputError
from ancestral.figures.enlarge import enlarge, is_small, smooth_note, smooth_scale
from ancestral.figures.png import Box, mark_images, png_of_pixels, within
from ancestral.figures.style import (
    DPI,
    LINE_HEIGHT,
    MUTED,
    SMALL_SIZE,
    TITLE_SIZE,
    WIDTH_INCHES,
    new_figure,
    text_height,
    text_style,
    text_width,
    wrap,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MARGIN = 24  # pixels at DPI
LARGEST_TILE = 280


@dataclass
class Sheet:
    """Images with their positions and texts."""

    pixels: np.ndarray  # (N, C, H, W)
    rows: np.ndarray  # (N,)
    cols: np.ndarray  # (N,)
    captions: Sequence[str] = ()
    row_titles: Sequence[str] = ()
    every: int | None = None
    smooth: bool = False
    title: str = ""
    note: str = ""

    @property
    def has_text(self) -> bool:
        return any([*self.captions, *self.row_titles, self.title, self._note])

    def figure(self) -> Figure:
        """The figure with all texts."""
        layout = self._layout
        figure, axes = layout.frame.figure(layout.places)
        box, unit, size = axes.get_window_extent(), layout.frame.dpi / 72, layout.size
        total_width, total_height = figure.bbox.width, figure.bbox.height
        for text, row, col in zip(layout.captions, self.rows, self.cols, strict=False):
            x = box.x0 + layout.lefts[col] + size[1] / 2
            y = box.y1 - layout.tops[row] - size[0] - 2 * unit
            style = text_style(SMALL_SIZE, ha="center", va="top", linespacing=LINE_HEIGHT * 0.9)
            figure.text(float(x / total_width), float(y / total_height), text, **style)
        for row, text in enumerate(self.row_titles):
            x, y = box.x0 - 6 * unit, box.y1 - layout.tops[row] - size[0] / 2
            style = text_style(SMALL_SIZE, MUTED, ha="right", va="center_baseline")
            figure.text(float(x / total_width), float(y / total_height), text, **style)
        return figure

    def png(self) -> bytes:
        """The content of a PNG file, without any text, equal to that of the figure; it does not need matplotlib."""
        return self._layout.frame.png(self._layout.places)

    @property
    def _note(self) -> str:
        return " ".join(filter(None, [self.note, smooth_note(self.pixels) if self.smooth else ""]))

    @cached_property
    def _layout(self) -> _Layout:
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
        array = placed(enlarge(self.pixels, scale, self.smooth), tops[self.rows], lefts[self.cols], total)
        frame = framed(array, self.title, self._note, left=left, below=under, dpi=dpi)
        places = self._places(tops, lefts, (height, width), array.shape[:2])
        return _Layout(frame, places, captions, tops, lefts, (height, width))

    def _places(self, tops: np.ndarray, lefts: np.ndarray, size: tuple[int, int], whole: tuple[int, ...]) -> list[Box]:
        """Where each image is, in shares of the array."""
        found = []
        for row, col in zip(self.rows, self.cols, strict=True):
            top, left = float(tops[row]), float(lefts[col])
            found.append((left / whole[1], top / whole[0], (left + size[1]) / whole[1], (top + size[0]) / whole[0]))
        return found


class _Layout(NamedTuple):
    frame: Frame
    places: list[Box]  # of the images, in shares of the array
    captions: list[str]  # in lines
    tops: np.ndarray  # of each row, pixels
    lefts: np.ndarray  # of each column, pixels
    size: tuple[int, int]  # height and width of an image, pixels


class Frame(NamedTuple):
    """An array with margins; lengths in pixels from the top left."""

    array: np.ndarray  # (H, W) or (H, W, 3), in [0, 1]
    title: str
    note: str
    left: int
    above: int
    width: int
    height: int
    dpi: float

    def figure(self, places: list[Box]) -> tuple[Figure, Axes]:
        """The figure, and its axes with the array. places: of the images, in shares of the array."""
        figure = new_figure(self.width, self.height, self.dpi)
        beneath = self.height - self.above - self.array.shape[0]
        across, up = self.array.shape[1] / self.width, self.array.shape[0] / self.height
        axes = figure.add_axes((self.left / self.width, beneath / self.height, across, up))
        axes.imshow(self._colours, interpolation="nearest", aspect="auto")
        axes.set_axis_off()
        mark_images(axes, places)
        style = text_style(TITLE_SIZE, fontweight="bold", va="top", linespacing=LINE_HEIGHT)
        figure.text(MARGIN / self.width, 1 - MARGIN / self.height, self.title, **style)
        small = text_style(SMALL_SIZE, MUTED, va="bottom")
        figure.text(MARGIN / self.width, MARGIN / self.height, self.note, **small)
        return figure, axes

    def png(self, places: list[Box]) -> bytes:
        """The content of a PNG file, without title and note. places: as in `figure`."""
        drawn = np.full((self.height, self.width, 4), 255, np.uint8)
        bottom, right = self.above + self.array.shape[0], self.left + self.array.shape[1]
        drawn[self.above : bottom, self.left : right, :3] = self._colours
        outer = (self.left / self.width, self.above / self.height, right / self.width, bottom / self.height)
        return png_of_pixels(drawn, within(outer, places), self.dpi)

    @property
    def _colours(self) -> np.ndarray:
        """Bytes, (H, W, 3), because matplotlib rounds some grey levels wrongly when it converts floats."""
        levels = np.rint(self.array * 255).astype(np.uint8)
        return levels if levels.ndim == 3 else levels[:, :, None].repeat(3, axis=2)


def framed(array: np.ndarray, title: str, note: str, *, left: int, below: int, dpi: float) -> Frame:
    """An array with the smallest margins for title and note. left, below: pixels for other texts beside and below."""
    unit = dpi / 72
    width = max(left + array.shape[1] + MARGIN, round(WIDTH_INCHES * dpi / 2))
    space = (width - 2 * MARGIN) / unit
    title = wrap(title, TITLE_SIZE, space, "bold")
    note = wrap(note, SMALL_SIZE, space)
    above = MARGIN + (round((text_height(title, TITLE_SIZE) + 5) * unit) if title else 0)
    beneath = MARGIN + below + (round((text_height(note, SMALL_SIZE) + 5) * unit) if note else 0)
    return Frame(array, title, note, left, above, width, above + array.shape[0] + beneath, dpi)


def placed(pixels: np.ndarray, tops: np.ndarray, lefts: np.ndarray, total: int) -> np.ndarray:
    """One white array `total` pixels wide, with image n at (tops[n], lefts[n])."""
    count, channels, height, width = pixels.shape
    canvas = np.ones((int(tops.max()) + height, total, channels), np.float32)
    for n in range(count):
        canvas[tops[n] : tops[n] + height, lefts[n] : lefts[n] + width] = pixels[n].transpose(1, 2, 0)
    return canvas[:, :, 0] if channels == 1 else canvas


def as_images(images: Any) -> np.ndarray:
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

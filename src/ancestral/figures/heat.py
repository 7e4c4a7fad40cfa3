"""Heat maps: maps of values below images, and tables of values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ancestral.core.errors import InputError
from ancestral.figures.grids import image_grid, tile
from ancestral.figures.png import WHOLE, mark_images
from ancestral.figures.style import EDGE, FONT, MUTED, SMALL_SIZE, TEXT_SIZE, UNIT, Page, text_style, text_width

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from torch import Tensor

COLOURS = "inferno"  # perceptually uniform; black is 0
EXACT_ZERO = (0.8, 0.8, 0.8)  # grey, which is not in the colour map
BAR_HEIGHT, BAR_SPACE = 5.0, 30.0  # points
ROW_HEIGHT = 15.0  # of a table, points


@dataclass
class HeatTable:
    """A table of values in [0, 1].

    Args:
        title: above the table.
        values: (R, C).
        rows: R names, or images (R, 1 or 3, H, W) to show in place of names.
        top: upper end of its colour scale; a value other than 1 is stated below the table.
    """

    title: str
    values: np.ndarray | Tensor
    rows: Sequence[str] | np.ndarray | Tensor
    top: float = 1.0


def heat_grid(
    images: np.ndarray | Tensor,
    maps: np.ndarray | Tensor,
    *,
    top: float,
    quantity: str,
    columns: int,
    captions: Sequence[str],
    row_titles: Sequence[str],
    title: str = "",
    note: str = "",
) -> Figure:
    """Draw images, each with a heat map below it, with a common colour scale.

    Args:
        images: (N, 1 or 3, H, W) in [0, 1].
        maps: (N, H, W), not negative.
        top: upper end of the colour scale; larger values have the last colour.
        quantity: label of the colour scale.
        columns: images in a row.
        captions: N texts, one under each pair.
        row_titles: one for each row.
        title: above all images.
        note: small print.

    Returns: the figure.
    Raises: InputError for values that are negative or not finite, or as in `image_grid`.
    """
    grey, values = _as_array(images), _as_array(maps)
    if values.ndim != 3 or values.shape != (len(grey), *grey.shape[2:]):
        raise InputError(f"maps must have the size of the images, got {values.shape} for {grey.shape}")
    if not np.isfinite(values).all() or values.min() < 0 or not top > 0:
        raise InputError("a heat map needs values that are finite and not negative, and a scale above 0")
    colour = _colours(values / top).transpose(0, 3, 1, 2)  # (N, 3, H, W)
    line = np.ones_like(colour[:, :, :1])
    pairs = np.concatenate([np.broadcast_to(grey, colour.shape), line, colour], 2)
    figure = image_grid(pairs, columns=columns, captions=captions, row_titles=row_titles, title=title, note=note)
    _add_bar(figure, top, quantity)
    return figure


def heat_tables(
    tables: Sequence[HeatTable], *, quantity: str, xlabel: str, title: str = "", note: str = "", zeros: str = ""
) -> Figure:
    """Draw tables one above the other, with aligned columns and a common colour scale.

    Args:
        tables: tables with the same number of columns; all get the same height.
        quantity: label of the colour scale.
        xlabel: label of the columns.
        title: above all tables.
        note: small print.
        zeros: note on values that are exactly 0; if given, they are grey.

    Returns: the figure.
    Raises: InputError for tables of different shapes or values outside [0, 1].
    """
    arrays = [_as_array(table.values) for table in tables]
    _check_tables(arrays)
    height = ROW_HEIGHT * max(map(len, arrays))
    page = Page(
        (title, "", xlabel),
        plot_height=height,
        right=EDGE,
        grid=(len(tables), 1),
        titles=[table.title for table in tables],
    )
    for axes, table, array in zip(page.axes, tables, arrays, strict=True):
        _draw_cells(axes, _cells(array, table.top, grey_zeros=bool(zeros)))
        _label_rows(axes, table.rows, height / len(array))
    ends = [f"The colour scale of {table.title!r} ends at {table.top:.2g}." for table in tables if table.top != 1]
    page.settle([text for text in (note, zeros, *ends) if text])
    for axes, table in zip(page.axes, tables, strict=True):
        if not _are_names(table.rows):
            _show_rows(page, axes, _as_array(table.rows), height)
    _add_bar(page.figure, 1.0, quantity)
    return page.figure


def _check_tables(arrays: Sequence[np.ndarray]) -> None:
    if any(array.ndim != 2 or not array.size for array in arrays) or len({a.shape[1] for a in arrays}) != 1:
        raise InputError(f"tables need the same number of columns, got shapes {[array.shape for array in arrays]}")
    if not all(np.isfinite(array).all() and array.min() >= 0 and array.max() <= 1 + 1e-6 for array in arrays):
        raise InputError("a heat table needs values in [0, 1]")


def _cells(values: np.ndarray, top: float, grey_zeros: bool) -> np.ndarray:
    """The colours of a table's cells, shape (R, C, 3)."""
    cells = _colours(values / top)
    if grey_zeros:
        cells[values == 0] = EXACT_ZERO
    return cells


def _draw_cells(axes: Axes, cells: np.ndarray) -> None:
    rows, columns, _ = cells.shape
    axes.grid(False)
    axes.spines["bottom"].set_visible(False)
    axes.imshow(cells, interpolation="nearest", aspect="auto", extent=(0.5, columns + 0.5, rows, 0))
    mark_images(axes, [WHOLE])


def _label_rows(axes: Axes, rows: Sequence[str] | np.ndarray | Tensor, height: float) -> None:
    """Name the rows of a table; for images, invisible names reserve the space. height: of a row, points."""
    if _are_names(rows):
        axes.set_yticks(np.arange(len(rows)) + 0.5, [str(name) for name in rows])
        return
    count, _, high, wide = np.shape(rows)
    axes.set_yticks([count / 2], ["M" * math.ceil(height * wide / high / text_width("M", TEXT_SIZE))])
    axes.tick_params(axis="y", labelcolor="none")


def _show_rows(page: Page, axes: Any, images: np.ndarray, height: float) -> None:
    """Small images at the left of the rows of a table, in place of names."""
    box, figure = axes.get_position(), page.figure
    side = height / len(images) * UNIT / figure.bbox.width * images.shape[3] / images.shape[2]
    beside = figure.add_axes((box.x0 - side - 3 * UNIT / figure.bbox.width, box.y0, side, box.height))
    column = tile(images, 1, 1)
    beside.imshow(
        column if column.ndim == 3 else column[..., None].repeat(3, 2), aspect="auto", interpolation="nearest"
    )
    beside.set_axis_off()
    mark_images(beside, [WHOLE])


def _add_bar(figure: Figure, top: float, quantity: str) -> None:
    """Add the colour scale at the bottom; the height of the figure is increased for it."""
    from matplotlib.ticker import MaxNLocator

    width, height = figure.bbox.width, figure.bbox.height
    unit = figure.dpi / 72
    space = round(BAR_SPACE * unit)
    whole = height + space
    for axes in figure.axes:
        box = axes.get_position()
        axes.set_position((box.x0, (box.y0 * height + space) / whole, box.width, box.height * height / whole))
    for text in figure.texts:
        text.set_y((text.get_position()[1] * height + space) / whole)
    figure.set_size_inches((width + 1e-3) / figure.dpi, (whole + 1e-3) / figure.dpi)
    height = whole
    edge = 2 * EDGE * unit
    bar = figure.add_axes((edge / width, 18 * unit / height, 0.4 - edge / width, BAR_HEIGHT * unit / height))
    bar.imshow(_colours(np.linspace(0, 1, 256)[None]), extent=(0, top, 0, 1), aspect="auto")
    mark_images(bar, [WHOLE])
    bar.set_yticks([])
    bar.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    bar.tick_params(length=0, pad=3, labelsize=SMALL_SIZE, labelcolor=MUTED, labelfontfamily=FONT)
    for spine in bar.spines.values():
        spine.set_visible(False)
    style = text_style(SMALL_SIZE, MUTED, va="center")
    figure.text(0.4 + 8 * unit / width, (18 + BAR_HEIGHT / 2) * unit / height, quantity, **style)


def _colours(values: np.ndarray) -> np.ndarray:
    """Colours of values, with a last axis of 3 for RGB; values outside [0, 1] have the colours of the ends."""
    from matplotlib import colormaps

    return colormaps[COLOURS](values.clip(0, 1))[..., :3]


def _are_names(rows: Any) -> bool:
    return isinstance(rows, (list, tuple))


def _as_array(values: Any) -> np.ndarray:
    return np.asarray(values.detach().cpu().double() if hasattr(values, "detach") else values, np.float64)

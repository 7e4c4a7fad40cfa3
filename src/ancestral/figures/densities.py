"""Plots of the plane: densities with a common colour scale, points, and grids of lines under a map."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ancestral.core.errors import InputError
from ancestral.figures.style import EDGE, FONT, INK, MUTED, PALETTE, SMALL_SIZE, UNIT, WIDTH, Page, text_style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from torch import Tensor

COLOURS = "Blues"  # almost white for 0, darker for larger values, also in print
BAR_WIDTH, BAR_SPACE = 6.0, 40.0  # points


@dataclass
class Plane:
    """One square panel around the origin, with a density, points or lines, or several of these.

    Args:
        title: above the panel.
        extent: half the side of the square.
        density: (S, S), finite and not negative; entry [i, j] belongs to the centre of the cell in row i from below
            and column j.
        points: (n, 2); points outside the panel are omitted, and their number is stated below.
        lines: two families of lines, each (k, n, 2): k lines through n points; each family has its own colour.
    """

    title: str
    extent: float
    density: np.ndarray | Tensor | None = None
    points: np.ndarray | Tensor | None = None
    lines: Sequence[np.ndarray | Tensor] = ()


def draw_planes(
    planes: Sequence[Plane], *, title: str = "", note: str = "", columns: int = 2, scale: float | None = None
) -> Figure:
    """Draw several panels; all densities have one colour scale, shown at the right.

    Args:
        planes: at least one.
        title: above all panels.
        note: below the panels.
        columns: panels in a row.
        scale: upper end of the colour scale; default: the largest density. A note names panels that exceed it.

    Returns: the figure; save it with `style.save_figure`.
    Raises: InputError for arrays of wrong shape, or densities that are negative or not finite.
    """
    if not planes:
        raise InputError("there is no plane to draw")
    columns = min(columns, len(planes))
    grids = [_as_density(plane) for plane in planes]
    peaks = [float(grid.max()) for grid in grids if grid is not None]
    top = (max(peaks, default=0.0) or 1.0) if scale is None else scale
    page = Page(
        (title, "", ""),
        plot_height=None,
        right=BAR_SPACE if peaks else 12,
        grid=(math.ceil(len(planes) / columns), columns),
        titles=[plane.title for plane in planes],
    )
    triples = zip(page.axes, planes, grids, strict=True)
    outside = [_draw_plane(axes, plane, grid, top) for axes, plane, grid in triples]
    page.settle([text for text in (note, *outside, _beyond(planes, grids, top)) if text])
    if peaks:
        _draw_bar(page, top)
    return page.figure


def _beyond(planes: Sequence[Plane], grids: Sequence[np.ndarray | None], top: float) -> str:
    """A note on densities that exceed the colour scale; empty if none does."""
    over = [
        f"{plane.title!r} reaches {grid.max():.3g}"
        for plane, grid in zip(planes, grids, strict=True)
        if grid is not None and grid.max() > 1.001 * top
    ]
    return f"The colour scale ends at {top:.3g}; {', '.join(over)}." if over else ""


def scatter(points: np.ndarray | Tensor, extent: float, *, title: str = "") -> Figure:
    """Draw points of the plane in a square around the origin.

    Args:
        points: (n, 2).
        extent: half the side of the square; the number of points outside is stated below.
        title: above the square.

    Returns: the figure.
    Raises: InputError as in `draw_planes`.
    """
    return draw_planes([Plane("", extent, points=points)], title=title)


def _draw_plane(axes: Axes, plane: Plane, density: np.ndarray | None, top: float) -> str:
    """Draw one panel; returns a note for below the figure, or an empty text."""
    from matplotlib.ticker import MaxNLocator

    side = plane.extent
    if density is not None:
        place = (-side, side, -side, side)
        axes.imshow(density, origin="lower", extent=place, cmap=COLOURS, vmin=0, vmax=top, interpolation="nearest")
    if density is not None or plane.lines:
        axes.grid(False)
    for lines, colour in zip(plane.lines, PALETTE, strict=False):
        _draw_lines(axes, _as_pairs(lines, 3), colour)
    note = "" if plane.points is None else _draw_points(axes, plane, _as_pairs(plane.points, 2))
    axes.set_xlim(-side, side)
    axes.set_ylim(-side, side)
    axes.set_aspect("equal")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
    return note


def _draw_lines(axes: Axes, lines: np.ndarray, colour: str) -> None:
    """Draw a family of lines, shape (k, n, 2), the middle one bold."""
    for k, line in enumerate(lines):
        middle = 2 * k + 1 == len(lines)  # the axis of the coordinate, if k is odd
        axes.plot(line[:, 0], line[:, 1], color=colour, linewidth=1.4 if middle else 0.6)


def _draw_points(axes: Axes, plane: Plane, points: np.ndarray) -> str:
    """Draw the points inside the panel; returns a note on the number of points outside."""
    inside = (np.abs(points) <= plane.extent).all(1)
    size = float(np.clip(1500 / max(len(points), 1), 0.4, 6))
    colour = MUTED if len(plane.lines) else INK
    axes.scatter(*points[inside].T, s=size, color=colour, linewidths=0, alpha=0.5)
    if inside.all():
        return ""
    where = f" of {plane.title!r}" if plane.title else ""
    return f"{(~inside).sum():,} of {len(points):,} points{where} are outside the plot."


def _draw_bar(page: Page, top: float) -> None:
    """Draw the colour scale at the right of the first row of panels."""
    from matplotlib.ticker import MaxNLocator

    figure, beside = page.figure, page.axes[page.columns - 1].get_position()
    left = (WIDTH / UNIT - page.right + 4) * UNIT / WIDTH
    bar = figure.add_axes((left, beside.y0, BAR_WIDTH * UNIT / WIDTH, beside.height))
    bar.imshow(np.linspace(0, 1, 256)[:, None], origin="lower", extent=(0, 1, 0, top), cmap=COLOURS, aspect="auto")
    bar.set_xticks([])
    bar.yaxis.tick_right()
    bar.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    bar.tick_params(length=0, pad=3, labelsize=SMALL_SIZE, labelcolor=MUTED, labelfontfamily=FONT)
    for spine in bar.spines.values():
        spine.set_visible(False)
    height = figure.bbox.height / UNIT
    above = beside.y1 + EDGE / 2 / height
    figure.text(1 - EDGE * UNIT / WIDTH, above, "density", ha="right", **text_style(SMALL_SIZE, MUTED))


def _as_density(plane: Plane) -> np.ndarray | None:
    if not np.isfinite(plane.extent) or plane.extent <= 0:
        raise InputError(f"the extent of a plane must be a positive number, got {plane.extent}")
    if plane.density is None:
        return None
    density = _as_array(plane.density)
    if density.ndim != 2 or not density.size or not np.isfinite(density).all() or density.min() < 0:
        raise InputError(f"the density {plane.title!r} must be a table of finite numbers, none of them negative")
    return density


def _as_pairs(values: Any, dimensions: int) -> np.ndarray:
    """Points, shape (n, 2), or lines of points, shape (k, n, 2); float64."""
    array = _as_array(values)
    if array.ndim != dimensions or not array.size or array.shape[-1] != 2:
        raise InputError(f"points of the plane must be pairs of numbers, got an array of shape {array.shape}")
    return array


def _as_array(values: Any) -> np.ndarray:
    return np.asarray(values.detach().cpu().double() if hasattr(values, "detach") else values, np.float64)

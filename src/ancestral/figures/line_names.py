"""Names of curves at the right ends of their lines."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ancestral.figures.style import TEXT_SIZE, UNIT, WIDTH, draw_key, text_height, text_style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

OVERHANG = 6.0  # points by which the highest name may exceed the top of its plot


def name_ends(axes: Axes, ends: list[float], names: list[str], styles: Sequence[tuple[str, Any]]) -> None:
    """Write each name at the right end of its line; names that would overlap are moved apart.

    Args:
        axes: a plot of a page, after the layout.
        ends: the last value of each line; NaN if it has none.
        names: of the lines; empty names are left out.
        styles: colour and dashes of each line.
    """
    figure = axes.figure
    box = axes.get_position()
    width, height = WIDTH / UNIT, figure.bbox.height / UNIT
    low, high = axes.get_ylim()
    bottom, top = box.y0 * height, box.y1 * height
    shares = np.array([np.nan_to_num((end - low) / (high - low), nan=1.0) for end in ends]).clip(0, 1)
    wanted = bottom + shares * (top - bottom)
    order = [int(i) for i in np.argsort(wanted) if names[i]]
    places = _apart(wanted, np.array([text_height(name, TEXT_SIZE) for name in names]), order, top + OVERHANG)
    for i in order:
        colour, dashes = styles[i]
        x = box.x1 * width
        draw_key(figure, (x + 2, x + 8, x + 19), np.array([wanted[i], places[i], places[i]]), colour, dashes)
        style = text_style(va="center_baseline" if "\n" not in names[i] else "center")
        figure.text((x + 22) / width, float(places[i]) / height, names[i], **style)


def _apart(wanted: np.ndarray, heights: np.ndarray, order: Sequence[int], ceiling: float) -> np.ndarray:
    """Centres of texts that do not overlap, close to the wanted ones and below an upper limit; points.

    Args:
        wanted: the wanted centre of each text, shape (n,).
        heights: of the texts, shape (n,).
        order: indices of the texts to place, from the lowest to the highest.
        ceiling: upper limit of all texts.
    """
    places = wanted.copy()
    for below, i in itertools.pairwise(order):
        places[i] = max(places[i], places[below] + (heights[below] + heights[i]) / 2 + 1)
    for i in reversed(order):
        places[i] = min(places[i], ceiling - heights[i] / 2)
        ceiling = places[i] - heights[i] / 2 - 1
    return places

"""Pair plots of points: data below the diagonal, samples above, and each column on the diagonal."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ancestral.core.errors import InputError
from ancestral.figures.style import INK, MUTED, PALETTE, SMALL_SIZE, TEXT_SIZE, new_figure, style_axes, text_style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from torch import Tensor

MOST = 5  # maximum number of columns that are drawn
FEW = 20  # with fewer data points, samples too determine the axes
DPI = 150
WIDTH, SINGLE = 760, 480  # width of the figure in pixels; for a single column
BINS = 30
TRIM = 0.5  # percent of the values on either side that may be outside an axis
DATA, DRAWS = PALETTE[0], PALETTE[1]


class Curve(NamedTuple):
    """A density along one column: positions and values, shape (n,)."""

    x: np.ndarray
    y: np.ndarray


class Field(NamedTuple):
    """A density over two columns: edges of the cells, shapes (n + 1,) and (m + 1,), and values, shape (n, m)."""

    first: np.ndarray
    second: np.ndarray
    values: np.ndarray


def limits_of(points: np.ndarray | Tensor) -> np.ndarray:
    """Range of each column without its most extreme values, with a margin, shape (D, 2)."""
    low, high = np.percentile(_as_points("points", points), [TRIM, 100 - TRIM], axis=0)
    margin = 0.08 * np.where(high > low, high - low, 1.0)
    return np.stack([low - margin, high + margin], 1)


def pair_figure(
    data: np.ndarray | Tensor,
    draws: np.ndarray | Tensor | None = None,
    *,
    names: Sequence[str],
    words: tuple[str, str] = ("data", "samples"),
    curve: Curve | None = None,
    field: Field | None = None,
    title: str = "",
    note: str = "",
) -> Figure:
    """Draw the first columns of points against each other.

    Args:
        data: (n, D), finite; below the diagonal, and as filled histograms on it.
        draws: (m, D); samples, above the diagonal, and as outlines on it; None draws data there too.
        names: of the D columns.
        words: names of data and samples.
        curve: for one column: the learned density.
        field: for two columns: the learned density, in place of samples above the diagonal.
        title: above all panels.
        note: below all panels.

    Raises: InputError for wrong shapes or values that are not finite.
    """
    first = _as_points("data", data)
    second = None if draws is None else _as_points("draws", draws)
    if second is not None and second.shape[1] != first.shape[1]:
        raise InputError(f"draws have {second.shape[1]} columns, data have {first.shape[1]}: they must be equal")
    count = min(first.shape[1], MOST)
    if first.shape[1] > count:
        note = " ".join(filter(None, [note, f"Only the first {count} of {first.shape[1]} columns are shown."]))
    width = WIDTH if count > 1 else SINGLE
    head, foot, left = 70, 56 if note else 34, 64
    side = (width - left - 14) / count
    height = head + count * side + foot
    figure = new_figure(width * DPI / 96, height * DPI / 96, DPI)
    limits = limits_of(first)
    if second is not None and len(first) < FEW:  # few points, such as completed ones, do not determine the axes
        others = limits_of(second)
        limits = np.stack([np.minimum(limits[:, 0], others[:, 0]), np.maximum(limits[:, 1], others[:, 1])], 1)
    for row in range(count):
        for column in range(count):
            box = ((left + column * side + 5) / width, 1 - (head + (row + 1) * side - 5) / height)
            axes = figure.add_axes((*box, (side - 10) / width, (side - 10) / height))
            style_axes(axes)
            axes.set_xlim(*limits[column])
            if row == column:
                _diagonal(axes, first[:, row], None if second is None else second[:, row], curve)
            else:
                axes.set_ylim(*limits[row])
                above = column > row and second is not None
                if above and field is not None:
                    # above the diagonal, the second column is on the horizontal axis
                    axes.pcolormesh(field.second, field.first, field.values, cmap="Oranges", rasterized=True)
                else:
                    shown = second if above and second is not None else first
                    axes.scatter(
                        *shown[:, [column, row]].T, s=5, linewidths=0, alpha=0.5, color=DRAWS if above else DATA
                    )
            _label(axes, names, row, column, count, reach=(left - 12) / (side - 10))
    _texts(figure, title, note, words, second is not None, head / height, width)
    return figure


def _diagonal(axes: Axes, data: np.ndarray, draws: np.ndarray | None, curve: Curve | None) -> None:
    bins = np.linspace(*axes.get_xlim(), BINS + 1).tolist()
    axes.hist(data, bins=bins, density=True, color=DATA, alpha=0.45)
    if curve is not None:
        axes.plot(curve.x, curve.y, color=INK, linewidth=1.2)
    if draws is not None and bool(((draws >= bins[0]) & (draws <= bins[-1])).any()):  # else nothing is in the plot
        axes.hist(draws, bins=bins, density=True, histtype="step", color=DRAWS, linewidth=1.4)
    axes.set_yticks([])


def _label(axes: Axes, names: Sequence[str], row: int, column: int, count: int, reach: float) -> None:
    """Ticks and names; `reach` is the distance of the names of rows from their panels, in widths of a panel."""
    across, up = (_ticks(*limits) for limits in (axes.get_xlim(), axes.get_ylim()))
    axes.set_xticks(list(across), list(across.values()))
    if row != column:
        axes.set_yticks(list(up), list(up.values()))
    axes.tick_params(labelsize=SMALL_SIZE, labelbottom=row == count - 1, labelleft=column == 0 and row != column)
    if row == count - 1:
        axes.set_xlabel(_short(names[column]), **text_style(SMALL_SIZE, color=MUTED))
    if column == 0 and count > 1:
        axes.set_ylabel(_short(names[row]), **text_style(SMALL_SIZE, color=MUTED))
        axes.yaxis.set_label_coords(-reach, 0.5)


def _ticks(low: float, high: float) -> dict[float, str]:
    """Ticks at round numbers with their labels, except near the ends of the axis, next to another panel."""
    from matplotlib.ticker import MaxNLocator

    inner = 0.1 * (high - low)
    places = MaxNLocator(5, steps=[1, 2, 5, 10]).tick_values(low, high)
    digit = _decade(places[1] - places[0])
    kept = [float(place) for place in places if low + inner <= place <= high - inner]
    return {place: _compact(place, digit) for place in kept}


def _decade(value: float) -> int:
    """The power of ten of a positive number: 2 for 100 to 999."""
    return -math.ceil(-(math.log10(value) + 1e-9))


def _compact(value: float, digit: int) -> str:
    """A number in few characters, rounded to the given power of ten.

    Example:
        >>> _compact(40_000.0, 4), _compact(-0.0015, -4), _compact(2.5, -1), _compact(1_700_000_012.0, 0)
        ('4e4', '−1.5e-3', '2.5', '1700000012')
    """
    if abs(value) < 0.5 * 10.0**digit:
        return "0"
    power = _decade(abs(value))
    if -3 < power < 4 or power - digit > 3:
        text = f"{value:.{max(0, -digit)}f}"
    else:
        text = f"{value / 10.0**power:.{power - digit}f}e{power}"
    return text if value > 0 else "\N{MINUS SIGN}" + text[1:]


def _texts(figure: Figure, title: str, note: str, words: tuple[str, str], both: bool, head: float, width: int) -> None:
    figure.text(0.02, 1 - 0.3 * head, title, **text_style(TEXT_SIZE + 2, fontweight="bold", va="center"))
    figure.text(0.02, 1 - 0.68 * head, words[0], **text_style(TEXT_SIZE, color=DATA, va="center"))
    if both:
        after = 0.02 + (8.5 * len(words[0]) + 12) / width
        figure.text(after, 1 - 0.68 * head, words[1], **text_style(TEXT_SIZE, color=DRAWS, va="center"))
    if note:
        figure.text(0.02, 0.012, note, **text_style(SMALL_SIZE, color=MUTED, va="bottom"))


def _short(name: str) -> str:
    return name if len(name) <= 18 else name[:17] + "…"


def _as_points(name: str, values: np.ndarray | Tensor) -> np.ndarray:
    array = np.asarray(values.detach().cpu().double() if hasattr(values, "detach") else values, np.float64)  # type: ignore[union-attr]
    if array.ndim != 2 or 0 in array.shape or not np.isfinite(array).all():
        raise InputError(f"{name} must be finite numbers of shape (n, D), got {array.shape}")
    return array

"""Scatter plots of codes in a latent plane, with a colour and a marker for each class."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from ancestral.core.errors import InputError
from ancestral.figures.style import INK, MARKS, PALETTE, TEXT_SIZE, Page, text_style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from torch import Tensor

NAMED = len(MARKS) * len(PALETTE)  # maximum number of classes; colours are reused with another marker
INKED = 1500  # above this number, points are drawn smaller


def code_scatter(
    points: np.ndarray | Tensor,
    classes: np.ndarray | Tensor | None,
    *,
    axes: tuple[str, str],
    names: Callable[[int], str] = str,
    title: str = "",
    note: str = "",
) -> Figure:
    """Draw points in a plane with the colour and marker of their class; the name is at the median of each class.

    Args:
        points: (N, 2), finite.
        classes: (N,), integers; None if there are none. More than `NAMED` classes are drawn in one colour.
        axes: labels of the first and second coordinate.
        names: returns the name of a class, given its number.
        title: above the plot.
        note: small print.

    Returns: the figure.
    Raises: InputError for other shapes or values that are not finite.
    """
    places = _as_places(points)
    kinds, numbers = _as_classes(classes, len(places))
    named = [names(int(number)) for number in numbers]
    looks = [(PALETTE[i % len(PALETTE)], MARKS[i // len(PALETTE)]) for i in range(len(named))]
    page = Page(
        (title, axes[1], axes[0]),
        plot_height=300.0,
        right=14,
        legend=[(name, *look) for name, look in zip(named, looks, strict=True)],
    )
    (plot,) = page.axes
    style = {"s": 7.0 if len(places) > INKED else 12.0, "linewidths": 0, "alpha": 0.7}
    if not named:
        plot.scatter(*places.T, color=INK, **style)
    for number, (colour, mark) in zip(numbers, looks, strict=True):
        plot.scatter(*places[kinds == number].T, color=colour, marker=mark, **style)
    for number, name, (colour, _) in zip(numbers, named, looks, strict=True):
        _write_name(plot, name, places[kinds == number], colour)
    page.settle([note] if note else [])
    return page.figure


def _write_name(plot: Axes, name: str, places: np.ndarray, colour: str) -> None:
    """Write the name of a class at the median of its points, shape (n, 2)."""
    x, y = np.median(places, 0)
    box = {"boxstyle": "round,pad=0.15", "facecolor": "white", "edgecolor": colour, "linewidth": 0.8, "alpha": 0.9}
    words = text_style(TEXT_SIZE, ha="center", va="center", fontweight="bold", bbox=box)
    plot.text(float(x), float(y), name, **words)


def _as_places(points: np.ndarray | Tensor) -> np.ndarray:
    places = _as_array(points)
    if places.ndim != 2 or places.shape[1:] != (2,) or not len(places) or not np.isfinite(places).all():
        raise InputError(f"codes in a plane must be finite and of shape (N, 2), got shape {places.shape}")
    return places


def _as_classes(classes: np.ndarray | Tensor | None, points: int) -> tuple[np.ndarray, np.ndarray]:
    """The class of each point and the numbers of all classes; no numbers if all points have one colour."""
    kinds = np.zeros(points) if classes is None else _as_array(classes)
    if kinds.shape != (points,):
        raise InputError(f"classes must have shape ({points},), one for each point, got {kinds.shape}")
    names = np.unique(kinds)
    if classes is None or len(names) > NAMED:
        return np.zeros(points), np.zeros(0)
    return kinds, names


def _as_array(values: np.ndarray | Tensor) -> np.ndarray:
    return np.asarray(values.detach().cpu().double() if hasattr(values, "detach") else values, np.float64)  # type: ignore[union-attr]

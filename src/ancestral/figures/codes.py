"""Points of a latent plane by class: a colour and a mark each, named where they lie."""

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

NAMED = len(MARKS) * len(PALETTE)  # classes; beyond the palette they have its colours again, with another mark
INKED = 1500  # points beyond which each is drawn smaller


def code_scatter(
    points: np.ndarray | Tensor,
    classes: np.ndarray | Tensor | None,
    *,
    axes: tuple[str, str],
    names: Callable[[int], str] = str,
    title: str = "",
    note: str = "",
) -> Figure:
    """Draw points of a plane in the colour and mark of their class, its name at the median of each.

    Args:
        points: (N, 2), finite.
        classes: (N,), whole numbers; None where there are none. More than `NAMED` classes are not told apart.
        axes: what the first and second coordinates are.
        names: the name of a class from its number.
        title: above.
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
        raise InputError(f"codes in a plane are finite pairs of numbers, got an array of shape {places.shape}")
    return places


def _as_classes(classes: np.ndarray | Tensor | None, points: int) -> tuple[np.ndarray, np.ndarray]:
    """The class of each point and the numbers of all classes; none where classes are not told apart."""
    kinds = np.zeros(points) if classes is None else _as_array(classes)
    if kinds.shape != (points,):
        raise InputError(f"{kinds.shape} classes for {points} points: give one each")
    names = np.unique(kinds)
    if classes is None or len(names) > NAMED:
        return np.zeros(points), np.zeros(0)
    return kinds, names


def _as_array(values: np.ndarray | Tensor) -> np.ndarray:
    return np.asarray(values.detach().cpu().double() if hasattr(values, "detach") else values, np.float64)  # type: ignore[union-attr]

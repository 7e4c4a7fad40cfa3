"""Panels of points over equal axes, such as two log-probabilities of the same images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from ancestral.core.errors import InputError
from ancestral.figures.series import looks_of
from ancestral.figures.style import MUTED, Page, as_floats

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from torch import Tensor

OUTSIDE = 0.002  # share of all values that may be outside either end of the axes
SIZE, OPACITY = 3.0, 0.4


class Cloud(NamedTuple):
    """Points of one kind. label: in the legend. x, y: shape (N,)."""

    label: str
    x: np.ndarray | Tensor
    y: np.ndarray | Tensor


def scatter_panels(
    panels: Sequence[tuple[str, Sequence[Cloud]]],
    *,
    xlabel: str,
    ylabel: str,
    columns: int = 3,
    title: str = "",
    note: str = "",
    plot_height: float = 100.0,
    line: Literal["diagonal", "zero"] = "diagonal",
) -> Figure:
    """Draw panels of points over the same axes, with the line y = x or y = 0.

    Args:
        panels: (title, clouds) of each. A label has the same colour in all panels.
        xlabel: below the panels.
        ylabel: above them.
        columns: panels in a row.
        title: above all.
        note: small print.
        plot_height: of each panel, points.
        line: diagonal, y = x, or zero, y = 0.

    Returns: the figure.
    Raises: InputError if there is nothing to draw, lengths differ, or values are not finite.
    """
    content = [
        [(cloud.label, as_floats(cloud.label, cloud.x), as_floats(cloud.label, cloud.y)) for cloud in clouds]
        for _, clouds in panels
    ]
    values = [(x, y) for clouds in content for _, x, y in clouds]
    if not values:
        raise InputError("there is nothing to draw")
    if any(len(x) != len(y) or not np.isfinite([*x, *y]).all() for x, y in values):
        raise InputError("a scatter plot needs finite values in pairs")
    looks = looks_of((label, "points") for clouds in content for label, _, _ in clouds)
    columns = min(columns, len(panels))
    page = Page(
        (title, ylabel, xlabel),
        plot_height=plot_height,
        right=14,
        grid=(-(-len(panels) // columns), columns),
        titles=[name for name, _ in panels],
        legend=[(label, colour, "o") for label, (colour, _) in looks.items()] if len(looks) > 1 else [],
    )
    limits = [_limits(np.concatenate([pair[axis] for pair in values])) for axis in (0, 1)]
    beyond = 0
    for axes, clouds in zip(page.axes, content, strict=False):
        low, high = limits[0]
        axes.plot([low, high], [low, high] if line == "diagonal" else [0, 0], color=MUTED, linewidth=0.8, zorder=1)
        for label, x, y in clouds:
            axes.scatter(x, y, s=SIZE, color=looks[label][0], alpha=OPACITY, linewidths=0, rasterized=True)
            inside = (x >= limits[0][0]) & (x <= limits[0][1]) & (y >= limits[1][0]) & (y <= limits[1][1])
            beyond += int((~inside).sum())
        axes.set(xlim=limits[0], ylim=limits[1])
        axes.locator_params(nbins=5)
        axes.locator_params(axis="x", nbins=3 if columns > 2 else 5)
    notes = [note] if note else []
    page.settle(notes + ([f"{beyond:,} points are outside the plots."] if beyond else []))
    return page.figure


def _limits(values: np.ndarray) -> tuple[float, float]:
    """The range of almost all values, slightly enlarged."""
    low, high = np.quantile(values, [OUTSIDE, 1 - OUTSIDE])
    margin = 0.04 * max(high - low, 1e-6)
    return float(low - margin), float(high + margin)

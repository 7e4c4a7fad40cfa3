"""Histograms of several kinds of values: in panels, or above curves of shares such as the power of a test."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ancestral.core.errors import InputError
from ancestral.figures.series import Curve, Look, Series, looks_of
from ancestral.figures.shares import draw_shares
from ancestral.figures.style import Page, as_floats

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from torch import Tensor

BINS = 60
TAIL = 0.002  # share of the values of each kind that may be outside either end of the axis


def histograms_and_shares(
    values: Sequence[tuple[str, np.ndarray | Tensor]],
    shares: Sequence[Curve],
    *,
    titles: tuple[str, str],
    xlabel: str,
    levels: Sequence[float] = (),
    title: str = "",
) -> Figure:
    """Draw histograms of several kinds of values, and below them shares over a logarithmic axis.

    Args:
        values: (label, values) of each kind; drawn as densities over common bins.
        shares: curves in [0, 1] over positive steps; a curve with the label of a kind has its colour.
        titles: of the two plots.
        xlabel: label of the steps of the shares.
        levels: shares at which to draw a dotted line.
        title: above both plots.

    Returns: the figure.
    Raises: InputError if there is nothing to draw or values are not finite.
    """
    kinds = [(label, as_floats(label, one)) for label, one in values]
    series = [Series.of(curve, log_x=True) for curve in shares]
    if not kinds or not series:
        raise InputError("there is nothing to draw")
    check_finite(kinds)
    looks = looks_of([(label, "line") for label, _ in kinds] + [(one.label, one.style) for one in series])
    page = Page(
        (title, "", xlabel),
        plot_height=115.0,
        right=14,
        grid=(2, 1),
        titles=titles,
        legend=[(label, *look) for label, look in looks.items()],
    )
    beyond = draw_histograms(page.axes[0], kinds, looks)
    draw_shares(page.axes[1], series, looks, levels)
    page.settle([f"{beyond:,} values are outside the upper plot."] if beyond else [])
    return page.figure


def histogram_panels(
    panels: Sequence[tuple[str, Sequence[tuple[str, np.ndarray | Tensor]]]],
    *,
    xlabel: str,
    columns: int = 2,
    title: str = "",
    note: str = "",
) -> Figure:
    """Draw panels of histograms, each with its own axis; a label has the same colour in all panels.

    Args:
        panels: (title, kinds) of each, where a kind is (label, values).
        xlabel: below the panels.
        columns: panels in a row.
        title: above all.
        note: small print.

    Returns: the figure.
    Raises: InputError if there is nothing to draw or values are not finite.
    """
    content = [[(label, as_floats(label, one)) for label, one in kinds] for _, kinds in panels]
    if not content or not all(content):
        raise InputError("there is nothing to draw")
    for kinds in content:
        check_finite(kinds)
    looks = looks_of((label, "line") for kinds in content for label, _ in kinds)
    columns = min(columns, len(panels))
    page = Page(
        (title, "", xlabel),
        plot_height=52.0,
        right=14,
        grid=(-(-len(panels) // columns), columns),
        titles=[name for name, _ in panels],
        legend=[(label, *look) for label, look in looks.items()],
    )
    beyond = 0
    for axes, kinds in zip(page.axes, content, strict=False):
        beyond += draw_histograms(axes, kinds, looks)
        axes.locator_params(axis="x", nbins=5)
    notes = [note] if note else []
    page.settle(notes + ([f"{beyond:,} values are outside the plots."] if beyond else []))
    return page.figure


def check_finite(kinds: Sequence[tuple[str, np.ndarray]]) -> None:
    """Raises:    InputError: some values are not finite."""
    if not all(np.isfinite(one).all() for _, one in kinds):
        raise InputError("a histogram needs finite values; some are NaN or infinite")


def draw_histograms(axes: Axes, kinds: Sequence[tuple[str, np.ndarray]], looks: dict[str, Look]) -> int:
    """Draw densities over common bins; returns the number of values outside the bins."""
    ends = np.concatenate([np.quantile(one, [TAIL, 1 - TAIL]) for _, one in kinds])
    low, high = float(ends.min()), float(ends.max())
    if low == high:  # all values are the same
        low, high = low - 0.5, high + 0.5
    edges = np.linspace(low, high, BINS + 1)
    beyond = 0
    for label, one in kinds:
        counts, _ = np.histogram(one, edges)
        beyond += len(one) - int(counts.sum())
        density = counts / (len(one) * (edges[1] - edges[0]))
        colour = looks[label][0]
        axes.stairs(density, edges, fill=True, color=colour, alpha=0.25, linewidth=0)
        axes.stairs(density, edges, color=colour, linewidth=1.4)
    axes.set_xlim(low, high)
    axes.set_ylim(bottom=0)
    axes.set_yticks([])
    return beyond

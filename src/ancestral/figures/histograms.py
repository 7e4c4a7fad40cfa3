"""Values of two kinds as histograms above the share of batches that a test tells apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ancestral.errors import InputError
from ancestral.figures.series import DASHES, Curve, Series
from ancestral.figures.style import MUTED, PALETTE, Page, as_floats

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from torch import Tensor

BINS = 60
TAIL = 0.002  # of each kind of values that may lie beyond either end of the axis


def histograms_and_shares(
    values: Sequence[tuple[str, np.ndarray | Tensor]],
    shares: Sequence[Curve],
    *,
    titles: tuple[str, str],
    xlabel: str,
    levels: Sequence[float] = (),
    title: str = "",
) -> Figure:
    """Draw histograms of several kinds of values, and beneath them shares over a logarithmic axis.

    Args:
        values: (label, values) of each kind; drawn as densities over common bins.
        shares: curves in [0, 1] over positive steps; one whose label is that of a kind has its colour.
        titles: of the two plots.
        xlabel: what the steps of the shares count.
        levels: shares at which to draw a dotted line.
        title: above all.

    Returns: the figure.
    Raises: InputError where there is nothing to draw or values are not finite.
    """
    kinds = [(label, as_floats(label, one)) for label, one in values]
    series = [Series.of(curve, log_x=True) for curve in shares]
    if not kinds or not series:
        raise InputError("there is nothing to draw")
    if not all(np.isfinite(one).all() for _, one in kinds):
        raise InputError("some values are not finite (NaN or infinite) and have no place in a histogram")
    labels = dict.fromkeys([label for label, _ in kinds] + [one.label for one in series])
    colours = {label: PALETTE[i % len(PALETTE)] for i, label in enumerate(labels)}
    dashes = {label: DASHES["line"] for label, _ in kinds} | {one.label: DASHES[one.style] for one in series}
    page = Page(
        (title, "", xlabel),
        plot_height=115.0,
        right=14,
        grid=(2, 1),
        titles=titles,
        legend=[(label, colours[label], dashes[label]) for label in labels],
    )
    notes = _draw_histograms(page.axes[0], kinds, colours)
    _draw_shares(page.axes[1], series, colours, levels)
    page.settle(notes)
    return page.figure


def _draw_histograms(axes: Axes, kinds: list[tuple[str, np.ndarray]], colours: dict[str, str]) -> list[str]:
    """Densities over common bins; returns what a reader must be told about what lies beyond them."""
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
        axes.stairs(density, edges, fill=True, color=colours[label], alpha=0.25, linewidth=0)
        axes.stairs(density, edges, color=colours[label], linewidth=1.4)
    axes.set_xlim(low, high)
    axes.set_ylim(bottom=0)
    axes.set_yticks([])
    return [f"{beyond:,} values lie beyond the upper plot."] if beyond else []


def _draw_shares(axes: Axes, series: list[Series], colours: dict[str, str], levels: Sequence[float]) -> None:
    from matplotlib.ticker import NullLocator, PercentFormatter

    for level in levels:
        axes.axhline(level, color=MUTED, linewidth=1.0, linestyle=":")
    for one in series:
        if one.band:
            axes.fill_between(one.x, *one.band, color=colours[one.label], alpha=0.18, linewidth=0)
        line = {"color": colours[one.label], "linestyle": DASHES[one.style], "linewidth": 1.6}
        axes.plot(one.x, one.y, marker="o", markersize=2.6, **line)
    steps = sorted({float(x) for one in series for x in one.x})
    axes.set_xscale("log")
    axes.set_xlim(steps[0] * 0.9, steps[-1] * 1.1)
    axes.set_xticks(steps, [f"{step:,.0f}" for step in steps])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_ylim(0, 1.03)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))

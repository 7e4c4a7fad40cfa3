"""Plots of shares of trials over a logarithmic axis, such as the power of a test by batch size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from ancestral.core.errors import InputError
from ancestral.figures.series import DASHES, Curve, Look, Series, looks_of
from ancestral.figures.style import MUTED, PALETTE, Page

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


class Shares(NamedTuple):
    """One plot: title, curves in [0, 1], shares at which a dotted line is drawn, a shaded band (steps, low, high)."""

    title: str
    curves: Sequence[Curve]
    levels: Sequence[float] = ()
    band: tuple[Sequence[float], Sequence[float], Sequence[float]] | None = None


def share_panels(panels: Sequence[Shares], *, xlabel: str, title: str = "", note: str = "") -> Figure:
    """Draw plots of shares, one above the other, over the same steps; a label has one colour in all plots.

    Args:
        panels: at least one; the axis of a plot with small shares ends earlier than 1.
        xlabel: label of the steps.
        title: above all plots.
        note: small print.

    Returns: the figure.
    Raises: InputError if there is nothing to draw or a curve is malformed.
    """
    series = [[Series.of(curve, log_x=True) for curve in panel.curves] for panel in panels]
    if not series or not all(series):
        raise InputError("there is nothing to draw")
    _dash_reused_colours(series)
    looks = looks_of((one.label, one.style) for content in series for one in content)
    page = Page(
        (title, "", xlabel),
        plot_height=115.0,
        right=14,
        grid=(len(panels), 1),
        titles=[panel.title for panel in panels],
        legend=[(label, *look) for label, look in looks.items()],
    )
    for axes, panel, content in zip(page.axes, panels, series, strict=True):
        draw_shares(axes, content, looks, panel.levels, panel.band)
        axes.set_ylim(0, _top(panel, content))
    page.settle([note] if note else [])
    return page.figure


def _dash_reused_colours(series: list[list[Series]]) -> None:
    """Dash the curves whose colour is used by an earlier label, if there are more labels than colours."""
    labels = list(dict.fromkeys(one.label for content in series for one in content))
    for one in (one for content in series for one in content):
        if labels.index(one.label) >= len(PALETTE):
            one.style = "dashed"


def _top(panel: Shares, content: list[Series]) -> float:
    """Upper end of the axis of a plot: 1, or slightly more than the largest share if that is below one half."""
    peak = max(float(one.extremes().max()) for one in content)
    highest_of_band = max(panel.band[2]) if panel.band else 0.0
    return 1.03 if peak > 0.5 else 1.15 * max(peak, *panel.levels, highest_of_band)


def draw_shares(
    axes: Axes,
    series: list[Series],
    looks: dict[str, Look],
    levels: Sequence[float],
    band: tuple[Sequence[float], Sequence[float], Sequence[float]] | None = None,
) -> None:
    """Draw curves of shares with their intervals in one plot, with ticks at their steps."""
    from matplotlib.ticker import NullLocator, PercentFormatter

    for level in levels:
        axes.axhline(level, color=MUTED, linewidth=1.0, linestyle=":")
    if band:
        axes.fill_between(*band, color=MUTED, alpha=0.15, linewidth=0)
    for one in series:
        colour = looks[one.label][0]
        if one.band:
            axes.fill_between(one.x, *one.band, color=colour, alpha=0.18, linewidth=0)
        line = {"color": colour, "linestyle": DASHES[one.style], "linewidth": 1.6}
        axes.plot(one.x, one.y, marker="o", markersize=2.6, **line)
    steps = sorted({float(x) for one in series for x in one.x})
    axes.set_xscale("log")
    axes.set_xlim(steps[0] * 0.9, steps[-1] * 1.1)
    axes.set_xticks(steps, [f"{step:,.0f}" for step in steps])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_ylim(0, 1.03)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))

"""Plots of curves with separate axes, linear or logarithmic."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ancestral.core.errors import InputError
from ancestral.figures.series import DASHES, Curve, Look, Series, check_panels, looks_of
from ancestral.figures.style import PALETTE, SMALL_SIZE, Page, text_style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DOTTED = 12  # curves with at most this many points have a dot at each
WIDE = 100.0  # above this ratio of largest to smallest value, ticks are powers of ten only


@dataclass(frozen=True)
class Panel:
    """One plot.

    Args:      title: above it. curves: its curves. log_x, log_y: whether the axes are logarithmic.
               ticks: steps with labels; None for automatic ticks.
               cross: (step, value, label) of a point that is marked by a cross.
    """

    title: str
    curves: Sequence[Curve]
    log_x: bool = False
    log_y: bool = False
    ticks: Sequence[float] | None = None
    cross: tuple[float, float, str] | None = None


def panel_figure(
    panels: Sequence[Panel],
    *,
    columns: int = 1,
    plot_height: float = 115.0,
    xlabel: str = "",
    ylabel: str = "",
    title: str = "",
    note: str = "",
) -> Figure:
    """Draw plots with separate axes; a label has the same colour in all plots.

    Args:
        panels: at least one, each with a curve.
        columns: plots in a row.
        plot_height: of each, in points.
        xlabel, ylabel: names of steps and values, if they are the same in all plots.
        title: above all plots.
        note: small print.

    Returns: the figure.
    Raises: InputError if a curve is malformed, or has values on a logarithmic axis that are not positive.
    """
    content = [[Series.of(curve, panel.log_x) for curve in panel.curves] for panel in panels]
    check_panels(content)
    for panel, series in zip(panels, content, strict=True):
        _check_values(panel, series)
    looks = looks_of((one.label, one.style) for series in content for one in series)
    page = Page(
        (title, ylabel, xlabel),
        plot_height=plot_height,
        right=14,
        grid=(-(-len(panels) // columns), columns),
        titles=[panel.title for panel in panels],
        legend=[(label, *look) for label, look in looks.items() if label],
    )
    for axes, panel, series in zip(page.axes, panels, content, strict=True):
        _draw(axes, panel, series, looks, ticks=4 if columns > 2 else 6)
    page.settle([note] if note else [])
    return page.figure


def _check_values(panel: Panel, series: list[Series]) -> None:
    if panel.log_y and not all((one.extremes() > 0).all() for one in series):
        raise InputError(f"panel {panel.title!r}: values must be positive on a log axis")


def _draw(axes: Axes, panel: Panel, series: list[Series], looks: dict[str, Look], ticks: int) -> None:
    for one in series:
        _draw_curve(axes, one, looks[one.label][0])
    _scale(axes, "x", np.concatenate([one.x for one in series]), panel.log_x, ticks)
    _scale(axes, "y", np.concatenate([one.extremes() for one in series]), panel.log_y, ticks)
    if panel.ticks is not None:
        axes.set_xticks(panel.ticks, [f"{tick:,g}" for tick in panel.ticks])
    if panel.cross:
        _cross(axes, *panel.cross)


def _draw_curve(axes: Axes, one: Series, colour: str) -> None:
    style: dict[str, Any] = {"color": colour, "linestyle": DASHES[one.style], "linewidth": 1.7}
    if one.band:
        axes.fill_between(one.x, *one.band, color=colour, alpha=0.18, linewidth=0)
    if len(one.x) <= DOTTED:
        style |= {"marker": "o", "markersize": 3.0}
    axes.plot(one.x, one.y if one.smooth is None else one.smooth, **style)


def _scale(axes: Axes, along: Literal["x", "y"], numbers: np.ndarray, log: bool, ticks: int) -> None:
    """Set the scale, ticks and tick labels of one axis, given the numbers on it."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator

    axis = axes.xaxis if along == "x" else axes.yaxis
    if log:
        getattr(axes, f"set_{along}scale")("log")
    axis.set_major_locator(_decades(numbers, ticks) if log else MaxNLocator(ticks - 1, steps=[1, 2, 2.5, 5, 10]))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}".replace("-", "\N{MINUS SIGN}")))


def _decades(numbers: np.ndarray, ticks: int) -> Any:
    from matplotlib.ticker import LogLocator

    wide = numbers.max() > WIDE * numbers.min()
    return LogLocator(subs=(1.0,) if wide else (1.0, 2.0, 5.0), numticks=ticks + 2)


def _cross(axes: Axes, x: float, y: float, words: str) -> None:
    """A cross with its label on the side with more space."""
    from matplotlib.patheffects import withStroke

    axes.plot([x], [y], "x", color=PALETTE[1], markersize=8, markeredgewidth=2.2, zorder=5)
    axes.autoscale_view()  # sets the limits now, because the transform below needs them
    left = axes.transAxes.inverted().transform(axes.transData.transform((x, y)))[0] > 0.6
    style = text_style(SMALL_SIZE, path_effects=[withStroke(linewidth=2, foreground="white")])
    axes.annotate(
        words,
        (x, y),
        xytext=(-8 if left else 8, -8 if left else 6),
        textcoords="offset points",
        ha="right" if left else "left",
        va="top" if left else "bottom",
        **style,
    )

"""One plot of curves: lines with bands and running means, crosses at values that are not finite, and marked steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ancestral.figures.curve_limits import limit_steps, limit_values
from ancestral.figures.series import DASHES, Series, outline
from ancestral.figures.style import INK, MUTED, SMALL_SIZE, text_style

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def draw_panel(
    axes: Axes, series: list[Series], colours: list[str], log_x: bool, ylim: str | None, lines: list[float]
) -> list[str]:
    """Draw the curves of one plot and set its limits; returns notes for below the plot."""
    for value in lines:
        axes.axhline(value, color=MUTED, linewidth=1.0, linestyle=":")
    for one, colour in zip(series, colours, strict=True):
        _draw_curve(axes, one, colour, log_x)
    limit_steps(axes, np.concatenate([s.x for s in series]), log_x, ticks=5)
    peak = limit_values(axes, series, lines, ylim)
    for one, colour in zip(series, colours, strict=True):
        _cross_gaps(axes, one, colour)
    return _notes(series, peak, clipped=peak > axes.get_ylim()[1])


def _notes(series: list[Series], peak: float, clipped: bool) -> list[str]:
    """Notes on a clipped axis and on the windows of running means."""
    notes = [f"Axis clipped: values reach {peak:,.4g}."] if clipped else []
    windows = sorted({s.window for s in series if s.window})
    if windows:
        notes.append(f"Bold: running mean over {' or '.join(f'{w:,}' for w in windows)} points.")
    return notes


def _draw_curve(axes: Axes, one: Series, colour: str, log_x: bool) -> None:
    if one.band:
        axes.fill_between(one.x, *one.band, color=colour, alpha=0.18, linewidth=0)
    finite = np.isfinite(one.y)
    if one.style == "points":
        axes.plot(one.x, one.y, "o", color=colour, markersize=2.6, markeredgewidth=0)
        return
    bold = one.y
    if one.smooth is not None:
        kept = outline(one.x, one.y, log_x)
        axes.plot(one.x[kept], one.y[kept], color=colour, linewidth=0.5, alpha=0.35)
        bold = one.smooth
    axes.plot(one.x, bold, color=colour, linewidth=1.8, linestyle=DASHES[one.style], solid_capstyle="round")
    isolated = finite & ~np.r_[False, finite[:-1]] & ~np.r_[finite[1:], False]  # a line of one point is invisible
    axes.plot(one.x[isolated], one.y[isolated], "o", color=colour, markersize=3.5, markeredgewidth=0)


def _cross_gaps(axes: Axes, one: Series, colour: str) -> None:
    """Draw a cross where values stop being finite, at the last finite value, and label the first cross."""
    lost = ~np.isfinite(one.y)
    first = np.flatnonzero(lost & ~np.r_[False, lost[:-1]])
    if not len(first):
        return
    low, high = axes.get_ylim()
    left, right = axes.get_xlim()
    heights = np.array([one.y[i - 1] if i else high for i in first]).clip(low, high)
    axes.plot(one.x[first], heights, "x", color=colour, markersize=6, markeredgewidth=2, clip_on=False, zorder=5)
    where = axes.transData.transform((float(one.x[first[0]]), low))[0]
    start, stop = (axes.transData.transform((x, low))[0] for x in (left, right))
    late = where > (start + stop) / 2
    axes.annotate(
        "diverged",
        (one.x[first[0]], heights[0]),
        xytext=(-6 if late else 6, -3 if heights[0] > (low + high) / 2 else 3),
        textcoords="offset points",
        ha="right" if late else "left",
        va="top" if heights[0] > (low + high) / 2 else "bottom",
        **_on_curves(),
    )


def mark_steps(axes: Axes, marks: Sequence[tuple[float, str]]) -> None:
    """Draw a vertical line with its label at each marked step, after the layout of the page."""
    left, right = axes.get_xlim()
    axes.set_xlim(min([left, *(x for x, _ in marks)]), max([right, *(x for x, _ in marks)]))
    for i, (x, text) in enumerate(marks):
        axes.axvline(x, color=INK, linewidth=0.8, linestyle=(0, (1, 2)))
        where = axes.transAxes.inverted().transform(axes.transData.transform((x, 0)))[0]
        axes.annotate(
            text,
            (where, 1.0),
            xycoords="axes fraction",
            xytext=(3 if where < 0.6 else -3, -2 - 11 * (i % 4)),  # so that neighbouring labels do not overlap
            textcoords="offset points",
            ha="left" if where < 0.6 else "right",
            va="top",
            **_on_curves(),
        )


def _on_curves() -> dict[str, Any]:
    """The style of texts on curves, with a thin white outline for readability."""
    from matplotlib.patheffects import withStroke

    return text_style(SMALL_SIZE, path_effects=[withStroke(linewidth=2, foreground="white")])

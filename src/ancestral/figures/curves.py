"""Numbers over time as one picture: learning curves, alone or as panels side by side.

A value that is not finite breaks its line and leaves a cross; a clipped axis says so underneath.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ancestral.core.errors import InputError
from ancestral.figures.keys import draw_keys, key_rows
from ancestral.figures.series import DASHES, Curve, Series, outline
from ancestral.figures.style import (
    EDGE,
    INK,
    MUTED,
    PALETTE,
    PANEL_GAP,
    SMALL_SIZE,
    TEXT_SIZE,
    UNIT,
    WIDTH,
    Page,
    draw_key,
    text_height,
    text_style,
    text_width,
    wrap,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PANEL_RIGHT = 14.0  # points at the right of panels


def learning_curves(
    curves: Sequence[Curve],
    *,
    xlabel: str = "epoch",
    ylabel: str = "",
    title: str = "",
    reference: Sequence[tuple[float, str]] | None = None,
    marks: Sequence[tuple[float, str]] | None = None,
    log_x: bool = False,
    ylim: Literal["robust"] | None = "robust",
) -> Figure:
    """Draw curves in one plot, each named at its right end.

    Args:
        curves: at least one.
        xlabel: what the steps count.
        ylabel: what the values are, with their unit; stands above the axis.
        title: above the plot.
        reference: (value, label) of horizontal lines.
        marks: (step, label) of vertical lines, such as the best epoch.
        log_x: a logarithmic step axis.
        ylim: "robust" cuts the axis above the bulk of the values, never below their minimum; None shows all.

    Returns: the figure; save it with `style.save_figure`.
    Raises: InputError where a curve is malformed or a step does not fit on the axis.
    """
    series = [Series.of(curve, log_x) for curve in curves]
    lines = list(reference or [])
    if not series:
        raise InputError("there is no curve to draw")
    if not np.isfinite([value for value, _ in lines] + [x for x, _ in marks or []]).all():
        raise InputError("reference lines and marks must be finite")
    if log_x and any(x <= 0 for x, _ in marks or []):
        raise InputError("marks must be positive on a log axis")
    names = [wrap(text, TEXT_SIZE, 85) for text in [s.label for s in series] + [t for _, t in lines]]
    needed = sum(text_height(name, TEXT_SIZE) + 2 for name in names)
    keys = max(text_width(name, TEXT_SIZE) for name in names)
    page = Page((title, ylabel, xlabel), plot_height=max(145.0, needed), right=keys + 30 if keys else 12)
    (axes,) = page.axes
    colours = [PALETTE[i % len(PALETTE)] for i in range(len(series))]
    notes = _draw_panel(axes, series, colours, log_x, ylim, [value for value, _ in lines])
    page.settle(notes)
    _mark_steps(axes, marks or [])
    ends = [s.end() for s in series] + [value for value, _ in lines]
    styles = [(c, DASHES[s.style]) for s, c in zip(series, colours, strict=True)] + [(MUTED, ":")] * len(lines)
    _name_ends(axes, ends, names, styles)
    return page.figure


def small_multiples(
    panels: Sequence[tuple[str, Sequence[Curve]]],
    *,
    xlabel: str = "epoch",
    ylabel: str = "",
    title: str = "",
    columns: int | None = None,
    log_x: bool = False,
    ylim: Literal["robust"] | None = "robust",
) -> Figure:
    """Draw panels side by side over the same steps, such as a bound and its parts.

    Args:
        panels: (title, curves) of each; curves of one label have one colour throughout, and one legend stands above
            all; where there are more labels than colours, each panel has its own legend and colours.
        xlabel: what the steps count.
        ylabel: what the values are, where it is the same in all panels.
        title: above all panels.
        columns: panels in a row; three, or two where that fills the rows better.
        log_x: a logarithmic step axis.
        ylim: as in `learning_curves`, for each panel apart.

    Returns: the figure.
    Raises: InputError as `learning_curves`.
    """
    content = [[Series.of(curve, log_x) for curve in curves] for _, curves in panels]
    if not content or not all(content):
        raise InputError("every panel needs at least one curve")
    if columns is None:
        columns = 2 if len(content) in (2, 4) else 3
    columns = min(columns, len(content))
    rows = -(-len(content) // columns)
    common = _coloured([s for panel in content for s in panel])
    apart = len(common) > len(PALETTE)
    keys = [_coloured(series) if apart else common for series in content]
    wide = (WIDTH / UNIT - EDGE - PANEL_RIGHT + PANEL_GAP) / columns - PANEL_GAP
    own = [key_rows(one, wide) if apart else [] for one in keys]
    page = Page(
        (title, ylabel, xlabel),
        plot_height=115.0 if columns > 1 else 145.0,
        right=PANEL_RIGHT,
        grid=(rows, columns),
        titles=[name + "\n" * len(lines) for (name, _), lines in zip(panels, own, strict=True)],
        legend=[] if apart else [(label, *look) for label, look in common.items() if label],
    )
    notes: list[str] = []
    for axes, series, one in zip(page.axes, content, keys, strict=True):
        notes += _draw_panel(axes, series, [one[s.label][0] for s in series], log_x, ylim, [])
    steps = np.concatenate([s.x for panel in content for s in panel])
    for axes in page.axes:
        _limit_steps(axes, steps, log_x, ticks=3 if columns > 2 else 4)
    if len(notes) > 1:  # each panel is cut elsewhere; one sentence says it for all
        notes = sorted({"Axes clipped at the top." if "clipped" in note else note for note in notes})
    page.settle(notes)
    for i, lines in enumerate(own):
        draw_keys(page, i, lines, EDGE + i % columns * (wide + PANEL_GAP))
    return page.figure


def _coloured(series: Sequence[Series]) -> dict[str, tuple[str, Any]]:
    """A colour and dashes for each label."""
    styles = {s.label: s.style for s in series}
    return {label: (PALETTE[i % len(PALETTE)], DASHES[style]) for i, (label, style) in enumerate(styles.items())}


def _draw_panel(
    axes: Axes, series: list[Series], colours: list[str], log_x: bool, ylim: str | None, lines: list[float]
) -> list[str]:
    """Draw the curves of one plot and set its limits; returns what a reader must be told about them."""
    from matplotlib.ticker import MaxNLocator

    for value in lines:
        axes.axhline(value, color=MUTED, linewidth=1.0, linestyle=":")
    for one, colour in zip(series, colours, strict=True):
        _draw_curve(axes, one, colour, log_x)
    _limit_steps(axes, np.concatenate([s.x for s in series]), log_x, ticks=5)
    low, high, peak = _limits(series, lines, ylim)
    axes.set_ylim(low, high)
    axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
    axes.yaxis.set_major_formatter(_formatter(max(abs(low), abs(high))))
    for one, colour in zip(series, colours, strict=True):
        _cross_gaps(axes, one, colour)
    notes = [f"Axis clipped: values reach {peak:,.4g}."] if peak > high else []
    windows = sorted({s.window for s in series if s.window})
    if windows:
        notes.append(f"Bold: mean over {' or '.join(f'{w:,}' for w in windows)} points.")
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
    lonely = finite & ~np.r_[False, finite[:-1]] & ~np.r_[finite[1:], False]  # a line of one point is invisible
    axes.plot(one.x[lonely], one.y[lonely], "o", color=colour, markersize=3.5, markeredgewidth=0)


def _cross_gaps(axes: Axes, one: Series, colour: str) -> None:
    """A cross where values stop being finite, at the last height seen, and one word on the first of them."""
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


def _mark_steps(axes: Axes, marks: Sequence[tuple[float, str]]) -> None:
    left, right = axes.get_xlim()
    axes.set_xlim(min([left, *(x for x, _ in marks)]), max([right, *(x for x, _ in marks)]))
    for i, (x, text) in enumerate(marks):
        axes.axvline(x, color=INK, linewidth=0.8, linestyle=(0, (1, 2)))
        where = axes.transAxes.inverted().transform(axes.transData.transform((x, 0)))[0]
        axes.annotate(
            text,
            (where, 1.0),
            xycoords="axes fraction",
            xytext=(3 if where < 0.6 else -3, -2 - 11 * (i % 4)),  # neighbours do not write over each other
            textcoords="offset points",
            ha="left" if where < 0.6 else "right",
            va="top",
            **_on_curves(),
        )


def _on_curves() -> dict[str, Any]:
    """The style of words among curves: a thin white rim keeps them readable and hides little."""
    from matplotlib.patheffects import withStroke

    return text_style(SMALL_SIZE, path_effects=[withStroke(linewidth=2, foreground="white")])


def _name_ends(axes: Axes, ends: list[float], names: list[str], styles: list[tuple[str, Any]]) -> None:
    """Write each name at the right of its line's end, moved apart where they would touch."""
    figure = axes.figure
    box = axes.get_position()
    width, height = WIDTH / UNIT, figure.bbox.height / UNIT
    low, high = axes.get_ylim()
    bottom, top = box.y0 * height, box.y1 * height
    shares = np.array([np.nan_to_num((end - low) / (high - low), nan=1.0) for end in ends]).clip(0, 1)
    wanted = bottom + shares * (top - bottom)
    heights = np.array([text_height(name, TEXT_SIZE) for name in names])
    order = [i for i in np.argsort(wanted) if names[i]]
    places = wanted.copy()
    for below, i in itertools.pairwise(order):
        places[i] = max(places[i], places[below] + (heights[below] + heights[i]) / 2 + 1)
    for above, i in itertools.pairwise([-1, *order[::-1]]):
        ceiling = top + 6 if above < 0 else places[above] - heights[above] / 2 - 1
        places[i] = min(places[i], ceiling - heights[i] / 2)
    for i in order:
        colour, dashes = styles[i]
        x = box.x1 * width
        draw_key(figure, (x + 2, x + 8, x + 19), np.array([wanted[i], places[i], places[i]]), colour, dashes)
        style = text_style(va="center_baseline" if "\n" not in names[i] else "center")
        figure.text((x + 22) / width, float(places[i]) / height, names[i], **style)


def _limits(series: list[Series], lines: list[float], ylim: str | None) -> tuple[float, float, float]:
    """(lowest, highest, largest value): the y axis, and what it may leave out above.

    The bulk of a curve ends as far above its upper quartile as two and a half times the way from the
    minimum to that quartile; what little lies beyond a barely higher peak is worth no clipping.
    """
    heights = [h for h in (s.extremes() for s in series) if len(h)]
    if not heights:
        heights = [np.array([0.0, 1.0])]
    low = min([float(h.min()) for h in heights] + lines)
    peak = max([float(h.max()) for h in heights] + lines)
    high = peak
    if ylim == "robust":
        quartiles = [float(np.quantile(h, 0.75)) for h in heights]
        bulk = [q + 2.5 * (q - float(h.min())) for q, h in zip(quartiles, heights, strict=True)]
        cut = max(bulk + lines)
        if low < cut and peak - low > 1.5 * (cut - low):
            high = cut
    margin = 0.05 * (high - low) or 0.05 * abs(high) or 1.0
    return low - margin, high + (margin if high == peak else 0.0), peak


def _limit_steps(axes: Axes, steps: np.ndarray, log_x: bool, ticks: int) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

    low, high = float(steps.min()), float(steps.max())
    if log_x:
        axes.set_xscale("log")
        margin = (high / low) ** 0.01 if high > low else 2
        axes.set_xlim(low / margin, high * margin)
        axes.xaxis.set_major_locator(LogLocator(numticks=ticks + 1))
        axes.xaxis.set_minor_locator(NullLocator())
    else:
        margin = 0.01 * (high - low) or 1.0
        axes.set_xlim(low - margin, high + margin)
        whole = bool((steps == steps.round()).all())
        axes.xaxis.set_major_locator(MaxNLocator(ticks, steps=[1, 2, 5, 10], integer=whole))
    axes.xaxis.set_major_formatter(_formatter(high) if low >= 1 or not log_x else FuncFormatter(lambda x, _: f"{x:g}"))


def _formatter(largest: float) -> Any:
    """Short plain numbers: 0.05, 540, then 20k and 1M; never an offset in the corner of the plot."""
    from matplotlib.ticker import EngFormatter, FormatStrFormatter, ScalarFormatter

    if largest >= 10_000:
        return EngFormatter(sep="")
    if 0 < largest < 1e-3:
        return FormatStrFormatter("%.1e")
    plain = ScalarFormatter(useOffset=False, useMathText=False)
    plain.set_scientific(False)
    return plain

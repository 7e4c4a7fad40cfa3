"""Learning curves, in one plot or in panels.

A value that is not finite interrupts its line and is marked by a cross; a note states that an axis is clipped.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from ancestral.core.errors import InputError
from ancestral.figures.curve_limits import limit_steps
from ancestral.figures.curve_panel import draw_panel, mark_steps
from ancestral.figures.keys import Key, draw_keys, key_rows
from ancestral.figures.line_names import name_ends
from ancestral.figures.series import DASHES, Curve, Look, Series, looks_of, panels_of
from ancestral.figures.style import (
    EDGE,
    MUTED,
    PALETTE,
    PANEL_GAP,
    TEXT_SIZE,
    UNIT,
    WIDTH,
    Page,
    text_height,
    text_width,
    wrap,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PANEL_RIGHT = 14.0  # space at the right of panels, points


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
    """Draw curves in one plot, each with its name at the right end.

    Args:
        curves: at least one.
        xlabel: unit of the steps.
        ylabel: name and unit of the values; written above the axis.
        title: above the plot.
        reference: (value, label) of horizontal lines.
        marks: (step, label) of vertical lines, such as the best epoch.
        log_x: whether the step axis is logarithmic.
        ylim: "robust" clips the axis above most values; None shows all values.

    Returns: the figure; save it with `style.save_figure`.
    Raises: InputError if a curve is malformed or a step cannot be shown on the axis.
    """
    series = [Series.of(curve, log_x) for curve in curves]
    lines, marked = list(reference or []), list(marks or [])
    _check_plot(series, lines, marked, log_x)
    names = [wrap(text, TEXT_SIZE, 85) for text in [s.label for s in series] + [text for _, text in lines]]
    colours = [PALETTE[i % len(PALETTE)] for i in range(len(series))]
    levels = [value for value, _ in lines]
    page = _page_with_names((title, ylabel, xlabel), names)
    (axes,) = page.axes
    page.settle(draw_panel(axes, series, colours, log_x, ylim, levels))
    mark_steps(axes, marked)
    styles = [(c, DASHES[s.style]) for s, c in zip(series, colours, strict=True)] + [(MUTED, ":")] * len(lines)
    name_ends(axes, [s.end() for s in series] + levels, names, styles)
    return page.figure


def _check_plot(
    series: Sequence[Series], lines: Sequence[tuple[float, str]], marks: Sequence[tuple[float, str]], log_x: bool
) -> None:
    if not series:
        raise InputError("there is no curve to draw")
    if not np.isfinite([value for value, _ in lines] + [x for x, _ in marks]).all():
        raise InputError("reference lines and marks must be finite")
    if log_x and any(x <= 0 for x, _ in marks):
        raise InputError("marks must be positive on a log axis")


def _page_with_names(texts: tuple[str, str, str], names: Sequence[str]) -> Page:
    """A page with one plot and space for names at its right."""
    needed = sum(text_height(name, TEXT_SIZE) + 2 for name in names)
    widest = max(text_width(name, TEXT_SIZE) for name in names)
    return Page(texts, plot_height=max(145.0, needed), right=widest + 30 if widest else 12)


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
    """Draw several panels over the same steps, such as a bound and its terms.

    Args:
        panels: (title, curves) of each panel. A label has the same colour in all panels, with one legend above them;
            if there are more labels than colours, each panel has its own legend and colours.
        xlabel: unit of the steps.
        ylabel: name of the values, if it is the same in all panels.
        title: above all panels.
        columns: panels in a row; default: three, or two if that fills the rows better.
        log_x: whether the step axis is logarithmic.
        ylim: as in `learning_curves`, for each panel separately.

    Returns: the figure.
    Raises: InputError as in `learning_curves`.
    """
    content = panels_of((curves for _, curves in panels), log_x)
    columns = min(_usual_columns(len(content)) if columns is None else columns, len(content))
    wide = (WIDTH / UNIT - EDGE - PANEL_RIGHT + PANEL_GAP) / columns - PANEL_GAP
    legends = _legends(content, wide)
    page = Page(
        (title, ylabel, xlabel),
        plot_height=115.0 if columns > 1 else 145.0,
        right=PANEL_RIGHT,
        grid=(-(-len(content) // columns), columns),
        titles=[name + "\n" * len(rows) for (name, _), rows in zip(panels, legends.rows, strict=True)],
        legend=legends.common,
    )
    notes: list[str] = []
    for axes, series, looks in zip(page.axes, content, legends.looks, strict=True):
        notes += draw_panel(axes, series, [looks[s.label][0] for s in series], log_x, ylim, [])
    steps = np.concatenate([s.x for series in content for s in series])
    for axes in page.axes:
        limit_steps(axes, steps, log_x, ticks=3 if columns > 2 else 4)
    page.settle(_summary(notes))
    for i, rows in enumerate(legends.rows):
        draw_keys(page, i, rows, EDGE + i % columns * (wide + PANEL_GAP))
    return page.figure


class _Legends(NamedTuple):
    """The legends of several panels: a common one, or one for each panel.

    Args:      looks: colour and dashes of each label, by panel. common: the keys above all panels; empty if each
               panel has its own. rows: the rows of keys of each panel; empty if there is a common legend.
    """

    looks: list[dict[str, Look]]
    common: list[Key]
    rows: list[list[list[Key]]]


def _legends(content: Sequence[Sequence[Series]], wide: float) -> _Legends:
    """A common legend, unless there are more labels than colours. wide: of a panel, points."""
    common = looks_of((s.label, s.style) for series in content for s in series)
    if len(common) > len(PALETTE):
        apart = [looks_of((s.label, s.style) for s in series) for series in content]
        return _Legends(apart, [], [key_rows(looks, wide) for looks in apart])
    keys = [(label, *look) for label, look in common.items() if label]
    return _Legends([common] * len(content), keys, [[] for _ in content])


def _usual_columns(panels: int) -> int:
    """Three panels in a row, or two if that fills the rows better."""
    return 2 if panels in (2, 4) else 3


def _summary(notes: Sequence[str]) -> list[str]:
    """The notes of all panels; notes on several clipped axes are combined into one sentence."""
    if len(notes) <= 1:
        return list(notes)
    return sorted({"Axes clipped at the top." if "clipped" in note else note for note in notes})

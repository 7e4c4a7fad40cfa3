"""Horizontal bars with their values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from ancestral.core.errors import InputError
from ancestral.figures.style import PALETTE, TEXT_SIZE, Page, text_style, text_width

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PITCH = 17.0  # points from bar to bar


class Bar(NamedTuple):
    """One bar.

    Args:      label: at its left. value: its length, at least 0. text: at its right end. kind: its number, from 0;
               bars of one kind have one colour.
    """

    label: str
    value: float
    text: str
    kind: int = 0


def draw_bars(bars: Sequence[Bar], *, title: str, xlabel: str, kinds: Sequence[str] = ()) -> Figure:
    """Bars from top to bottom.

    Args:
        bars: at least one.
        title: above the bars.
        xlabel: below them, with the unit.
        kinds: name of each kind for the legend; empty for none.

    Raises: InputError if there is no bar.
    """
    if not bars:
        raise InputError("there is nothing to draw")
    legend = [(name, PALETTE[kind], "s") for kind, name in enumerate(kinds)]
    margin = max(text_width(bar.text, TEXT_SIZE) for bar in bars) + 12
    page = Page((title, "", xlabel), plot_height=PITCH * len(bars), right=margin, legend=legend)
    axes = page.axes[0]
    places = range(len(bars))
    axes.barh(places, [bar.value for bar in bars], height=0.68, color=[PALETTE[bar.kind] for bar in bars])
    axes.set(ylim=(len(bars) - 0.5, -0.5), xlim=(0, max(bar.value for bar in bars) or 1))
    axes.set_yticks(list(places), [bar.label for bar in bars])
    axes.grid(False, axis="y")
    for place, bar in enumerate(bars):
        offset, style = (4, 0), text_style(TEXT_SIZE)
        axes.annotate(bar.text, (bar.value, place), offset, textcoords="offset points", va="center", **style)
    page.settle([])
    return page.figure

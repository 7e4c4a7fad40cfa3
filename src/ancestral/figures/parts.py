"""Terms of a score: bars of the contribution of each latent, and histograms of each term over images."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ancestral.core.errors import InputError
from ancestral.figures.histograms import check_finite, draw_histograms
from ancestral.figures.series import looks_of
from ancestral.figures.style import MUTED, Page, as_floats

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from torch import Tensor

HEIGHT = 90.0  # of a panel, points


def parts_figure(
    parts: Mapping[str, Sequence[tuple[str, np.ndarray | Tensor]]],
    *,
    bars: np.ndarray | Tensor | None = None,
    filled: Sequence[bool] = (),
    bars_title: str = "",
    title: str = "",
    note: str = "",
) -> Figure:
    """Draw a panel of histograms for each term, two in a row, and before them a panel of bars if `bars` is given.

    Args:
        parts: (label, values) of each kind of values, by the title of the panel; a label has one colour in all panels.
        bars: (J,), sorted from large to small.
        filled: J booleans; bars with False are pale.
        bars_title: above the bars.
        title: above all panels.
        note: small print.

    Returns: the figure.
    Raises: InputError if there is nothing to draw or values are not finite.
    """
    kinds = {name: _as_kinds(of) for name, of in parts.items()}
    if not kinds:
        raise InputError("there is nothing to draw")
    looks = looks_of((label, "line") for of in kinds.values() for label, _ in of)
    titles = [*([bars_title] if bars is not None else []), *kinds]
    page = Page(
        (title, "", ""),
        plot_height=HEIGHT,
        right=14,
        grid=(math.ceil(len(titles) / 2), 2),
        titles=titles,
        legend=[(label, *look) for label, look in looks.items()],
    )
    panels = list(page.axes)
    if bars is not None:
        _draw_bars(panels.pop(0), as_floats("bars", bars), filled)
    beyond = sum(draw_histograms(axes, of, looks) for axes, of in zip(panels, kinds.values(), strict=True))
    page.settle([text for text in (note, f"{beyond:,} values are outside their panels." if beyond else "") if text])
    return page.figure


def _as_kinds(values: Sequence[tuple[str, np.ndarray | Tensor]]) -> list[tuple[str, np.ndarray]]:
    """The checked values of one panel by their labels."""
    kinds = [(label, as_floats(label, one)) for label, one in values]
    if not kinds:
        raise InputError("there is nothing to draw")
    check_finite(kinds)
    return kinds


def _draw_bars(axes: Axes, heights: np.ndarray, filled: Sequence[bool]) -> None:
    from matplotlib.ticker import MaxNLocator

    places = np.arange(1, len(heights) + 1)
    colours = [MUTED if full else "#c9ced6" for full in filled] if len(filled) else MUTED
    axes.bar(places, heights, width=0.8 if len(heights) < 60 else 1.0, color=colours)
    axes.grid(False, axis="x")
    axes.set_xlim(0.4, len(heights) + 0.6)
    axes.set_ylim(bottom=0)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(4))

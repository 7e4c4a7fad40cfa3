"""The parts of a score: bars of what each latent takes, and histograms of every part over images."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ancestral.core.errors import InputError
from ancestral.figures.histograms import draw_histograms
from ancestral.figures.series import DASHES
from ancestral.figures.style import MUTED, PALETTE, Page, as_floats

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
    """Draw a panel of histograms for each part, two in a row, and first, where there are, bars from large to small.

    Args:
        parts: title of a panel to its kinds of values, (label, values) each; a label has one colour everywhere.
        bars: (J,), sorted already.
        filled: J truths: bars that are false are pale.
        bars_title: above them.
        title: above all.
        note: small print.

    Returns: the figure.
    Raises: InputError where there is nothing to draw or values are not finite.
    """
    kinds = {name: [(label, as_floats(label, values)) for label, values in of] for name, of in parts.items()}
    if not kinds or not all(kinds.values()):
        raise InputError("there is nothing to draw")
    if not all(np.isfinite(values).all() for of in kinds.values() for _, values in of):
        raise InputError("some values are not finite (NaN or infinite) and have no place in a histogram")
    labels = list(dict.fromkeys(label for of in kinds.values() for label, _ in of))
    colours: dict[str, str] = dict(zip(labels, PALETTE, strict=False))
    titles = [*([bars_title] if bars is not None else []), *kinds]
    page = Page(
        (title, "", ""),
        plot_height=HEIGHT,
        right=14,
        grid=(math.ceil(len(titles) / 2), 2),
        titles=titles,
        legend=[(label, colours[label], DASHES["line"]) for label in labels],
    )
    panels = list(page.axes)
    notes = [note] if note else []
    if bars is not None:
        _draw_bars(panels.pop(0), as_floats("bars", bars), filled)
    beyond = sum(draw_histograms(axes, of, colours) for axes, of in zip(panels, kinds.values(), strict=True))
    if beyond:
        notes.append(f"{beyond:,} values lie beyond their panels.")
    page.settle(notes)
    return page.figure


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

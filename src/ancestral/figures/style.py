"""The common style of all figures: sizes, colours, measured text, and saving.

Each figure is drawn on its own Agg canvas with explicit styles, without pyplot and rcParams. So there is no global
state, no display is needed, and figures can be drawn in several threads.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ancestral.core.errors import InputError
from ancestral.core.files import write_atomically
from ancestral.figures.png import png_bytes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# 4.8 inches: at this width, text of 9 points is still 9 pixels high on a phone with 360 pixels
WIDTH_INCHES = 4.8
DPI = 250
FONT = "DejaVu Sans"  # part of matplotlib, so figures are the same on every machine
INK, MUTED, RULE = "#1f2328", "#5c6370", "#dfe2e6"
# the palette of Okabe and Ito, which colour-blind readers can distinguish; darker colours first
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#1f2328")
TITLE_SIZE, TEXT_SIZE, SMALL_SIZE = 11.0, 9.0, 8.0
LINE_HEIGHT = 1.25
UNIT = DPI / 72  # pixels in a point
WIDTH = round(WIDTH_INCHES * DPI)
EDGE, PANEL_GAP = 8.0, 10.0  # points
MARKS = ("o", "^", "s")  # markers of points
FORMATS: dict[str, dict[str, Any]] = {
    "png": {},
    "jpg": {"pil_kwargs": {"quality": 95, "subsampling": 0}},
    "pdf": {"metadata": {"CreationDate": None, "Creator": None, "Producer": None}},
    "svg": {"metadata": {"Date": None, "Creator": None}},
}
"""Formats of picture files, with options of matplotlib that leave out dates and versions."""
_SAVING = threading.Lock()  # because the salt of SVG is a global setting


def new_figure(width: float, height: float, dpi: float = DPI) -> Figure:
    """An empty white figure on its own Agg canvas, sized in pixels."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    # Agg rounds the size down; the added 0.001 keeps 1200 from becoming 1199
    figure = Figure(figsize=((width + 1e-3) / dpi, (height + 1e-3) / dpi), dpi=dpi, facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def style_axes(axes: Axes) -> None:
    """Apply the common style of plots: light grid, no box, small grey tick labels."""
    axes.set_facecolor("white")
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set(color=MUTED, linewidth=0.7)
    axes.grid(True, color=RULE, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(length=0, pad=4, labelsize=TEXT_SIZE, labelcolor=MUTED, labelfontfamily=FONT, colors=MUTED)


def text_style(size: float = TEXT_SIZE, color: str = INK, **more: Any) -> dict[str, Any]:
    """Keyword arguments for texts; dollar signs are shown as they are, not read as mathematics."""
    return {"fontfamily": FONT, "fontsize": size, "color": color, "parse_math": False, **more}


def text_width(text: str, size: float, weight: str = "normal") -> float:
    """Width in points of the longest line of a text."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    font = FontProperties(family=FONT, size=size, weight=weight)
    lines = [line for line in text.split("\n") if line]
    return max((text_to_path.get_text_width_height_descent(line, font, False)[0] for line in lines), default=0)


def wrap(text: str, size: float, width: float, weight: str = "normal") -> str:
    """Break a text at spaces so that lines fit into a width in points, unless a single word is wider."""
    lines: list[str] = []
    for paragraph in text.split("\n"):
        line = ""
        for word in paragraph.split():
            longer = f"{line} {word}" if line else word
            if line and text_width(longer, size, weight) > width:
                lines.append(line)
                longer = word
            line = longer
        lines.append(line)
    return "\n".join(lines)


def text_height(text: str, size: float) -> float:
    """Height in points of a text of one or more lines; 0 for an empty one."""
    return size * LINE_HEIGHT * (text.count("\n") + 1) if text else 0.0


def save_figure(figure: Figure, path: str | Path, *, dpi: float | None = None) -> None:
    """Write a figure to a file atomically; the same figure gives the same bytes.

    Args:
        figure: the figure.
        path: a file ending in .png, .jpg, .pdf or .svg; a missing folder is created.
        dpi: resolution; default: that of the figure, at which images in a .png file are pixel-exact.

    Raises: InputError for another ending or a path that cannot be written.
    """
    path = Path(path)
    ending = path.suffix.lower().removeprefix(".")
    if ending not in FORMATS:
        raise InputError(f"{path}: choose a file name that ends in {', '.join(f'.{one}' for one in FORMATS)}")
    buffer = BytesIO()
    with _SAVING:
        _write(figure, buffer, ending, dpi or figure.dpi)
    write_picture(path, buffer.getvalue())


def write_picture(path: Path, content: bytes) -> None:
    """Write the content of a picture file, atomically.

    Raises:    InputError: the path cannot be written.
    """
    try:
        write_atomically(path, content)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}") from error


def _write(figure: Figure, buffer: BytesIO, ending: str, dpi: float) -> None:
    """Write a figure without a date and without random names; SVG has random names unless a salt is given."""
    import matplotlib

    if ending == "png":
        buffer.write(png_bytes(figure, dpi))
        return
    salt = matplotlib.rcParams["svg.hashsalt"]
    matplotlib.rcParams["svg.hashsalt"] = "ancestral"
    try:
        figure.savefig(buffer, format=ending, dpi=dpi, **FORMATS[ending])
    finally:
        matplotlib.rcParams["svg.hashsalt"] = salt


def as_floats(name: str, values: Any) -> np.ndarray:
    """A sequence, array or tensor as a flat float64 array; raises InputError otherwise."""
    try:
        array = np.asarray(values.detach().cpu().double() if hasattr(values, "detach") else values, np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"{name} must be numbers") from error
    if array.ndim != 1 or not array.size:
        raise InputError(f"{name} must be a non-empty list of numbers, got shape {array.shape}")
    return array


class Page:
    """Layout of title, legend, plots and notes of a figure; lengths in points, from the top left.

    Args:
        texts: title, label of the y axis, label of the x axis.
        plot_height: height of each plot; None for square plots.
        right: space at the right of the plots.
        grid: rows and columns of plots.
        titles: title of each plot.
        legend: (label, colour, dashes) of each key.
    """

    def __init__(
        self,
        texts: tuple[str, str, str],
        *,
        plot_height: float | None,
        right: float,
        grid: tuple[int, int] = (1, 1),
        titles: Sequence[str] = ("",),
        legend: Sequence[tuple[str, str, Any]] = (),
    ) -> None:
        width = WIDTH / UNIT - 2 * EDGE
        title, ylabel, self.xlabel = texts
        self.title = wrap(title, TITLE_SIZE, width, "bold")
        self.ylabel = wrap(ylabel, TEXT_SIZE, width)
        self.plot_height, self.right, self.legend = plot_height, right, legend
        self.rows, self.columns = grid
        self.titles = [wrap(text, TEXT_SIZE, width / grid[1] - 12, "bold") for text in titles]
        self.figure = new_figure(WIDTH, WIDTH)
        self.axes = [self.figure.add_subplot(*grid, i + 1) for i in range(len(titles))]
        for axes in self.axes:
            style_axes(axes)

    def settle(self, notes: list[str]) -> None:
        """Measure the content, set the size of the figure, and place all parts."""
        width = WIDTH / UNIT
        gutter = self._gutter()
        across = (width - EDGE - self.right + PANEL_GAP) / self.columns
        plot_width = across - gutter - PANEL_GAP
        plot_height = plot_width if self.plot_height is None else self.plot_height
        note = wrap(" ".join(notes), SMALL_SIZE, width - 2 * EDGE)
        quiet, strong = text_style(TEXT_SIZE, MUTED), text_style(TEXT_SIZE, fontweight="bold")
        texts = [(EDGE, EDGE, self.title, text_style(TITLE_SIZE, fontweight="bold"))]
        y = EDGE + text_height(self.title, TITLE_SIZE)
        texts.append((EDGE, y, self.ylabel, quiet))
        y += text_height(self.ylabel, TEXT_SIZE) + 2
        keys, top = self._legend_places(y)
        head = max(text_height(text, TEXT_SIZE) for text in self.titles) + 6
        pitch = head + plot_height + 16  # tick labels
        y = top + self.rows * pitch
        middle = (EDGE + gutter + width - self.right - text_width(self.xlabel, TEXT_SIZE)) / 2
        texts.append((middle, y, self.xlabel, quiet))
        y += text_height(self.xlabel, TEXT_SIZE) + 2
        texts.append((EDGE, y, note, text_style(SMALL_SIZE, MUTED)))
        height = y + text_height(note, SMALL_SIZE) + EDGE - 2
        self.figure.set_size_inches(width / 72, height / 72)
        for i, axes in enumerate(self.axes):
            x, up = EDGE + i % self.columns * across, top + i // self.columns * pitch
            texts.append((x, up, self.titles[i], strong))
            bottom = height - up - head - plot_height
            axes.set_position(((x + gutter) / width, bottom / height, plot_width / width, plot_height / height))
        for x, y, text, style in texts:
            # each line is placed by its baseline, because matplotlib aligns blocks by their bounding boxes
            for k, line in enumerate(text.split("\n")):
                down = y + style["fontsize"] * (1 + k * LINE_HEIGHT)
                self.figure.text(x / width, 1 - down / height, line, **style)
        for x, y, label, colour, dashes in keys:
            draw_key(self.figure, (x, x + 7, x + 14), (height - y - 6,) * 3, colour, dashes)
            self.figure.text((x + 18) / width, 1 - (y + TEXT_SIZE) / height, label, **text_style())

    def _gutter(self) -> float:
        """Space in points for the widest tick label of the y axes."""
        self.figure.draw_without_rendering()
        labels = [label for axes in self.axes for label in axes.get_yticklabels()]
        return max((label.get_window_extent().width for label in labels), default=0) / UNIT + 6

    def _legend_places(self, y: float) -> tuple[list[tuple[Any, ...]], float]:
        keys, x = [], EDGE
        for label, colour, dashes in self.legend:
            wide = text_width(label, TEXT_SIZE) + 32
            if x > EDGE and x + wide > WIDTH / UNIT:
                x, y = EDGE, y + TEXT_SIZE * LINE_HEIGHT + 1
            keys.append((x, y, label, colour, dashes))
            x += wide
        return keys, y + (TEXT_SIZE * LINE_HEIGHT + 5 if keys else 0)


def draw_key(figure: Any, x: Sequence[float], y: Sequence[float] | np.ndarray, colour: str, dashes: Any) -> None:
    """Draw the legend key of a curve in the margin; coordinates in points from the bottom left."""
    from matplotlib.lines import Line2D

    width, height = WIDTH / UNIT, figure.bbox.height / UNIT
    style = "" if dashes in MARKS else dashes
    line = Line2D(np.asarray(x) / width, np.asarray(y) / height, color=colour, linewidth=1.6, linestyle=style)
    if dashes == "":
        line.set(marker="o", markersize=2.6, markevery=[1])
    elif dashes in MARKS:
        line.set(marker=dashes, markersize=5.0, markeredgewidth=0, markevery=[1])
    figure.add_artist(line)

"""Matplotlib figures in a notebook."""

from __future__ import annotations

import struct
from io import BytesIO
from typing import TYPE_CHECKING, Any

from ancestral.core.notebook import in_notebook

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDTH = 720  # maximum width of a figure in CSS pixels


def show_figures() -> None:
    """Make a notebook display figures as pictures, as pyplot would; outside a notebook this does nothing.

    Figures of this package are drawn without pyplot. A display function that is already registered is kept.
    """
    if not in_notebook():
        return
    from IPython.core.getipython import get_ipython  # pyright: ignore[reportMissingImports]
    from matplotlib.figure import Figure

    shell: Any = get_ipython()
    formatter = shell.display_formatter.formatters["image/png"]
    if Figure not in formatter.type_printers:
        formatter.for_type(Figure, _png)


def _png(figure: Figure) -> tuple[bytes, dict[str, int]]:
    """The figure as PNG, and its display size: at most `WIDTH`, so that high-resolution screens use all pixels."""
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=figure.dpi)
    content = buffer.getvalue()
    width, height = struct.unpack(">II", content[16:24])
    scale = min(1.0, WIDTH / width)
    return content, {"width": round(scale * width), "height": round(scale * height)}

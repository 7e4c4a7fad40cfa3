"""Trees over the pixels of an image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ancestral.core.errors import InputError
from ancestral.figures.style import PALETTE, Page

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from torch import Tensor

WIDEST = 2.5  # points, of the edge with the largest value
THINNEST = 0.15


@dataclass
class PixelTree:
    """A tree over the pixels of an image.

    Args:
        image: (1 or 3, H, W) in [0, 1], drawn below the tree.
        edges: (D - 1, 2) numbers of pixels, in the order (channel, row, column).
        values: (D - 1,) values of the edges, not negative; larger values have wider lines.
        root: number of a pixel.
    """

    image: np.ndarray | Tensor
    edges: np.ndarray | Tensor
    values: np.ndarray | Tensor
    root: int


def tree_figure(trees: Sequence[PixelTree], titles: Sequence[str], *, title: str = "", note: str = "") -> Figure:
    """Draw trees over their images, at most two in a row. All trees have the same scale of widths.

    Args:
        trees: at least one.
        titles: one for each tree.
        title: above all trees.
        note: small print.

    Returns: the figure.
    Raises: InputError if there is no tree, or not one title for each.
    """
    if not trees or len(titles) != len(trees):
        raise InputError(f"{len(titles)} titles given for {len(trees)} trees")
    top = max((float(np.max(np.asarray(tree.values), initial=0)) for tree in trees), default=0) or 1.0
    columns = min(2, len(trees))
    page = Page(
        (title, "", ""), plot_height=None, right=14, grid=(-(-len(trees) // columns), columns), titles=list(titles)
    )
    for axes, tree in zip(page.axes, trees, strict=True):
        _draw(axes, tree, top)
    page.settle([note] if note else [])
    return page.figure


def _draw(axes: Axes, tree: PixelTree, top: float) -> None:
    from matplotlib.collections import LineCollection

    image, edges = np.asarray(tree.image, float), np.asarray(tree.edges)
    height, width = image.shape[1:]
    shown = np.broadcast_to(image, (3, height, width)).transpose(1, 2, 0)
    axes.imshow(1 - 0.35 * shown, interpolation="nearest")  # light, so that lines are visible on it
    rows, columns = np.divmod(edges % (height * width), width)
    lines = np.stack([columns, rows], 2)  # (D - 1, 2 ends, x and y)
    widths = THINNEST + (WIDEST - THINNEST) * np.asarray(tree.values, float) / top
    axes.add_collection(LineCollection(list(lines), linewidths=widths, colors=PALETTE[0], capstyle="round"))
    row, column = divmod(tree.root % (height * width), width)
    axes.plot([column], [row], "o", color=PALETTE[1], markersize=4)
    axes.grid(False)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines["bottom"].set_visible(False)

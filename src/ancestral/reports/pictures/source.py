"""Examples of a data set, by class."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ancestral.runs.run_data import RunData

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def source_sheet(data: RunData, classes: int, columns: int) -> Figure:
    """The first training images of each class, a row each; without labels the first images; points as they are drawn.

    Args:      classes: rows at most. columns: images in a row.
    """
    train = data.dataset.train
    if not data.dataset.levels:
        return data.picture(train.first(data.pictured).images, title=data.name)
    from ancestral.figures.grids import image_grid

    if train.labels is None:
        images = _unit(train.first(classes * columns).images, data.dataset.levels)
        return image_grid(images, columns=columns, title=f"{data.name}: training images")
    present = [label for label in train.labels.unique().tolist() if label >= 0]
    shown = present[:classes]
    rows = [
        _row(train.where(train.labels == label).first(columns).images, columns, data.dataset.levels) for label in shown
    ]
    names = [data.classes[label] if data.classes else str(label) for label in shown]
    more = f" ({len(shown)} of {len(present)})" if len(shown) < len(present) else ""
    return image_grid(
        torch.cat(rows), columns=columns, row_titles=names, title=f"{data.name}: training images by class{more}"
    )


def _row(images: Tensor, columns: int, levels: int) -> Tensor:
    """Images of one class, filled up with white ones."""
    blank = torch.ones(columns - len(images), *images.shape[1:])
    return torch.cat([_unit(images, levels), blank])


def _unit(images: Tensor, levels: int) -> Tensor:
    return images.float() / (levels - 1)

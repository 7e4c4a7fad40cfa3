"""How ragged strokes are: the share of ink that no other ink touches."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def isolated_pixels(images: Tensor) -> float:
    """The share of ink pixels none of whose eight neighbours is ink, among all ink pixels of the images.

    Strokes leave next to none; pixels that are drawn independently of each other leave some wherever ink is rare.

    Args:      images: zeros and ones, shape (N, 1, H, W), 1 is ink.
    Raises:    ValueError: there is no ink.
    Example:
        >>> dot_and_stroke = torch.tensor([[1.0, 0.0, 1.0], [0.0, 0.0, 1.0]])
        >>> round(isolated_pixels(dot_and_stroke[None, None]), 4)
        0.3333
    """
    ring = torch.ones(1, 1, 3, 3)
    ring[0, 0, 1, 1] = 0
    ink = images.float()
    if not bool(ink.any()):
        raise ValueError("images without ink have no strokes")
    touched = F.conv2d(ink, ring, padding=1) > 0
    return (ink[~touched].sum() / ink.sum()).item()

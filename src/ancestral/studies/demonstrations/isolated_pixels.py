"""The share of isolated ink pixels, a measure of pixel noise."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def isolated_pixels(images: Tensor) -> float:
    """The share of ink pixels that have no ink among their eight neighbours.

    Strokes have almost no such pixels; pixels that are sampled independently have them where ink is rare.

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
        raise ValueError("the images have no ink pixels")
    touched = F.conv2d(ink, ring, padding=1) > 0
    return (ink[~touched].sum() / ink.sum()).item()

"""Autoregressive models small enough to sum over all images."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ancestral.families.autoregressive.made import MADE
from ancestral.families.autoregressive.pixelcnn import PixelCNN
from ancestral.families.tiny import with_larger_weights
from ancestral.models.base import Model


def tiny_made(shape: tuple[int, ...] = (1, 3, 3), *output: object, **settings: object) -> Model:
    """A MADE with smooth activation functions."""
    return with_larger_weights(MADE(shape, *output, **{"hidden": [8], "activation": "tanh", **settings}))  # type: ignore[arg-type]


def tiny_pixelcnn(shape: tuple[int, ...] = (1, 3, 3), *output: object, **settings: object) -> Model:
    """A PixelCNN with one block."""
    small = {"channels": 8, "hidden": 4, "blocks": 1, "first_kernel": 3, "components": 2}
    return with_larger_weights(PixelCNN(shape, *output, **small, **settings))  # type: ignore[arg-type]


CLASSES: dict[str, Any] = {"classes": 3, "proportions": [0.5, 0.2, 0.3]}
VECTOR: tuple[tuple[float, float], ...] = ((3.0, 2.0), (-1.0, 0.5))  # mean and standard deviation of two entries
MADES: dict[str, Callable[[], Model]] = {
    "made": lambda: tiny_made(),
    "made, deep": lambda: tiny_made(hidden=[8, 5, 11], direct=False),
    "made, three orderings": lambda: tiny_made(hidden=[9, 7], orderings=3),
    "made, categorical": lambda: tiny_made((1, 2, 2), "categorical", 3, orderings=2),
    "made, logistic": lambda: tiny_made((1, 2, 2), "logistic", 4, components=2),
    "fully visible belief net": lambda: tiny_made(hidden=[]),
    "made, conditional": lambda: tiny_made(hidden=[8, 5], **CLASSES),
    "made, given a vector": lambda: tiny_made((1, 2, 2), hidden=[5], vector=VECTOR),
    "made, conditional, two orderings": lambda: tiny_made((1, 2, 2), "categorical", 3, orderings=2, **CLASSES),
}
PIXELCNNS: dict[str, Callable[[], Model]] = {
    "pixelcnn": lambda: tiny_pixelcnn(),
    "pixelcnn, categorical": lambda: tiny_pixelcnn((1, 2, 2), "categorical", 3),
    "pixelcnn, zero flag, positions": lambda: tiny_pixelcnn((1, 2, 2), "zero-flag", 3, frequent=2, positions=True),
    "pixelcnn, logistic, colour": lambda: tiny_pixelcnn((3, 1, 2), "logistic", 3),
    "pixelcnn, conditional": lambda: tiny_pixelcnn(**CLASSES),
    "pixelcnn, given a vector": lambda: tiny_pixelcnn((1, 2, 2), vector=VECTOR),
    "pixelcnn, conditional, colour": lambda: tiny_pixelcnn((3, 1, 2), "logistic", 3, **CLASSES),
}

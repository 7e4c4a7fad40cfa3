"""Mixtures small enough to sum over all images."""

from __future__ import annotations

from collections.abc import Callable

import torch

from ancestral.families.mixture.model import MixtureOfBernoullis
from ancestral.models.base import Model


def conditional_mixture() -> MixtureOfBernoullis:
    """Two components for each of three classes, all with different probabilities."""
    model = MixtureOfBernoullis([1, 3, 3], components=6, weight_scale=1.5, classes=3)
    with torch.no_grad():
        model.b.copy_(torch.tensor([0.0, 0.5, 1.0, -1.0, 0.2, -0.3]))
    return model


TINY: dict[str, Callable[[], Model]] = {
    "mixture": lambda: MixtureOfBernoullis([1, 3, 3], components=4, weight_scale=1.5),
    "mixture, conditional": lambda: conditional_mixture(),
    "mixture of one": lambda: MixtureOfBernoullis([1, 3, 3], components=1, weight_scale=1.5),
}

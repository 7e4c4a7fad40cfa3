"""Mixtures small enough to sum over all images."""

from __future__ import annotations

from collections.abc import Callable

from ancestral.families.mixture.model import MixtureOfBernoullis
from ancestral.models.base import Model

TINY: dict[str, Callable[[], Model]] = {
    "mixture": lambda: MixtureOfBernoullis([1, 3, 3], components=4, weight_scale=1.5),
    "mixture, conditional": lambda: MixtureOfBernoullis([1, 3, 3], components=6, weight_scale=1.5, classes=3),
    "mixture of one": lambda: MixtureOfBernoullis([1, 3, 3], components=1, weight_scale=1.5),
}

"""Defaults that depend on the family."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from ancestral.settings.checks import check_fields
from ancestral.settings.data import PixelSpaceName


@dataclass(frozen=True)
class FamilySettings:
    """Base of every family's flags: defaults that depend on the family, for a family to override.

    Values are checked as they are constructed: types, choices, and upper bounds. A `__post_init__` of a family's own
    calls that of this class first.
    """

    default_pixels: ClassVar[PixelSpaceName] = "threshold"
    rich_pixels: ClassVar[PixelSpaceName | None] = None
    """for images of one's own with colour or many levels; None where the family has binary pixels only"""
    former_defaults: ClassVar[dict[str, Any]] = {}
    """defaults of earlier versions, by name: a run that was started with one is resumed with it"""
    network_settings: ClassVar[Mapping[str, str]] = {}
    """settings that only describe networks, by the networks that replace them when a person gives all of them"""
    default_learning_rate: ClassVar[float] = 1e-3
    default_beta1: ClassVar[float] = 0.9
    of_beginnings: ClassVar[tuple[str, ...]] = ()
    """settings for untrained weights alone: a run that starts from trained ones does not take them over"""
    upper_bounds: ClassVar[Mapping[str, float]] = {}
    """upper bounds of numbers by name, where the usual ones do not fit: 2^20 for whole numbers, 10^6 for others"""

    def __post_init__(self) -> None:
        check_fields(self, self.upper_bounds)

    def with_smooth_output(self) -> Self:
        """The same settings with the discretised logistic distribution where the distribution of a pixel is left open.

        It is for images of many levels, where a probability for each level would be too much to learn.
        """
        return self

    def unused(self, points: bool | None) -> dict[str, str]:
        """Settings that have no effect beside the others, by name, and the reason in words.

        Args:      points: whether the data are points (True) or images (False), None where that is not known.
        """
        return {}

    def replaced(self, given: Collection[str]) -> dict[str, str]:
        """Settings that are not the default and have no effect beside networks of a person's own, and the reason.

        Args:      given: names of the networks.
        """
        found = {}
        for networks, settings in self.network_settings.items():
            if set(networks.split()) <= set(given):
                reason = f"{' and '.join(networks.split())} of one's own replace it"
                found |= {n: reason for n in settings.split() if getattr(self, n) != getattr(type(self)(), n)}
        return found

    @property
    def stretched(self) -> tuple[str, ...]:
        """Names of the settings in use that follow a course over all epochs of a training, which more epochs would
        change: such a training cannot be extended.
        """
        return ()

    @property
    def labelled_only(self) -> bool:
        """Whether only images with a label can be trained on; the others are then left out, and that is said."""
        return False

    @property
    def has_learning_rate(self) -> bool:
        """Whether the training follows a gradient at a learning rate; false for expectation-maximisation, say."""
        return True

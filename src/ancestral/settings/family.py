"""Defaults that depend on the family."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ancestral.settings.data import PixelSpaceName


@dataclass(frozen=True)
class FamilySettings:
    """Base of every family's flags: defaults that depend on the family, for a family to override."""

    default_pixels: ClassVar[PixelSpaceName] = "threshold"
    default_learning_rate: ClassVar[float] = 1e-3
    default_beta1: ClassVar[float] = 0.9

    @property
    def has_learning_rate(self) -> bool:
        """Whether the training follows a gradient at a learning rate; false for expectation-maximisation, say."""
        return True

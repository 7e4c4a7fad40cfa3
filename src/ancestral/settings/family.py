"""What suits a family where the user does not say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ancestral.settings.data import PixelSpaceName


@dataclass(frozen=True)
class FamilySettings:
    """Base of every family's flags: defaults of flags that all families share, for a family to override."""

    default_pixels: ClassVar[PixelSpaceName] = "threshold"
    default_learning_rate: ClassVar[float] = 1e-3
    default_beta1: ClassVar[float] = 0.9

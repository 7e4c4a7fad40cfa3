"""Base class of the settings of a family."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from ancestral.settings.checks import check_fields
from ancestral.settings.data import PixelSpaceName


@dataclass(frozen=True)
class FamilySettings:
    """Base class of the settings of a family. The class variables are defaults that a family can override.

    The constructor checks types, choices and upper bounds. A subclass with its own `__post_init__` calls this one
    first.
    """

    default_pixels: ClassVar[PixelSpaceName] = "threshold"
    rich_pixels: ClassVar[PixelSpaceName | None] = None
    """pixels for the user's own images with colour or many levels; None if the family needs binary pixels"""
    former_defaults: ClassVar[dict[str, Any]] = {}
    """defaults of earlier versions, by name; a run that was started with one is resumed with it"""
    network_settings: ClassVar[Mapping[str, str]] = {}
    """settings that describe networks. Key: the networks; if the user gives all of these, the settings are not used"""
    default_learning_rate: ClassVar[float] = 1e-3
    default_beta1: ClassVar[float] = 0.9
    not_inherited: ClassVar[tuple[str, ...]] = ()
    """settings of the initial weights; a run that starts from trained weights does not copy them"""
    upper_bounds: ClassVar[Mapping[str, float]] = {}
    """upper bounds of numbers, by name (defaults: 2^16 for whole numbers, 10^6 for others)"""

    def __post_init__(self) -> None:
        check_fields(self, self.upper_bounds)

    def with_smooth_output(self) -> Self:
        """The same settings with the discretised logistic distribution, if the distribution of a pixel was not chosen.

        It is for images with many levels, where a separate probability for each level is too much to learn.
        """
        return self

    def with_classes(self, classes: int | None) -> Self:
        """The same settings with the number of classes of the data, where a setting needs it and it was not given.

        Args:      classes: of the data; None without labels.
        Raises:    InputError: the settings need classes and the data have none.
        """
        return self

    def unused(self, points: bool | None) -> dict[str, str]:
        """Settings that have no effect given the others: the reason, by name of the setting.

        Args:      points: True if the data are points, False if they are images, None if not known.
        """
        return {}

    def replaced(self, given: Collection[str]) -> dict[str, str]:
        """Settings that were changed but have no effect because the user gives networks: the reason, by name.

        Args:      given: names of the networks that the user gives.
        """
        found = {}
        for networks, settings in self.network_settings.items():
            if set(networks.split()) <= set(given):
                reason = f"your own {' and '.join(networks.split())} replace it"
                found |= {n: reason for n in settings.split() if getattr(self, n) != getattr(type(self)(), n)}
        return found

    @property
    def full_length_schedules(self) -> tuple[str, ...]:
        """Names of the settings in use that are schedules over all epochs. More epochs would change the schedule, so
        such a training cannot be extended.
        """
        return ()

    @property
    def labelled_only(self) -> bool:
        """Whether training needs labels. Images without a label are then left out, with a notice."""
        return False

    @property
    def fitted_start(self) -> bool:
        """Whether the initial weights are fitted to the training data, so that the first loss is already low."""
        return False

    @property
    def has_learning_rate(self) -> bool:
        """Whether the training uses a learning rate; False for expectation-maximisation, for example."""
        return True

"""Flags of the mixture of Bernoullis."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from ancestral.settings.checks import check_numbers
from ancestral.settings.family import FamilySettings


@dataclass(frozen=True)
class MixtureSettings(FamilySettings):
    """Mixture of Bernoullis: exact log-likelihood of binary pixels."""

    default_learning_rate: ClassVar[float] = 1e-2

    components: int = 20
    """K, the number of values of the latent"""
    method: Literal["gradient", "em"] = "gradient"
    """gradient of the log-likelihood, or expectation-maximisation"""
    smoothing: float = 0.05
    """em: pseudo-counts of black and of white per pixel and component, so that nothing is impossible"""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_numbers(self, "components", 1)
        check_numbers(self, "smoothing", 0, above=True)

    def unused(self, points: bool | None) -> dict[str, str]:
        return {} if self.method == "em" else {"smoothing": "only used with --method em"}

    @property
    def has_learning_rate(self) -> bool:
        return self.method == "gradient"

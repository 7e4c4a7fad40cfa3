"""Settings of the mixture of Bernoullis."""

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
    """number K of mixture components; with --conditional, of each class"""
    conditional: bool = False
    """components for each class of labelled data. Labels of -1 are summed out"""
    method: Literal["gradient", "em"] = "gradient"
    """training method: gradient ascent on the log-likelihood, or expectation-maximisation (em)"""
    smoothing: float = 0.05
    """em: pseudo-count of 0 and of 1 for each pixel and component; it keeps every probability above 0"""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_numbers(self, "components", 1)
        check_numbers(self, "smoothing", 0, above=True)

    def unused(self, points: bool | None) -> dict[str, str]:
        return {} if self.method == "em" else {"smoothing": "only used with --method em"}

    @property
    def has_learning_rate(self) -> bool:
        return self.method == "gradient"

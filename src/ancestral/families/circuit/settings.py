"""Settings of the probabilistic circuits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from ancestral.core.errors import InputError
from ancestral.settings.checks import check_numbers
from ancestral.settings.data import PixelSpaceName
from ancestral.settings.family import FamilySettings

LeafName = Literal["auto", "bernoulli", "categorical", "logistic", "gaussian"]


@dataclass(frozen=True)
class CircuitSettings(FamilySettings):
    """Probabilistic circuit, a mixture of hidden Chow-Liu trees: exact probabilities of any set of pixels."""

    rich_pixels: ClassVar[PixelSpaceName | None] = "levels"
    default_learning_rate: ClassVar[float] = 3e-2
    of_beginnings: ClassVar[tuple[str, ...]] = ("start",)

    states: int = 32
    """number K of hidden states of each pixel; 1: no hidden states, the Chow-Liu tree over the pixels themselves"""
    components: int = 1
    """number of trees in the mixture; with --conditional, the number of trees of each class"""
    conditional: bool = False
    """trees for each class of labelled data. Labels of -1 are summed out"""
    output: LeafName = "auto"
    """distribution of a pixel given its state; auto: bernoulli for binary pixels, categorical for up to 32 levels,
    logistic for more, gaussian (a density) for the real columns of a table"""
    method: Literal["minibatch-em", "em", "gradient"] = "minibatch-em"
    """training method: expectation-maximisation with an update after each batch, with one after each epoch (em), or
    gradient ascent on the log-likelihood. With --states 1, both EM methods count pairs of pixels over an epoch"""
    assignment: Literal["cluster", "posterior"] = "cluster"
    """EM of several trees without classes: each image trains the tree of its cluster (k-means; fast), or all trees,
    with their posterior probabilities as weights"""
    start: Literal["patches", "random"] = "patches"
    """initial hidden states: clusters of the blurred patches around each pixel (tables: of each column and its
    neighbours in the tree), or random"""
    smoothing: float = 0.05
    """EM: pseudo-count of each conditional distribution, spread evenly over its values; it keeps every probability
    above 0"""
    first_step: float = 0.3
    """minibatch-em: weight of the first batch in the running counts; the weight decays geometrically"""
    last_step: float = 0.005
    """minibatch-em: weight of the last batch in the running counts"""

    upper_bounds: ClassVar[Mapping[str, float]] = {"components": 10_000}

    def __post_init__(self) -> None:
        super().__post_init__()
        check_numbers(self, "states components", 1)
        check_numbers(self, "smoothing first_step last_step", 0, above=True)
        for name in ("first_step", "last_step"):
            if getattr(self, name) > 1:
                raise InputError(f"--{name.replace('_', '-')} {getattr(self, name)}: give a number of at most 1")

    def unused(self, points: bool | None) -> dict[str, str]:
        found: dict[str, str] = {}
        if not self.running:
            reason = "only used with --method minibatch-em and --states above 1"
            found |= dict.fromkeys(("first_step", "last_step"), reason)
        if self.method == "gradient":
            found["smoothing"] = "only used with --method em or minibatch-em"
        if self.method == "gradient" or self.conditional or self.components == 1:
            found["assignment"] = "only used by EM with several --components and without --conditional"
        if self.states == 1:
            reason = "the tree of --states 1 has no hidden states"
            found |= {"start": reason, "output": reason}
        return found

    @property
    def running(self) -> bool:
        """Whether the training keeps running counts, whose step size decays over all steps."""
        return self.method == "minibatch-em" and self.states > 1

    @property
    def stretched(self) -> tuple[str, ...]:
        return ("method",) if self.running else ()

    @property
    def fitted_start(self) -> bool:
        return self.start == "patches" and self.states > 1

    @property
    def has_learning_rate(self) -> bool:
        return self.method == "gradient"

"""Settings of the sigmoid belief nets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from ancestral.core.errors import InputError
from ancestral.settings.checks import check_numbers, shown
from ancestral.settings.family import FamilySettings

MOST_EXACT = 20
"""Largest number M of latents for which each step can sum over all 2^M states."""


@dataclass(frozen=True)
class BeliefNetSettings(FamilySettings):
    """Sigmoid belief net with binary latents: exact log-likelihood for one small layer, else a lower bound."""

    default_learning_rate: ClassVar[float] = 1e-2

    latents: tuple[int, ...] = (8,)
    """number of binary latents of each layer, the layer nearest the image first"""
    method: Literal["exact", "vimco", "score", "wake-sleep"] = "exact"
    """exact: sum over all states of one layer of at most 20 latents. The other methods learn a recognition network:
    vimco (bound of several samples), score (score-function gradient with a learned baseline, one sample) or wake-sleep
    (reweighted wake-sleep)"""
    particles: int = 5
    """vimco, wake-sleep: samples of z per image"""
    phase: Literal["wake", "sleep", "both"] = "wake"
    """wake-sleep: train the recognition network on images (wake), on samples of the model (sleep), or on both"""
    hidden: tuple[int, ...] = ()
    """widths of tanh layers between two layers of latents; not with --method exact"""

    upper_bounds: ClassVar[Mapping[str, float]] = {"particles": 10_000}

    def unused(self, points: bool | None) -> dict[str, str]:
        found: dict[str, str] = {}
        if self.method not in ("vimco", "wake-sleep"):
            found["particles"] = "only used with --method vimco or wake-sleep"
        if self.method != "wake-sleep":
            found["phase"] = "only used with --method wake-sleep"
        return found

    def __post_init__(self) -> None:
        if isinstance(self.latents, int):  # one layer, from Python
            object.__setattr__(self, "latents", (self.latents,))
        super().__post_init__()
        check_numbers(self, "latents hidden particles", 1)
        if not self.latents:
            raise InputError("--latents: give at least one layer")
        if self.method == "exact":
            refuse_beyond_exact(self.latents)
            if self.hidden:
                raise InputError(f"--hidden {shown(self.hidden)}: --method exact has no hidden layers; leave it out")
        if self.method == "vimco" and self.particles < 2:
            raise InputError("--particles 1: --method vimco needs at least 2 samples per image")


def refuse_beyond_exact(latents: tuple[int, ...]) -> None:
    """Check that the sum over all states of a belief net is feasible.

    Raises:    InputError: too many latents or layers; the message names the methods without such a sum.
    """
    if len(latents) > 1 or max(latents) > MOST_EXACT:
        raise InputError(
            f"--latents {shown(latents)}: --method exact needs one layer of at most "
            f"{MOST_EXACT} latents; for more choose --method vimco, score or wake-sleep"
        )

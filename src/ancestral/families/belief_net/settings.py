"""Flags of the sigmoid belief nets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from ancestral.core.errors import InputError
from ancestral.settings.checks import check_numbers, shown
from ancestral.settings.family import FamilySettings

MOST_EXACT = 20
"""Latents whose 2^M states can still be summed in each step."""


@dataclass(frozen=True)
class BeliefNetSettings(FamilySettings):
    """Sigmoid belief net: binary latents; exact log-likelihood of a small one, a lower bound for deep ones."""

    default_learning_rate: ClassVar[float] = 1e-2

    latents: tuple[int, ...] = (8,)
    """binary latents of each layer, nearest the image first"""
    method: Literal["exact", "vimco", "score", "wake-sleep"] = "exact"
    """exact: sum over all states of one layer; the others learn a recognition network: vimco (bound of several
    draws), score (score function with a learned baseline, one draw) or wake-sleep (reweighted)"""
    particles: int = 5
    """vimco, wake-sleep: draws of z per image"""
    phase: Literal["wake", "sleep", "both"] = "wake"
    """wake-sleep: the recognition network learns from images, from joint samples of the model, or from both"""
    hidden: tuple[int, ...] = ()
    """widths of tanh layers between any two layers of latents (all but exact)"""

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
            raise InputError("--latents: name at least one layer")
        if self.method == "exact":
            refuse_beyond_exact(self.latents)
            if self.hidden:
                raise InputError(f"--hidden {shown(self.hidden)}: an exact belief net has no hidden layers")
        if self.method == "vimco" and self.particles < 2:
            raise InputError("--particles 1: vimco compares draws with each other; give at least 2")


def refuse_beyond_exact(latents: tuple[int, ...]) -> None:
    """Refuse a net whose states cannot be summed.

    Raises:    InputError: names the methods that need no such sum.
    """
    if len(latents) > 1 or max(latents) > MOST_EXACT:
        raise InputError(
            f"--latents {shown(latents)}: an exact belief net sums over the states of one layer of at most "
            f"{MOST_EXACT}; for more choose --method vimco, score or wake-sleep"
        )

"""The kinds of leaves by name."""

from __future__ import annotations

from ancestral.core.errors import InputError
from ancestral.families.circuit.gaussian_leaves import GaussianLeaves
from ancestral.families.circuit.leaves import BernoulliLeaves, CategoricalLeaves, Leaves, LogisticLeaves, PixelLeaves


def leaves_named(name: str, trees: int, pixels: int, states: int, levels: int | None, scale: float) -> Leaves:
    """The leaves by their name. levels: None for real numbers.

    Raises:    InputError: an unknown name, or leaves that do not fit the levels.
    """
    if levels is None:
        if name == "gaussian":
            return GaussianLeaves(trees, pixels, states, scale)
        raise InputError(f"leaves {name!r} for real numbers: choose gaussian")
    if name == "bernoulli" and levels == 2:
        return BernoulliLeaves(trees, pixels, states, scale)
    if name == "categorical":
        return CategoricalLeaves(trees, pixels, states, levels, scale)
    if name == "logistic":
        return LogisticLeaves(trees, pixels, states, levels, scale)
    if name == "pixel":
        return PixelLeaves(pixels, levels)
    raise InputError(f"leaves {name!r} with {levels} levels: choose bernoulli (2 levels), categorical, logistic, pixel")

"""The coupling layers of a flow, from its settings."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from ancestral.distributions.couplings import AffineCoupling, Coupling, SplineCoupling
from ancestral.families.flow.settings import FlowSettings


def build_coupling(
    settings: FlowSettings, features: int, flip: bool, network: Callable[[int, int], nn.Module]
) -> Coupling:
    """The coupling layer that the settings name.

    Args:      features: size of axis 1. flip: whether the first part is transformed instead of the last. network: makes
               a network from its numbers of inputs and outputs.
    """
    sizes = [features // 2, features - features // 2]
    kept, changed = sizes[::-1] if flip else sizes
    if settings.layers == "affine":
        return AffineCoupling(network(kept, 2 * changed), features, flip)
    return SplineCoupling(
        network(kept, (3 * settings.bins - 1) * changed), features, flip, settings.bins, settings.bound
    )

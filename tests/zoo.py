"""One tiny model of every family and combination, from the family records."""

from __future__ import annotations

from collections.abc import Callable

from ancestral.families.autoregressive.tiny import tiny_made, tiny_pixelcnn
from ancestral.families.belief_net.tiny import tiny_helmholtz
from ancestral.families.catalogue import BUILT_IN, find
from ancestral.families.flow.tiny import tiny_flow
from ancestral.families.gan.tiny import tiny_gan
from ancestral.families.tiny import perturbed, seeded, with_larger_weights
from ancestral.families.vae.tiny import CONV, flow_vae, tiny_vae
from ancestral.families.vae.vae import VAE
from ancestral.models.base import Model

EVERY: dict[str, Callable[[], Model]] = {
    name: make for family in BUILT_IN for name, make in find(family).code("tiny").items()
}
VECTORS = [name for name in EVERY if name.endswith("given a vector")]
"""Models of p(x | c) for a vector c, which have no p(x)."""
ZOO: dict[str, Callable[[], Model]] = {name: make for name, make in EVERY.items() if name not in VECTORS}

__all__ = [
    "CONV",
    "EVERY",
    "VAE",
    "VECTORS",
    "ZOO",
    "flow_vae",
    "perturbed",
    "seeded",
    "tiny_flow",
    "tiny_gan",
    "tiny_helmholtz",
    "tiny_made",
    "tiny_pixelcnn",
    "tiny_vae",
    "with_larger_weights",
]

"""The VAE and the plain autoencoder as descriptions for the explorer's page."""

from __future__ import annotations

from typing import Any

from ancestral.distributions.pixels import PixelLikelihood
from ancestral.distributions.portable import pixels_of, prior_of
from ancestral.families.conditional import refuse_classes
from ancestral.families.vae.autoencoder import Autoencoder
from ancestral.families.vae.vae import VAE
from ancestral.networks.layers import layers_of


def vae(model: VAE) -> dict[str, Any]:
    """Kind `latent`: see `explorer/engine/latent.js`.

    Raises:    NotComputable: classes, or a network or distribution that the page does not know.
    """
    refuse_classes(model)
    return {
        **_decoded(model.likelihood),
        "latents": len(model.latent_scale().mean),
        "encoder": layers_of(model.encoder.network),
        "prior": prior_of(model.latent_prior),
    }


def _decoded(likelihood: PixelLikelihood) -> dict[str, Any]:
    levels = likelihood.levels
    return {
        "kind": "latent",
        "unit": 1 if levels in (None, 2) else 1 / (levels - 1),
        "decoder": layers_of(likelihood.network),
        "pixels": pixels_of(likelihood),
    }


def autoencoder(model: Autoencoder) -> dict[str, Any]:
    """Kind `latent` without a prior: its codes are points, and it has no likelihood.

    Raises:    NotComputable: as `vae`.
    """
    return {**_decoded(model.likelihood), "latents": model.latents, "encoder": layers_of(model.encoder), "prior": None}

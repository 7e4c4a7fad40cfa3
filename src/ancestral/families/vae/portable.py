"""The VAE and the plain autoencoder as descriptions for the explorer's page."""

from __future__ import annotations

from typing import Any

from ancestral.distributions.portable import pixels_of, prior_of
from ancestral.families.vae.vae import VAE
from ancestral.networks.layers import layers_of


def vae(model: VAE) -> dict[str, Any]:
    """Kind `latent`: see `explorer/engine/latent.js`.

    Raises:    NotComputable: a network or distribution that the page does not know.
    """
    likelihood = model.likelihood
    levels = likelihood.levels
    return {
        "kind": "latent",
        "latents": len(model.latent_scale().mean),
        "unit": 1 if levels in (None, 2) else 1 / (levels - 1),
        "encoder": layers_of(model.encoder.network),
        "decoder": layers_of(likelihood.network),
        "pixels": pixels_of(likelihood),
        "prior": prior_of(model.latent_prior),
    }

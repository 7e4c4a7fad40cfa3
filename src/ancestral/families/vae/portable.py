"""The VAE and the plain autoencoder as descriptions for the explorer's page."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from ancestral.distributions.pixels import PixelLikelihood
from ancestral.distributions.portable import pixels_of, prior_of
from ancestral.families.conditional import described_by_class
from ancestral.families.vae.autoencoder import Autoencoder
from ancestral.families.vae.vae import VAE
from ancestral.networks.layers import layers_given, layers_of


def vae(model: VAE) -> dict[str, Any]:
    """Kind `latent`: see `explorer/engine/latent.js`.

    Raises:    NotComputable: a network or distribution that the page does not know.
    """
    return described_by_class(model, _vae)


def _vae(model: VAE) -> dict[str, Any]:
    encoder = model.encoder.network
    assert isinstance(encoder, nn.Module)
    return {
        **_decoded(model.likelihood, model.condition),
        "latents": len(model.latent_scale().mean),
        "encoder": layers_given(encoder, model.condition),
        "prior": prior_of(model.latent_prior),
    }


def _decoded(likelihood: PixelLikelihood, condition: Tensor | None = None) -> dict[str, Any]:
    levels, decoder = likelihood.levels, likelihood.network
    assert isinstance(decoder, nn.Module)
    return {
        "kind": "latent",
        "unit": 1 if levels in (None, 2) else 1 / (levels - 1),
        "decoder": layers_given(decoder, condition),
        "pixels": pixels_of(likelihood),
    }


def autoencoder(model: Autoencoder) -> dict[str, Any]:
    """Kind `latent` without a prior: its codes are points, and it has no likelihood.

    Raises:    NotComputable: as `vae`.
    """
    return {**_decoded(model.likelihood), "latents": model.latents, "encoder": layers_of(model.encoder), "prior": None}

"""The objectives of the variational autoencoder and of the plain autoencoder."""

from __future__ import annotations

from functools import partial

from ancestral.data.pixels import Batch, PixelBatches
from ancestral.evaluation.likelihood import distortion
from ancestral.families.vae.autoencoder import Autoencoder
from ancestral.families.vae.schedules import scheduled_elbo
from ancestral.families.vae.settings import AutoencoderSettings, VAESettings
from ancestral.families.vae.vae import VAE
from ancestral.training.objectives import Objective, Terms, dreg, elbo, iwae


def objective_for(settings: VAESettings, model: VAE) -> Objective:
    """The objective that the settings name: ELBO, IWAE or DReG."""
    k = settings.importance_samples
    choices: dict[str, Objective] = {
        "elbo": scheduled_elbo(settings)
        if settings.schedules
        else partial(elbo, beta=settings.beta, free_bits=settings.free_bits),
        "iwae": partial(iwae, k=k),
        "dreg": partial(dreg, k=k),
    }
    return choices[settings.objective]


def reconstruction(model: Autoencoder, batch: Batch) -> Terms:
    """Distortion of a plain autoencoder, -log p(x | z = f(x)); not a bound on the likelihood."""
    return {"loss": model.reconstruction_loss(batch.x)}


def reconstruction_for(settings: AutoencoderSettings, model: Autoencoder) -> Objective:
    return reconstruction


def held_out_distortion(model: Autoencoder, images: PixelBatches) -> dict[str, float]:
    """Mean distortion of held-out images, nats."""
    return {"reconstruction": distortion(model, images).mean().item()}

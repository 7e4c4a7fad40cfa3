"""The objective that a family is trained with."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from ancestral.core.errors import InputError
from ancestral.families.autoregressive.made import MADE
from ancestral.families.belief_net.helmholtz import HelmholtzMachine
from ancestral.families.belief_net.objectives import ScoreFunction, vimco, wake_sleep
from ancestral.families.belief_net.settings import BeliefNetSettings
from ancestral.families.vae.autoencoder import Autoencoder
from ancestral.families.vae.settings import VAESettings
from ancestral.models.base import ExactModel, LatentModel, Model
from ancestral.training.objectives import Objective, Terms, dreg, elbo, iwae, nll


def order_agnostic(model: MADE, x: Tensor) -> Terms:
    """-log p_j(x) under one ordering j of the model's, drawn anew for each batch.

    Its mean over j is an upper bound on the model's own -log p(x), which averages the orderings in probability.

    Reference: Uria et al., 2014, eq. 8, arXiv 1310.1757; Germain et al., 2015, section 4.3, arXiv 1502.03509.
    """
    ordering = torch.randint(len(model.positions), (1,), device=x.device)
    return {"loss": -model.log_prob_under(x, ordering)}


def reconstruction(model: Autoencoder, x: Tensor) -> Terms:
    """Distortion of a plain autoencoder, -log p(x | z = f(x)); not a bound on anything."""
    return {"loss": model.reconstruction_loss(x)}


def objective_for(settings: object, model: Model) -> Objective:
    """The objective a family is trained with under its settings.

    Raises:    InputError: none fits.
    """
    if isinstance(settings, VAESettings):
        k = settings.importance_samples
        choices: dict[str, Objective] = {
            "elbo": partial(elbo, beta=settings.beta, free_bits=settings.free_bits),
            "iwae": partial(iwae, k=k),
            "dreg": partial(dreg, k=k),
        }
        return choices[settings.objective]
    if isinstance(settings, BeliefNetSettings) and isinstance(model, HelmholtzMachine):
        if settings.method == "score":
            return ScoreFunction(model)
        if settings.method == "vimco":
            return partial(vimco, k=settings.particles)
        return partial(wake_sleep, k=settings.particles, phase=settings.phase)
    if isinstance(model, MADE) and len(model.positions) > 1:
        return order_agnostic
    if isinstance(model, ExactModel):
        return nll
    if isinstance(model, LatentModel):
        return elbo
    if isinstance(model, Autoencoder):
        return reconstruction
    raise InputError(f"no objective is known for a {type(model).__name__}")

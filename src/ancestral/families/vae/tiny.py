"""Variational and plain autoencoders small enough to sum over all images."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from ancestral.distributions.priors import FlowPrior
from ancestral.families.family import DataSpec
from ancestral.families.flow.points import vector_bijection
from ancestral.families.flow.settings import FlowSettings
from ancestral.families.tiny import perturbed
from ancestral.families.vae.autoencoder import build_autoencoder
from ancestral.families.vae.settings import AutoencoderSettings, VAESettings
from ancestral.families.vae.vae import VAE, build_vae
from ancestral.models.base import Model

VECTOR = ((3.0, 2.0), (-1.0, 0.5))  # mean and standard deviation of two entries


def tiny_vae(space: str = "threshold", levels: int = 2, side: int = 3, vector: Any = (), **settings: object) -> VAE:
    """A VAE with 2 latents. Its weights are large enough that p(x | z) depends clearly on z."""
    defaults: dict[str, object] = {"latents": 2, "hidden": (8,), "activation": "tanh", "components": 3}
    spec = DataSpec((1, side, side), levels, space, classes=2, proportions=(0.7, 0.3), conditions=vector)
    model = build_vae(VAESettings(**{**defaults, **settings}), spec)  # type: ignore[arg-type]
    with torch.no_grad():
        for parameter in model.likelihood.parameters():
            parameter.mul_(3.0)
        perturbed(model.latent_prior, 0.7)  # components with different means, widths and weights
        # a posterior wider than the prior keeps the importance weights moderate, so that every test can fail
        list(model.encoder.parameters())[-1][2:] += 1.0
    return model


def flow_vae() -> VAE:
    """The tiny VAE with a flow prior of two small couplings."""
    model, layers = tiny_vae(), FlowSettings(layers="affine", depth=2, hidden=(8,), activation="tanh", actnorm=False)
    return VAE(model.encoder, model.likelihood, perturbed(FlowPrior(2, vector_bijection(layers, 2)), 0.4))


CONV = {"network": "cnn", "channels": (4, 4), "strides": (1, 2)}
VAES: dict[str, Callable[[], Model]] = {
    "vae": lambda: tiny_vae(),
    "vae, mixture prior": lambda: tiny_vae(prior="mixture"),
    "vae, VampPrior": lambda: tiny_vae(prior="vamp"),
    "vae, convolutional": lambda: tiny_vae(**CONV),
    "vae, categorical": lambda: tiny_vae("levels", 3, side=2),
    "vae, categorical, convolutional": lambda: tiny_vae("levels", 3, side=2, **CONV),
    "vae, discretised logistic": lambda: tiny_vae("levels", 4, side=2, likelihood="logistic"),
    "vae, Gaussian": lambda: tiny_vae("unit", prior="mixture", variance=1.0, learn_variance=True),
    "vae, flow prior": lambda: flow_vae(),
    "vae, conditional": lambda: tiny_vae(side=2, conditional=True),
    "vae, given a vector": lambda: tiny_vae(side=2, vector=VECTOR),
    "vae, conditional, VampPrior, convolutional": lambda: tiny_vae(side=2, conditional=True, prior="vamp", **CONV),
}
AUTOENCODERS: dict[str, Callable[[], Model]] = {
    "autoencoder": lambda: build_autoencoder(
        AutoencoderSettings(latents=2, hidden=(8,)), DataSpec((1, 3, 3), 2, "threshold")
    ),
}

"""One tiny model of every family and combination, small enough to sum over all their images. A line per family."""

from __future__ import annotations

from collections.abc import Callable

import torch

from ancestral.models.autoencoder import build_autoencoder
from ancestral.models.kinds import Model
from ancestral.models.mixture import MixtureOfBernoullis
from ancestral.models.vae import VAE, build_vae
from ancestral.settings.coding import AutoencoderSettings, VAESettings


def tiny_vae(space: str = "threshold", levels: int = 2, side: int = 3, **settings: object) -> VAE:
    """A VAE with 2 latents whose weights are large enough that z matters."""
    defaults: dict[str, object] = {"latents": 2, "hidden": (8,), "activation": "tanh", "components": 3}
    model = build_vae(VAESettings(**{**defaults, **settings}), (1, side, side), levels, space)  # type: ignore[arg-type]
    with torch.no_grad():
        for parameter in model.likelihood.parameters():
            parameter.mul_(3.0)
        for parameter in model.latent_prior.parameters():  # components that differ in place, width and weight
            parameter.add_(0.7 * torch.randn_like(parameter))
        # a posterior wider than the prior: importance weights stay moderate, so every law bites
        list(model.encoder.parameters())[-1][2:] += 1.0
    return model


def seeded(make: Callable[[], Model], seed: int = 0) -> Model:
    """The model in double precision, the same every time, ready to be evaluated."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return make().double().eval()


CONV = {"network": "cnn", "channels": (4, 4), "strides": (1, 2)}
ZOO: dict[str, Callable[[], Model]] = {
    "mixture": lambda: MixtureOfBernoullis([1, 3, 3], components=4, weight_scale=1.5),
    "mixture of one": lambda: MixtureOfBernoullis([1, 3, 3], components=1, weight_scale=1.5),
    "vae": lambda: tiny_vae(),
    "vae, mixture prior": lambda: tiny_vae(prior="mixture"),
    "vae, VampPrior": lambda: tiny_vae(prior="vamp"),
    "vae, convolutional": lambda: tiny_vae(**CONV),
    "vae, categorical": lambda: tiny_vae("levels", 3, side=2),
    "vae, categorical, convolutional": lambda: tiny_vae("levels", 3, side=2, **CONV),
    "vae, discretised logistic": lambda: tiny_vae("levels", 4, side=2, likelihood="logistic"),
    "vae, Gaussian": lambda: tiny_vae("unit", prior="mixture", learn_variance=True),
    "autoencoder": lambda: build_autoencoder(AutoencoderSettings(latents=2, hidden=(8,)), (1, 3, 3), 2, "threshold"),
}

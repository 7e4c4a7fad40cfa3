"""One tiny model of every family and combination, small enough to sum over all their images. A line per family."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import nn

from ancestral.distributions.priors import FlowPrior
from ancestral.families.autoregressive.made import MADE
from ancestral.families.autoregressive.pixelcnn import PixelCNN
from ancestral.families.belief_net.exact import SigmoidBeliefNet
from ancestral.families.belief_net.helmholtz import HelmholtzMachine
from ancestral.families.flow.points import build_flow, vector_bijection
from ancestral.families.flow.settings import FlowSettings
from ancestral.families.gan.model import GAN, build_gan
from ancestral.families.gan.settings import GANSettings
from ancestral.families.mixture.model import MixtureOfBernoullis
from ancestral.families.vae.autoencoder import build_autoencoder
from ancestral.families.vae.settings import AutoencoderSettings, VAESettings
from ancestral.families.vae.vae import VAE, build_vae
from ancestral.models.base import Model

Kept = TypeVar("Kept", bound=nn.Module)


def shaken(module: Kept, scale: float) -> Kept:
    """The same module with noise of this scale on its parameters, so that none is where it started."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(scale * torch.randn_like(parameter))
    return module


def tiny_vae(space: str = "threshold", levels: int = 2, side: int = 3, **settings: object) -> VAE:
    """A VAE with 2 latents whose weights are large enough that z matters."""
    defaults: dict[str, object] = {"latents": 2, "hidden": (8,), "activation": "tanh", "components": 3}
    model = build_vae(VAESettings(**{**defaults, **settings}), (1, side, side), levels, space)  # type: ignore[arg-type]
    with torch.no_grad():
        for parameter in model.likelihood.parameters():
            parameter.mul_(3.0)
        shaken(model.latent_prior, 0.7)  # components that differ in place, width and weight
        # a posterior wider than the prior: importance weights stay moderate, so every law bites
        list(model.encoder.parameters())[-1][2:] += 1.0
    return model


def livelier(model: Model) -> Model:
    """The same model with weights large enough that one pixel matters to another."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(2.5)
    return model


def tiny_made(shape: tuple[int, ...] = (1, 3, 3), *output: object, **settings: object) -> Model:
    """A MADE of smooth units."""
    return livelier(MADE(shape, *output, **{"hidden": [8], "activation": "tanh", **settings}))  # type: ignore[arg-type]


def tiny_pixelcnn(shape: tuple[int, ...] = (1, 3, 3), *output: object) -> Model:
    """A PixelCNN of one block."""
    return livelier(PixelCNN(shape, *output, channels=8, hidden=4, blocks=1, first_kernel=3, components=2))  # type: ignore[arg-type]


def tiny_helmholtz(*latents: int, side: int = 3) -> HelmholtzMachine:
    """A deep belief net whose latents matter, with a recognition network that is only roughly right."""
    model = HelmholtzMachine([1, side, side], latents)
    with torch.no_grad():
        model.prior_logits.copy_(0.7 * torch.randn(latents[-1]))
        for network in (*model.generative, model.likelihood):
            for parameter in network.parameters():
                parameter.copy_(0.8 * torch.randn_like(parameter))
    return model


def tiny_flow(shape: tuple[int, ...], levels: int, space: str, shake: float = 0.3, **settings: object) -> Model:
    """A flow far from the identity."""
    tiny: dict[str, object] = {"depth": 2, "hidden": (8,), "couplings": 2, "width": 4, "bins": 3, "scales": 1}
    flow = build_flow(FlowSettings(**{**tiny, "activation": "tanh", **settings}), shape, levels, space)  # type: ignore[arg-type]
    return shaken(flow, shake)


def tiny_gan(shape: tuple[int, ...], **settings: object) -> GAN:
    """A GAN whose codes matter."""
    tiny = GANSettings(**{"latents": 2, "hidden": (8,), **settings})  # type: ignore[arg-type]
    return shaken(build_gan(tiny, shape, 0, "unit" if len(shape) == 3 else "points"), 0.5)


def flow_vae() -> VAE:
    """The tiny VAE with a prior of two small couplings in place of its own."""
    model, layers = tiny_vae(), FlowSettings(layers="affine", depth=2, hidden=(8,), activation="tanh", actnorm=False)
    return VAE(model.encoder, model.likelihood, shaken(FlowPrior(2, vector_bijection(layers, 2)), 0.4))


def seeded(make: Callable[[], Model], seed: int = 0) -> Model:
    """The model in double precision, the same every time, ready to be evaluated."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return make().double().eval()


CONV = {"network": "cnn", "channels": (4, 4), "strides": (1, 2)}
ZOO: dict[str, Callable[[], Model]] = {
    "mixture": lambda: MixtureOfBernoullis([1, 3, 3], components=4, weight_scale=1.5),
    "belief net": lambda: SigmoidBeliefNet([1, 3, 3], latents=4, weight_scale=1.5),
    "Helmholtz machine": lambda: tiny_helmholtz(3),
    "Helmholtz machine, two layers": lambda: tiny_helmholtz(2, 2),
    "mixture of one": lambda: MixtureOfBernoullis([1, 3, 3], components=1, weight_scale=1.5),
    "made": lambda: tiny_made(),
    "made, deep": lambda: tiny_made(hidden=[8, 5, 11], direct=False),
    "made, three orderings": lambda: tiny_made(hidden=[9, 7], orderings=3),
    "made, categorical": lambda: tiny_made((1, 2, 2), "categorical", 3, orderings=2),
    "made, logistic": lambda: tiny_made((1, 2, 2), "logistic", 4, components=2),
    "fully visible belief net": lambda: tiny_made(hidden=[]),
    "pixelcnn": lambda: tiny_pixelcnn(),
    "pixelcnn, categorical": lambda: tiny_pixelcnn((1, 2, 2), "categorical", 3),
    "pixelcnn, logistic, colour": lambda: tiny_pixelcnn((3, 1, 2), "logistic", 3),
    "vae": lambda: tiny_vae(),
    "vae, mixture prior": lambda: tiny_vae(prior="mixture"),
    "vae, VampPrior": lambda: tiny_vae(prior="vamp"),
    "vae, convolutional": lambda: tiny_vae(**CONV),
    "vae, categorical": lambda: tiny_vae("levels", 3, side=2),
    "vae, categorical, convolutional": lambda: tiny_vae("levels", 3, side=2, **CONV),
    "vae, discretised logistic": lambda: tiny_vae("levels", 4, side=2, likelihood="logistic"),
    "vae, Gaussian": lambda: tiny_vae("unit", prior="mixture", learn_variance=True),
    "vae, flow prior": lambda: flow_vae(),
    "flow, affine": lambda: tiny_flow((2,), 0, "points", layers="affine"),
    "flow, spline": lambda: tiny_flow((3,), 0, "points", mixing="linear"),
    "flow, autoregressive": lambda: tiny_flow((3,), 0, "points", layers="maf", mixing="permute", base_scale=0.5),
    "flow of images": lambda: tiny_flow((1, 2, 2), 3, "levels", shake=0.15),
    "flow of images, variational": lambda: tiny_flow((1, 2, 2), 2, "levels", dequantisation="variational", shake=0.15),
    "flow of images, binary, affine": lambda: tiny_flow((1, 2, 2), 9, "threshold", layers="affine", shake=0.15),
    "gan": lambda: tiny_gan((1, 3, 3)),
    "gan, conditional": lambda: tiny_gan((1, 3, 3), classes=3),
    "gan, convolutional": lambda: tiny_gan((1, 4, 4), network="cnn", channels=(4,), batch_norm=True),
    "gan of points": lambda: tiny_gan((2,)),
    "autoencoder": lambda: build_autoencoder(AutoencoderSettings(latents=2, hidden=(8,)), (1, 3, 3), 2, "threshold"),
}

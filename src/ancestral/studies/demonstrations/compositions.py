"""All combinations of likelihood and prior: bound, gradient and samples of untrained VAEs of small images."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ancestral.core.random import seeded_noise
from ancestral.data.datasets import load_dataset
from ancestral.data.pixels import PixelBatches, PixelSpace
from ancestral.families.family import DataSpec
from ancestral.families.vae.settings import VAESettings
from ancestral.families.vae.vae import build_vae

LIKELIHOODS = {"bernoulli": "threshold", "categorical": "levels", "logistic": "levels", "gaussian": "unit"}
"""each likelihood, with its pixels"""
PRIORS = ("normal", "mixture", "vamp", "flow")
IMAGES, LATENTS = 64, 4


@dataclass(frozen=True)
class Composition:
    """One likelihood with one prior, untrained.

    Attributes: negative_elbo: mean over some images of digits, nats. learns: the gradient reaches every parameter of
                encoder, decoder and prior. draws_in_space: draws are pixels of the likelihood's space.
    """

    likelihood: str
    prior: str
    negative_elbo: float
    learns: bool
    draws_in_space: bool


def compositions(seed: int = 0) -> list[Composition]:
    """All 16 combinations, on scikit-learn's digits."""
    return [_composed(likelihood, prior, seed) for likelihood in LIKELIHOODS for prior in PRIORS]


def _composed(likelihood: str, prior: str, seed: int) -> Composition:
    data = load_dataset("digits")
    space = PixelSpace(LIKELIHOODS[likelihood], data.levels)
    x = PixelBatches(data.test.images, space).first(IMAGES)
    settings = VAESettings(
        latents=LATENTS,
        hidden=(32,),
        likelihood=likelihood,  # type: ignore[arg-type]
        prior=prior,  # type: ignore[arg-type]
        components=5,
    )
    with seeded_noise(seed):
        model = build_vae(settings, DataSpec(data.event_shape, data.levels, space.name))
        loss = -model.elbo(x).mean()
        loss.backward()
        drawn = model.eval().sample(IMAGES)
    reached = [parameter.grad is not None and bool(parameter.grad.isfinite().all()) for parameter in model.parameters()]
    in_space = drawn.shape == x.shape and bool(drawn.isfinite().all())
    if model.levels is not None:
        in_space = in_space and bool(torch.isin(drawn, torch.arange(model.levels, dtype=drawn.dtype)).all())
    return Composition(likelihood, prior, loss.item(), all(reached), in_space)

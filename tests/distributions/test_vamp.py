"""The VampPrior is a mixture of the posteriors of its pseudo-images."""

from __future__ import annotations

import torch
import zoo

from ancestral.distributions.priors import GaussianMixture, VampPrior
from ancestral.families.vae.vae import VAE


def test_each_component_is_the_posterior_of_a_pseudo_image() -> None:
    model = zoo.seeded(zoo.ZOO["vae, VampPrior"])
    assert isinstance(model, VAE)
    prior, p = model.latent_prior, model.prior()
    assert isinstance(prior, VampPrior) and isinstance(p, GaussianMixture)
    q = model.encoder(prior.low + (prior.high - prior.low) * prior.pseudo_inputs.sigmoid())
    z = torch.randn(7, 1, 2, dtype=model.dtype, generator=torch.Generator().manual_seed(0))
    found = p.component_log_probs(z[:, 0]) - prior.log_weights.log_softmax(0)
    assert torch.allclose(found, q.log_prob(z))

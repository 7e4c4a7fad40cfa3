"""Effect of two mistakes in a mixture prior on the bound and the samples of a trained VAE.

Both wrong priors are densities that integrate to 1, so a check of the integral does not detect them. They are wrong
because they differ from the prior of the model.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.distributions import Categorical, Distribution, Independent, MixtureSameFamily, Normal

from ancestral.core.errors import NotComputable
from ancestral.core.random import seed_for, seeded_noise
from ancestral.core.text import type_in_words
from ancestral.data.pixels import PixelBatches
from ancestral.distributions.priors import GaussianMixture
from ancestral.evaluation.likelihood import BLOCK, Progress, per_image
from ancestral.families.vae.vae import VAE

DRAWS = 10
AT_ONCE = 500  # batch size of sampling


@dataclass(frozen=True)
class Cost:
    """Effect of a mistake on the mean lower bound.

    Attributes: name: of the mistake. nats: wrong bound minus correct bound, mean over images. stderr: of that mean.
    """

    name: str
    nats: float
    stderr: float


def mixed_per_dimension(prior: GaussianMixture) -> Distribution:
    """prod_d sum_k w_k N(z_d; m_kd, v_kd): each latent chooses its component independently.

    The correct prior is sum_k w_k prod_d N(z_d; m_kd, v_kd). The two agree if there is one component or one latent.
    """
    choice = Categorical(logits=prior.log_weights.expand(prior.means.shape[1], -1))  # (M, K)
    parts = Normal(prior.means.T, (0.5 * prior.log_variances.T).exp())
    return Independent(MixtureSameFamily(choice, parts, validate_args=False), 1, validate_args=False)


def variance_as_scale(prior: GaussianMixture) -> GaussianMixture:
    """exp(log-variance) used as the standard deviation of each component: correct only if every variance is 1."""
    return GaussianMixture(prior.log_weights, prior.means, 2 * prior.log_variances)


MISTAKES: dict[str, Callable[[GaussianMixture], Distribution]] = {
    "mixed per dimension": mixed_per_dimension,
    "variance used as standard deviation": variance_as_scale,
}


def mistake_costs(
    model: VAE, images: PixelBatches, draws: int = DRAWS, seed: int = 0, progress: Progress | None = None
) -> list[Cost]:
    """E_q[log p'(z) - log p(z)], z ~ q(z | x), for each wrong prior p': the change of the bound.

    Args:      model: with a mixture prior. draws: samples of z per image.
    Raises:    NotComputable: the model has another prior.
    """
    prior = mixture_prior(model)
    wrong = [mistake(prior) for mistake in MISTAKES.values()]

    def value(x: Tensor) -> Tensor:
        z = model.posterior(x).sample((draws,))  # (draws, B, M)
        return torch.stack([(one.log_prob(z) - prior.log_prob(z)).mean(0) for one in wrong], 1)

    shifts = per_image(model, images, BLOCK, value, seed, progress)  # (N, 2)
    stderr = shifts.std(0) / math.sqrt(len(shifts))
    return [Cost(*one) for one in zip(MISTAKES, shifts.mean(0).tolist(), stderr.tolist(), strict=True)]


@torch.no_grad()
def draw_with(model: VAE, prior: Distribution, count: int, seed: int = 0) -> Tensor:
    """Images x ~ p(x | z) with z ~ `prior` in place of the model's prior; shape (count, *event_shape)."""
    with seeded_noise(seed_for(seed, "another prior")):
        parts = [min(AT_ONCE, count - first) for first in range(0, count, AT_ONCE)]
        return torch.cat([model.likelihood(prior.sample((n,))).sample() for n in parts])


def mixture_prior(model: VAE) -> GaussianMixture:
    """The mixture prior of a VAE.

    Raises:    NotComputable: the VAE has another prior.
    """
    with torch.no_grad():
        prior = model.prior()
    if not isinstance(prior, GaussianMixture):
        raise NotComputable(f"these mistakes need a mixture prior, not {type_in_words(prior)}")
    return prior

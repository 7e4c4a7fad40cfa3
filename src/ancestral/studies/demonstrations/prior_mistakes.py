"""Two mistakes in a mixture prior, made on purpose: what they would do to the bound of a trained VAE, and to its draws.

Both mistaken priors are densities that integrate to one, so no check of a density finds them: what is wrong is that
they are not the prior of the model.
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
from ancestral.data.pixels import PixelBatches
from ancestral.distributions.priors import GaussianMixture
from ancestral.evaluation.likelihood import BLOCK, Progress, per_image
from ancestral.families.vae.vae import VAE

DRAWS = 10
AT_ONCE = 500  # images drawn together


@dataclass(frozen=True)
class Cost:
    """How far a mistake moves the mean lower bound of the images.

    Attributes: name: of the mistake. nats: mistaken bound minus the right one, mean over images. stderr: of that mean.
    """

    name: str
    nats: float
    stderr: float


def mixed_per_dimension(prior: GaussianMixture) -> Distribution:
    """prod_d sum_k w_k N(z_d; m_kd, v_kd): each latent chooses its component for itself.

    The right one is sum_k w_k prod_d N(z_d; m_kd, v_kd). The two agree where there is one component, or one latent.
    """
    choice = Categorical(logits=prior.log_weights.expand(prior.means.shape[1], -1))  # (M, K)
    parts = Normal(prior.means.T, (0.5 * prior.log_variances.T).exp())
    return Independent(MixtureSameFamily(choice, parts, validate_args=False), 1, validate_args=False)


def variance_as_scale(prior: GaussianMixture) -> GaussianMixture:
    """exp(log-variance) taken for the standard deviation of each component: right only where every variance is one."""
    return GaussianMixture(prior.log_weights, prior.means, 2 * prior.log_variances)


MISTAKES: dict[str, Callable[[GaussianMixture], Distribution]] = {
    "mixed per dimension": mixed_per_dimension,
    "variance taken for the deviation": variance_as_scale,
}


def mistake_costs(
    model: VAE, images: PixelBatches, draws: int = DRAWS, seed: int = 0, progress: Progress | None = None
) -> list[Cost]:
    """E_q[log p'(z) - log p(z)], z ~ q(z | x), for each mistaken prior p': all that changes in the bound.

    Args:      model: with a mixture prior. draws: of z for each image.
    Raises:    NotComputable: another prior.
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
    """Images x ~ p(x | z), z ~ `prior` in place of the model's own; shape (count, *event_shape)."""
    with seeded_noise(seed_for(seed, "another prior")):
        parts = [min(AT_ONCE, count - first) for first in range(0, count, AT_ONCE)]
        return torch.cat([model.likelihood(prior.sample((n,))).sample() for n in parts])


def mixture_prior(model: VAE) -> GaussianMixture:
    """The prior of a VAE that has a mixture for one.

    Raises:    NotComputable: it has another.
    """
    with torch.no_grad():
        prior = model.prior()
    if not isinstance(prior, GaussianMixture):
        raise NotComputable(f"these mistakes are of a mixture prior; this one is a {type(prior).__name__}")
    return prior

"""Variational autoencoder: any combination of encoder, pixel likelihood and prior."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent

from ancestral.core.errors import InputError
from ancestral.core.serialization import registered
from ancestral.distributions.conditional import Conditional, DiagonalGaussian, kl_parts
from ancestral.distributions.pixels import PixelLikelihood, log_prob_of_seen
from ancestral.distributions.priors import FlowPrior, MixturePrior, StandardNormal, VampPrior
from ancestral.families.coding import CodingModel, encoder_network, pixel_likelihood
from ancestral.families.family import DataSpec
from ancestral.families.flow.points import vector_bijection
from ancestral.families.flow.settings import FlowSettings
from ancestral.families.vae.settings import VAESettings
from ancestral.models.base import CodePairs, LatentModel, LatentScale
from ancestral.models.completion import CHAIN, SWEEPS, WARMING, metropolis_within_gibbs

PRIOR_DRAWS = 10_000  # for the mean and standard deviation of a prior that has no closed form


@registered
class VAE(CodingModel, LatentModel):
    """Variational autoencoder: p(x, z) = p(z) p(x | z) with an approximate posterior q(z | x).

        log p(x) >= ELBO = E_q[log p(x | z)] - KL(q(z | x) || p(z))

    Args:      encoder: pixels in [0, 1] to q(z | x). likelihood: z to p(x | z). prior: p(z).
    Reference: Kingma and Welling, 2014, arXiv 1312.6114; Rezende et al., 2014, arXiv 1401.4082.
    Example:
        >>> model = build_vae(VAESettings(latents=2, hidden=(16,)), DataSpec((1, 8, 8), 17, "threshold"))
        >>> model.log_weights(torch.zeros(3, 1, 8, 8), k=5).shape
        torch.Size([3, 5])
    """

    completion: ClassVar[str] = CHAIN
    inference: ClassVar[str] = "approximate: means of the posterior q(z | x)"
    encodes_posterior_mean: ClassVar[bool] = True

    def __init__(self, encoder: Conditional, likelihood: PixelLikelihood, prior: Conditional) -> None:
        super().__init__()
        self.encoder, self.likelihood, self.latent_prior = encoder, likelihood, prior
        if isinstance(prior, VampPrior):
            prior.use_encoder(encoder)

    def prior(self) -> Distribution:
        return self.latent_prior()

    def posterior(self, x: Tensor) -> Distribution:
        return self.encoder(self.likelihood.to_unit(x))

    def pixels(self, z: Tensor) -> Distribution:
        """p(x | z). z: (..., M)."""
        return self.likelihood(z)

    def log_joint(self, x: Tensor, z: Tensor) -> Tensor:
        return self.likelihood(z).log_prob(x) + self.prior().log_prob(z)

    def posterior_seen(self, x: Tensor, seen: Tensor) -> Distribution:
        """q(z | x where seen): the encoder gets zeros for the missing pixels.

        Reference: Mattei and Frellsen, 2019, section 2.3, arXiv 1812.02633.
        """
        return self.encoder(self.likelihood.to_unit(x).where(seen, 0))

    def log_likelihood_seen(self, x: Tensor, seen: Tensor, z: Tensor) -> Tensor:
        """log p(x where seen | z), exact. z: (..., B, M); returns (..., B), nats."""
        return log_prob_of_seen(self.likelihood(z), x, seen)

    def elbo_parts(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """log p(x | z) for one z ~ q(z | x), shape (B,), and KL(q || p), shape (B, M) or (B, 1); nats.

        The first is summed over pixels. Nothing is averaged. The shape is (B, 1) if the KL divergence has no closed
        form; it is then an estimate from z.
        """
        q = self.posterior(x)
        z = q.rsample()
        return self.likelihood(z).log_prob(x), kl_parts(q, self.prior(), z)

    def elbo(self, x: Tensor) -> Tensor:
        reconstruction, divergence = self.elbo_parts(x)
        return reconstruction - divergence.sum(1)

    def encode(self, x: Tensor) -> Tensor:
        """Posterior means E_q[z | x], shape (B, M)."""
        return self.posterior(x).mean

    def encode_with_stddev(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Means and standard deviations of q(z | x), shapes (B, M)."""
        q = self.posterior(x)
        return q.mean, q.stddev

    @torch.no_grad()
    def latent_scale(self) -> LatentScale:
        """Mean and standard deviation of each latent under the prior, shape (M,): exact, or estimated from
        `PRIOR_DRAWS` draws."""
        p = self.prior()
        if isinstance(p, Independent):
            return LatentScale(p.mean, p.stddev, "the prior")
        z = p.sample((PRIOR_DRAWS,))
        return LatentScale(z.mean(0), z.std(0), f"{PRIOR_DRAWS:,} draws of the prior")

    @torch.no_grad()
    def sample_code_pairs(self, n: int) -> CodePairs:
        """`n` pairs of independent draws from the prior; the condition is empty."""
        z = self.prior().sample((2 * n,))
        first, last = z.unflatten(0, (n, 2)).unbind(1)
        return CodePairs(first, last, z.new_zeros(n, 0))

    @torch.no_grad()
    def complete(self, x: Tensor, observed: Tensor, warming: int = WARMING, sweeps: int = SWEEPS) -> Tensor:
        """Fill in missing pixels with one Markov chain per image, see `metropolis_within_gibbs`.

        The draws are approximate; they are exact in the limit of many sweeps.

        Args:      x, observed: shape (B, *event_shape), observed boolean.
        Raises:    InputError: as `given_only`.
        """
        return metropolis_within_gibbs(self, self.likelihood, x, observed, warming, sweeps)

    @torch.no_grad()
    def sample_joint(self, n: int) -> tuple[Tensor, Tensor]:
        """`n` joint draws of p(x, z): images (n, *event_shape) and their latents (n, M)."""
        z = self.prior().sample((n,))
        return self.likelihood(z).sample(), z

    def sample(self, n: int) -> Tensor:
        """Ancestral sampling: z ~ p(z), then x ~ p(x | z)."""
        return self.sample_joint(n)[0]

    @torch.no_grad()
    def sample_mean(self, n: int) -> Tensor:
        return self.decode(self.prior().sample((n,)))


def build_vae(settings: VAESettings, spec: DataSpec) -> VAE:
    """The VAE that the settings describe, for images of a shape and pixel space."""
    encoder = DiagonalGaussian(encoder_network(settings, spec, 2 * settings.latents))
    likelihood = pixel_likelihood(settings, spec)
    return VAE(encoder, likelihood, build_prior(settings, spec.event_shape))


def build_prior(settings: VAESettings, event_shape: tuple[int, ...]) -> Conditional:
    """The prior named in the settings.

    Raises:    InputError: an unknown name.
    """
    if settings.prior == "normal":
        return StandardNormal(settings.latents)
    if settings.prior == "mixture":
        return MixturePrior(settings.latents, settings.components)
    if settings.prior == "vamp":
        return VampPrior(list(event_shape), settings.components)
    if settings.prior == "flow":
        layers = FlowSettings(layers="affine", mixing="permute", actnorm=False)
        return FlowPrior(settings.latents, vector_bijection(layers, settings.latents))
    raise InputError(f"unknown prior {settings.prior!r}: choose normal, mixture, vamp or flow")

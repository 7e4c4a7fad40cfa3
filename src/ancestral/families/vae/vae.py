"""Variational autoencoder: any combination of encoder, pixel likelihood and prior."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Self

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent
from torch.nn.functional import one_hot

from ancestral.core.errors import InputError
from ancestral.core.serialization import registered
from ancestral.distributions.by_class import ClassAndLatents, mean_over_classes
from ancestral.distributions.conditional import Conditional, DiagonalGaussian, kl_parts
from ancestral.distributions.pixels import PixelLikelihood, log_prob_of_seen
from ancestral.distributions.priors import FlowPrior, MixturePrior, StandardNormal, VampPrior
from ancestral.families.coding import CodingModel, encoder_network, pixel_likelihood
from ancestral.families.conditional import classes_of
from ancestral.families.family import DataSpec
from ancestral.families.flow.points import vector_bijection
from ancestral.families.flow.settings import FlowSettings
from ancestral.families.vae.settings import VAESettings
from ancestral.models.base import CodePairs, LatentModel, LatentScale
from ancestral.models.classes import CodesClasses
from ancestral.models.completion import CHAIN, SWEEPS, WARMING, metropolis_within_gibbs

FILLS = 2  # how often missing pixels are replaced by their mean given the code; a third time changed little
PRIOR_DRAWS = 10_000  # for the mean and standard deviation of a prior that has no closed form


@registered
class VAE(CodingModel, CodesClasses, LatentModel):
    """Variational autoencoder: p(x, z) = p(z) p(x | z) with an approximate posterior q(z | x).

        log p(x) >= ELBO = E_q[log p(x | z)] - KL(q(z | x) || p(z))

    With a condition vector c, p(x, z | c) = p(z) p(x | z, c) and q(z | x, c). With classes y, p(x, z, y) = p(y) p(z)
    p(x | z, y) and q(z | x, y). `given` returns the model of one class. If none is given, the latents are codes: z,
    followed by y as a one-hot vector.

    Args:      encoder: pixels in [0, 1] to q(z | x); with classes, pixels and y to q(z | x, y). likelihood: codes to
               p(x | z). prior: p(z). classes: number of classes of y, 0 for none. proportions: of the classes in the
               training data; None: equal. vector: mean and standard deviation of each entry of c, instead of classes;
               () for none.
    Reference: Kingma and Welling, 2014, arXiv 1312.6114; Rezende et al., 2014, arXiv 1401.4082; with classes: Sohn et
               al., 2015, and Kingma et al., 2014, arXiv 1406.5298.
    Example:
        >>> model = build_vae(VAESettings(latents=2, hidden=(16,)), DataSpec((1, 8, 8), 17, "threshold"))
        >>> model.log_weights(torch.zeros(3, 1, 8, 8), k=5).shape
        torch.Size([3, 5])
    """

    takes_vectors: ClassVar[bool] = True
    completion: ClassVar[str] = CHAIN
    inference: ClassVar[str] = "approximate: means of the posterior q(z | x)"
    encodes_posterior_mean: ClassVar[bool] = True

    def __init__(
        self,
        encoder: Conditional,
        likelihood: PixelLikelihood,
        prior: Conditional,
        classes: int = 0,
        proportions: Sequence[float] | None = None,
        vector: Sequence[Sequence[float]] = (),
    ) -> None:
        super().__init__()
        self.set_classes(classes, proportions)
        self.set_vector(vector)
        self.encoder, self.likelihood, self.latent_prior = encoder, likelihood, prior
        if isinstance(prior, VampPrior):
            prior.use_encoder(encoder)

    def prior(self) -> Distribution:
        """p(z); with classes of which none is given, p(z) p(y) over codes."""
        p = self.latent_prior()
        return ClassAndLatents(self.log_class_probs(), [p]) if self.sums_classes else p

    def posterior(self, x: Tensor) -> Distribution:
        """q(z | x), or q(z | x, y) of the given class; otherwise q(y | x) q(z | x, y) over codes.

        q(y | x) is proportional to p(y) exp(log p(x | y, m) - KL(q(z | x, y) || p(z))) with the mean m of q(z | x, y).
        """
        return self._posterior(x, None)

    def _posterior(self, x: Tensor, seen: Tensor | None) -> Distribution:
        if self.sums_classes:
            return self._posterior_of_classes(x, seen)[0]
        unit = self.likelihood.to_unit(x)
        return self._encoded(unit if seen is None else self._without_missing(unit, seen))

    def _encoded(self, unit: Tensor) -> Distribution:
        """q(z | x) of pixels in [0, 1]."""
        self.refuse_without_class()
        return self.encoder(unit) if self.condition is None else self.encoder(unit, self.condition)

    def _without_missing(self, unit: Tensor, seen: Tensor) -> Tensor:
        """An input of the encoder that depends on the seen pixels only, for images of any number of seen pixels.

        Missing pixels are 0 and the others are larger, so that an image has the same sum on average. In use, the
        missing pixels are then replaced by their mean given the code, twice. Not in training: an encoder that learns
        from the model's own pixels was worse on complete images.
        """
        known = unit.where(seen, 0)
        count = seen.flatten(1).sum(1).clamp(min=1).view(-1, *[1] * (unit.ndim - 1))
        known = known * (seen[0].numel() / count)
        for _ in range(0 if self.training else FILLS):
            means = self.likelihood.to_unit(self.pixels(self._encoded(known).mean).mean)
            known = unit.where(seen, means)
        return known

    def _posterior_of_classes(self, x: Tensor, seen: Tensor | None = None) -> tuple[ClassAndLatents, list[Self]]:
        given = [self.given(label) for label in range(self.classes)]
        parts = [model._posterior(x, seen) for model in given]
        bounds = [
            model._log_likelihood(x, seen, q.mean) - kl_parts(q, self.latent_prior(), q.mean).sum(1)
            for model, q in zip(given, parts, strict=True)
        ]
        log_q = (torch.stack(bounds, 1) + self.log_class_probs()).log_softmax(1)
        return ClassAndLatents(log_q, parts), given

    def _log_likelihood(self, x: Tensor, seen: Tensor | None, z: Tensor) -> Tensor:
        pixels = self.pixels(z)
        return pixels.log_prob(x) if seen is None else log_prob_of_seen(pixels, x, seen)

    def pixels(self, z: Tensor) -> Distribution:
        """p(x | z). z: (..., M); or codes (..., M + classes), if the model has classes and none is given."""
        return self.likelihood(self.code(z))

    def log_joint(self, x: Tensor, z: Tensor) -> Tensor:
        return self.pixels(z).log_prob(x) + self.prior().log_prob(z)

    def log_weights(self, x: Tensor, k: int) -> Tensor:
        """See `LatentModel.log_weights`; with classes of which none is given, the sum of the weights of all classes.

        For z_y ~ q(z | x, y), sum_y p(y) p(x, z_y | y) / q(z_y | x, y) is unbiased for p(x). So the mean of its
        logarithm is a lower bound on log p(x), as without classes.
        """
        return self.log_weights_classes(x, k).logsumexp(1) if self.sums_classes else super().log_weights(x, k)

    def posterior_seen(self, x: Tensor, seen: Tensor) -> Distribution:
        """q(z | x where seen): the encoder gets zeros for the missing pixels, and in evaluation mode their means.

        With classes, as `posterior`. References: Mattei and Frellsen, 2019, section 2.3, arXiv 1812.02633; Rezende,
        Mohamed and Wierstra, 2014, arXiv 1401.4082, whose chain draws the missing pixels instead of their means.
        """
        return self._posterior(x, seen)

    def log_likelihood_seen(self, x: Tensor, seen: Tensor, z: Tensor) -> Tensor:
        """log p(x where seen | z), exact. z: (..., B, M); returns (..., B), nats."""
        return self._log_likelihood(x, seen, z)

    def elbo_parts(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """log p(x | z) for one z ~ q(z | x), shape (B,), and KL(q || p), shape (B, M) or (B, 1); nats.

        The first is summed over pixels. Nothing is averaged. The shape is (B, 1) if the KL divergence has no closed
        form; it is then an estimate from z. With classes of which none is given, both are averages over q(y | x), and
        KL(q(y | x) || p(y)) is the last column.
        """
        if self.sums_classes:
            return self._elbo_parts_of_classes(x)
        q = self.posterior(x)
        z = q.rsample()
        return self.pixels(z).log_prob(x), kl_parts(q, self.prior(), z)

    def _elbo_parts_of_classes(self, x: Tensor) -> tuple[Tensor, Tensor]:
        q, given = self._posterior_of_classes(x)
        prior = self.latent_prior()
        log_likelihoods, divergences = [], []
        for model, part in zip(given, q.parts, strict=True):
            z = part.rsample()
            log_likelihoods.append(model.pixels(z).log_prob(x))
            divergences.append(kl_parts(part, prior, z))
        return mean_over_classes(q, self.log_class_probs(), log_likelihoods, divergences)

    def elbo(self, x: Tensor) -> Tensor:
        reconstruction, divergence = self.elbo_parts(x)
        return reconstruction - divergence.sum(1)

    def decode(self, z: Tensor) -> Tensor:
        """E[x | z]. z: (B, M), or codes (B, M + classes) if the model has classes and none is given."""
        return self.pixels(z).mean

    def encode(self, x: Tensor) -> Tensor:
        """Posterior means E_q[z | x], shape (B, M); with classes of which none is given, codes (B, M + classes).

        A code has the most probable class and the mean of z given this class.
        """
        return self.encode_with_stddev(x)[0]

    def encode_with_stddev(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Means and standard deviations of q(z | x), shapes (B, M); or of codes, whose class has the deviation 0."""
        if not self.sums_classes:
            q = self.posterior(x)
            return q.mean, q.stddev
        q, _ = self._posterior_of_classes(x)
        y = one_hot(q.log_probs.argmax(1), self.classes)
        chosen = self.under(y).posterior(x)
        return torch.cat([chosen.mean, y.to(chosen.mean)], 1), torch.cat([chosen.stddev, torch.zeros_like(y)], 1)

    @torch.no_grad()
    def latent_scale(self) -> LatentScale:
        """Mean and standard deviation of each latent under the prior, shape (M,): exact, or estimated from
        `PRIOR_DRAWS` draws."""
        p = self.latent_prior()
        if isinstance(p, Independent):
            return LatentScale(p.mean, p.stddev, "the prior")
        z = p.sample((PRIOR_DRAWS,))
        return LatentScale(z.mean(0), z.std(0), f"{PRIOR_DRAWS:,} draws of the prior")

    @torch.no_grad()
    def sample_code_pairs(self, n: int) -> CodePairs:
        """`n` pairs of independent draws from the prior. With classes, both draws of a pair have the same class, and
        pairs use the classes in turn."""
        z = self.latent_prior().sample((2 * n,))
        first, last = z.unflatten(0, (n, 2)).unbind(1)
        return CodePairs(first, last, self.classes_in_turn(n))

    @torch.no_grad()
    def complete(self, x: Tensor, observed: Tensor, warming: int = WARMING, sweeps: int = SWEEPS) -> Tensor:
        """Fill in missing pixels with one Markov chain per image, see `metropolis_within_gibbs`.

        The draws are approximate; they are exact in the limit of many sweeps.

        Args:      x, observed: shape (B, *event_shape), observed boolean.
        Raises:    InputError: as `given_only`.
        """
        return metropolis_within_gibbs(self, self.pixels, x, observed, warming, sweeps)

    @torch.no_grad()
    def sample_joint(self, n: int) -> tuple[Tensor, Tensor]:
        """`n` joint draws of p(x, z): images (n, *event_shape) and their latents or codes (n, M)."""
        z = self.prior().sample((n,))
        return self.pixels(z).sample(), z

    def sample(self, n: int) -> Tensor:
        """Ancestral sampling: z ~ p(z), then x ~ p(x | z)."""
        return self.sample_joint(n)[0]

    @torch.no_grad()
    def sample_mean(self, n: int) -> Tensor:
        return self.decode(self.prior().sample((n,)))


def build_vae(settings: VAESettings, spec: DataSpec) -> VAE:
    """The VAE that the settings describe, for images of a shape and pixel space."""
    classes, proportions = classes_of(settings, spec)
    if spec.conditions and settings.prior == "vamp":
        raise InputError("--prior vamp has no conditions for its pseudo-inputs: choose another --prior")
    entries = classes or len(spec.conditions)
    encoder = DiagonalGaussian(encoder_network(settings, spec, 2 * settings.latents, entries))
    likelihood = pixel_likelihood(settings, spec, entries)
    prior = build_prior(settings, spec.event_shape, classes)
    return VAE(encoder, likelihood, prior, classes, proportions, spec.conditions)


def build_prior(settings: VAESettings, event_shape: tuple[int, ...], classes: int = 0) -> Conditional:
    """The prior named in the settings.

    Args:      classes: number of classes that the encoder gets; 0 for none.

    Raises:    InputError: an unknown name.
    """
    if settings.prior == "normal":
        return StandardNormal(settings.latents)
    if settings.prior == "mixture":
        return MixturePrior(settings.latents, settings.components)
    if settings.prior == "vamp":
        return VampPrior(list(event_shape), settings.components, classes=classes)
    if settings.prior == "flow":
        layers = FlowSettings(layers="affine", mixing="permute", actnorm=False)
        return FlowPrior(settings.latents, vector_bijection(layers, settings.latents))
    raise InputError(f"unknown prior {settings.prior!r}: choose normal, mixture, vamp or flow")

"""Priors over latent vectors: p(z)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, constraints
from torch.nn.functional import one_hot

from ancestral.core.maths import bounded_log_variance
from ancestral.core.random import initial_normal
from ancestral.core.serialization import registered
from ancestral.distributions.bijections import Bijection, FlowDistribution
from ancestral.distributions.conditional import Conditional, DiagonalGaussian, diagonal_gaussian


class GaussianMixture(Distribution):
    """p(z) = sum_k w_k N(z; m_k, diag v_k): a mixture over whole vectors, not over each dimension separately.

    The squared distances to all components come from two matrix products, without an array of shape (batch, K, M). For
    narrow components that are far apart, they are small differences of large terms. So they are always computed in
    double precision.

    Args:      log_weights: shape (K,), unnormalised. means, log_variances: shape (K, M).
    Returns:   `log_prob` of z, shape (..., M), has shape (...), exact, nats.
    """

    arg_constraints = {}  # type: ignore[assignment]  # noqa: RUF012  (read by the base class)
    support = constraints.real_vector  # type: ignore[assignment]

    def __init__(self, log_weights: Tensor, means: Tensor, log_variances: Tensor) -> None:
        self.log_weights = log_weights.log_softmax(0)
        self.means, self.log_variances = means, log_variances
        super().__init__(torch.Size(), means.shape[-1:], validate_args=False)

    @property
    def mean(self) -> Tensor:
        return self.log_weights.exp() @ self.means

    def component_log_probs(self, z: Tensor) -> Tensor:
        """log w_k + log N(z; m_k, v_k), shape (..., K), nats."""
        centre = self.means.double().mean(0)
        x, means = z.double() - centre, self.means.double() - centre
        log_variances = self.log_variances.double()
        precisions = (-log_variances).exp()
        squared = x.square() @ precisions.T - 2 * x @ (means * precisions).T
        constant = (means.square() * precisions + log_variances).sum(-1)
        normaliser = z.shape[-1] * math.log(2 * math.pi)
        return (self.log_weights - 0.5 * (squared + constant + normaliser)).to(torch.result_type(z, self.means))

    def log_prob(self, value: Tensor) -> Tensor:
        return self.component_log_probs(value).logsumexp(-1)

    def sample(self, sample_shape: torch.Size | Sequence[int] = ()) -> Tensor:
        with torch.no_grad():
            count = math.prod(sample_shape)
            k = torch.multinomial(self.log_weights.exp(), max(count, 1), replacement=True)[:count]
            z = diagonal_gaussian(self.means[k], self.log_variances[k]).sample()
            return z.reshape(*sample_shape, self.means.shape[-1])


@registered
class StandardNormal(Conditional):
    """p(z) = N(0, I) over M latents."""

    origin: Tensor

    def __init__(self, latents: int) -> None:
        super().__init__()
        self.latents = latents
        self.register_buffer("origin", torch.zeros(latents), persistent=False)

    def forward(self, context: Tensor | None = None) -> Independent:
        return diagonal_gaussian(self.origin, torch.zeros_like(self.origin))


@registered
class MixturePrior(Conditional):
    """p(z) = sum_k w_k N(z; m_k, diag v_k) with learned weights, means and variances.

    Args:      latents: M. components: K. The initial means are samples of N(0, I); the initial variances are 1.
    Reference: `tue2024`; Dilokthanakul et al., 2016, arXiv 1611.02648.
    """

    def __init__(self, latents: int, components: int) -> None:
        super().__init__()
        self.log_weights = nn.Parameter(torch.zeros(components))
        self.means = nn.Parameter(initial_normal(components, latents))
        self.log_variances = nn.Parameter(torch.zeros(components, latents))

    def forward(self, context: Tensor | None = None) -> GaussianMixture:
        return GaussianMixture(self.log_weights, self.means, bounded_log_variance(self.log_variances))


@registered
class VampPrior(Conditional):
    """p(z) = sum_k w_k q(z | u_k): a mixture of the posteriors of K learned pseudo-images u_k.

    Args:      event_shape: shape of a pseudo-image. components: K. low, high: range of the pseudo-images (a smooth
               bound), equal to the range of the encoder's input. classes: of an encoder that gets the class of an
               image: pseudo-image k has the class k modulo this number; 0 for none.
    Deviation: the weights w_k are learned, from the initial value 1/K; in the paper they stay 1/K.
    Reference: Tomczak and Welling, 2018, eq. 9, arXiv 1705.07120.
    """

    if TYPE_CHECKING:
        _encoder: DiagonalGaussian

    def __init__(
        self, event_shape: Sequence[int], components: int, low: float = 0.0, high: float = 1.0, classes: int = 0
    ) -> None:
        super().__init__()
        self.low, self.high, self.classes = low, high, classes
        self.log_weights = nn.Parameter(torch.zeros(components))
        self.pseudo_inputs = nn.Parameter(initial_normal(components, *event_shape).sub_(2.0))

    def use_encoder(self, encoder: Conditional) -> None:
        """Use the model's encoder, without registering it here, so that it is not saved or counted twice."""
        object.__setattr__(self, "_encoder", encoder)

    def forward(self, context: Tensor | None = None) -> GaussianMixture:
        images = self.low + (self.high - self.low) * self.pseudo_inputs.sigmoid()
        condition = None
        if self.classes:
            condition = one_hot(torch.arange(len(images), device=images.device) % self.classes, self.classes).to(images)
        q = self._encoder(images, condition)
        return GaussianMixture(self.log_weights, q.base_dist.loc, 2 * q.base_dist.scale.log())


@registered
class FlowPrior(Conditional):
    """p(z) = N(f(z); 0, I) |det df/dz|: a normalizing flow over M latents.

    Args:      latents: M. bijection: f.
    Reference: Chen et al., 2017, section 3.2, arXiv 1611.02731 (an autoregressive flow as the prior).
    """

    def __init__(self, latents: int, bijection: Bijection) -> None:
        super().__init__()
        self.base, self.bijection = StandardNormal(latents), bijection

    def forward(self, context: Tensor | None = None) -> FlowDistribution:
        return FlowDistribution(self.base(), self.bijection)

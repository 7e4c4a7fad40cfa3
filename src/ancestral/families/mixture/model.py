"""Mixture of Bernoullis: binary pixels, independent given a categorical latent."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch.distributions import Categorical
from torch.nn import functional as F

from ancestral.core.errors import InputError
from ancestral.core.precision import without_autocast
from ancestral.core.random import initial_normal
from ancestral.core.serialization import registered
from ancestral.distributions.pixels import BINARY_SPACES, BernoulliImage, are_levels
from ancestral.families.conditional import ComponentsByClass, classes_of
from ancestral.families.family import DataSpec
from ancestral.families.mixture.settings import MixtureSettings
from ancestral.models.base import ExactModel, as_images
from ancestral.models.completion import filled, given_only
from ancestral.models.seen import without_unseen


class Table(NamedTuple):
    """Log-probabilities of the components of a mixture, nats.

    Attributes: prior: log p(Z), shape (K,) or (B, K). logits: l_kd, shape (K, D). off: -log p(x_d = 0 | k), shape
               (K, D). off_sums: their sums over pixels, shape (K,).
    """

    prior: Tensor
    logits: Tensor
    off: Tensor
    off_sums: Tensor


@registered
class MixtureOfBernoullis(ComponentsByClass, ExactModel):
    """Mixture of Bernoullis with K components.

        p(x) = sum_k p(Z = k) prod_d Bernoulli(x_d; sigmoid(w_kd + c_d)),   p(Z) = softmax(b)

    With l_kd = w_kd + c_d, log p(x | k) = x . l_k - sum_d softplus(l_kd) is one matrix product for all images and
    components.

    Args:      event_shape: shape of an image with D pixels. components: K.
               weight_scale: standard deviation of the initial w. classes: number C of classes, 0 for none; component k
               belongs to class k // (K / C), so p(x | y) is a mixture of K / C components.
    Reference: `uva2018`; Bishop, 2006, section 9.3.3.
    Example:
        >>> model = MixtureOfBernoullis([1, 8, 8], components=5)
        >>> model.log_prob(torch.zeros(3, 1, 8, 8)).shape
        torch.Size([3])
    """

    spaces = BINARY_SPACES
    levels = 2
    completion: ClassVar[str] = "exact"
    maximisation: ClassVar[str] = "exact: jointly with the component"
    inference: ClassVar[str] = "exact: responsibilities p(Z = k | x)"
    latent_kind: ClassVar[str] = "component"

    def __init__(
        self, event_shape: Sequence[int], components: int = 20, weight_scale: float = 0.01, classes: int = 0
    ) -> None:
        super().__init__()
        if components < 1:
            raise InputError(f"a mixture needs at least 1 component, not {components}")
        if classes and components % classes:
            raise InputError(f"a mixture needs equally many components of each class: {components} for {classes}")
        self.set_classes(classes)
        self.event_shape = tuple(event_shape)
        pixels = math.prod(event_shape)
        self.b = nn.Parameter(torch.zeros(components))
        self.w = nn.Parameter(initial_normal(components, pixels, scale=weight_scale))
        self.c = nn.Parameter(torch.zeros(pixels))

    @property
    def component_logits(self) -> Tensor:
        return self.b

    @property
    def logits(self) -> Tensor:
        """l_kd, shape (K, D)."""
        return self.w + self.c

    @property
    def component_images(self) -> Tensor:
        """p(X = 1 | Z = k), shape (K, *event_shape)."""
        return as_images(self.logits.sigmoid(), self.event_shape)

    @property
    def component_probs(self) -> Tensor:
        """p(Z), shape (K,); for given classes p(Z | y), shape (K,) or (B, K)."""
        return self.log_prior().exp()

    def table(self) -> Table:
        """The log-probabilities of all components and pixels. They can be kept while the parameters do not change."""
        off = F.softplus(self.logits, threshold=40)
        return Table(self.log_prior(), self.logits, off, off.sum(1))

    def joint(self, x: Tensor, observed: Tensor | None = None, table: Table | None = None) -> Tensor:
        """log p(x, Z = k), shape (B, K), nats; with a mask of shape (B, D), of the observed pixels only."""
        prior, logits, off, off_sums = table or self.table()
        rows = x.flatten(1).to(logits)
        with without_autocast(x.device):  # in half precision the sums over pixels have errors of several nats
            if observed is None:
                return prior + rows @ logits.T - off_sums
            seen = observed.to(rows)
            return prior + (seen * rows) @ logits.T - seen @ off.T

    def log_prior(self) -> Tensor:
        """log p(Z), shape (K,), nats; for given classes log p(Z | y), shape (K,) or (B, K)."""
        return self.log_component_probs

    def log_joint_states(self, x: Tensor) -> Tensor:
        """log p(x, Z = k), shape (B, K), nats."""
        return self.joint(x)

    def pixels_of_states(self, states: Tensor) -> BernoulliImage:
        """p(x | Z) for the number of a component for each image, shape (B,)."""
        return BernoulliImage(as_images(self.logits[states], self.event_shape), len(self.event_shape))

    def log_prob(self, x: Tensor) -> Tensor:
        """log p(x), exact.

        Args:      x: shape (B, *event_shape), zeros and ones.
        Returns:   shape (B,), nats.
        Raises:    InputError: in evaluation mode, pixels that are neither 0 nor 1.
        """
        if not self.training and not are_levels(x, 2):
            raise InputError("a mixture of Bernoullis needs binary pixels: found values other than 0 and 1")
        return self.joint(x).logsumexp(1)

    def log_prob_seen(self, x: Tensor, seen: Tensor) -> Tensor:
        """log p(x where seen), exact, shape (B,), nats: a missing pixel is summed out by leaving out its factor."""
        return self.joint(without_unseen(x, seen, self), seen.flatten(1)).logsumexp(1)

    def log_prob_missing(self, x: Tensor, observed: Tensor) -> Tensor:
        """log p(missing | observed) = log p(x) - log p(observed), exact, shape (B,), nats."""
        given = given_only(self, x, observed)
        return self.log_prob(x) - self.joint(given, observed.flatten(1)).logsumexp(1)

    @torch.no_grad()
    def complete(self, x: Tensor, observed: Tensor) -> Tensor:
        """Fill in missing pixels with exact draws from p(missing | observed): k ~ p(Z | observed), then each pixel.

        Args:      x, observed: shape (B, *event_shape), observed boolean.
        Raises:    InputError: as `given_only`.
        """
        joint = self.joint(given_only(self, x, observed), observed.flatten(1))
        k = Categorical(logits=joint, validate_args=False).sample()
        return filled(x, observed, torch.bernoulli(self.component_images[k]))

    @torch.no_grad()
    def most_probable(self, x: Tensor, observed: Tensor) -> tuple[Tensor, Tensor]:
        """The missing pixels of the most probable joint assignment of component and missing pixels.

        It maximises p(x, Z), not p(x): for the most probable image alone, no efficient exact algorithm is known.

        Args:      x, observed: shape (B, *event_shape), observed boolean.
        Returns:   images, shape (B, *event_shape), and log p(x, Z), shape (B,), nats, exact.
        Raises:    InputError: as `given_only`.
        """
        joint, hidden = self.joint(given_only(self, x, observed), observed.flatten(1)), ~observed.flatten(1)
        peaks = F.logsigmoid(self.logits.abs())  # log-probability of the more probable value, shape (K, D)
        log_prob, k = (joint + hidden.to(peaks) @ peaks.T).max(1)
        return filled(x, observed, as_images((self.logits > 0)[k], self.event_shape)), log_prob

    def posterior(self, x: Tensor) -> Categorical:
        """p(Z | x), exact, batch shape (B,)."""
        return Categorical(logits=self.joint(x), validate_args=False)

    def encode(self, x: Tensor) -> Tensor:
        """Responsibilities p(Z = k | x), shape (B, K)."""
        return self.joint(x).softmax(1)

    def decode(self, z: Tensor) -> Tensor:
        """E[x | p(Z)] for probabilities z of the components, shape (B, K); returns (B, *event_shape)."""
        return as_images(z @ self.logits.sigmoid(), self.event_shape)

    @torch.no_grad()
    def sample(self, n: int) -> Tensor:
        return torch.bernoulli(self.sample_mean(n))

    @torch.no_grad()
    def sample_mean(self, n: int) -> Tensor:
        probs = self.component_probs
        k = torch.multinomial(probs, n, replacement=True) if probs.ndim == 1 else torch.multinomial(probs, 1)[:, 0]
        return self.component_images[k]

    @torch.no_grad()
    def set_probabilities(self, component_probs: Tensor, pixel_probs: Tensor) -> None:
        """Set p(Z), shape (K,), and p(X = 1 | Z), shape (K, D); all strictly between 0 and 1.

        The shared c becomes the mean logit.
        """
        logits = pixel_probs.logit()
        self.b.copy_(component_probs.log())
        self.c.copy_(logits.mean(0))
        self.w.copy_(logits - self.c)


def build_mixture(settings: MixtureSettings, spec: DataSpec) -> MixtureOfBernoullis:
    """The mixture that the settings describe.

    The initial weights for gradient ascent are small, as in the coursework `uva2018`. Expectation-maximisation needs
    larger ones, because its components must differ at the start.

    Raises:    InputError: the pixels are not binary.
    """
    if spec.space not in MixtureOfBernoullis.spaces:
        advice = (
            "; for points choose the family flow" if spec.space == "points" else ": use --pixels threshold, for example"
        )
        raise InputError(f"a mixture of Bernoullis needs binary pixels, not {spec.space}{advice}")
    scale = 0.01 if settings.method == "gradient" else 0.5
    classes, _ = classes_of(settings, spec)
    return MixtureOfBernoullis(list(spec.event_shape), settings.components * max(1, classes), scale, classes)

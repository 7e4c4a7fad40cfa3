"""Protocols for models that can generate their pixels in any order, or several pixels in one step."""

from __future__ import annotations

from typing import ClassVar, Protocol, runtime_checkable

from torch import Tensor
from torch.distributions import Distribution

from ancestral.core.errors import NotComputable
from ancestral.core.text import type_in_words

RASTER, CONFIDENCE = "raster", "confidence"
"""Names of the order that reads the image, and of the one that takes the pixel with the lowest entropy next."""


@runtime_checkable
class HasOrders(Protocol):
    """Can generate its pixels in any order, and compute log p(x) exactly in each. Completions have `default_order`.

    It evaluates its network once for each pixel of each image, so few images are scored in an order.
    """

    default_order: ClassVar[str]

    def check_order(self, order: str) -> None:
        """Raise an `InputError` if no order has this name."""
        ...

    def log_prob_in_order(self, x: Tensor, order: str) -> Tensor:
        """log p(x | order), exact, shape (B,), nats. order: its name."""
        ...


@runtime_checkable
class ScoresHidden(HasOrders, Protocol):
    """Can compute log p of each hidden pixel given the seen ones, and of all hidden pixels in an order."""

    def log_probs_hidden(self, x: Tensor, observed: Tensor) -> Tensor:
        """log p(x_d | observed pixels) of each pixel d, and 0 for observed ones, shape (B, D), nats."""
        ...

    def log_prob_missing(self, x: Tensor, observed: Tensor, order: str) -> Tensor:
        """log p(missing pixels | observed pixels, order), exact, shape (B,), nats."""
        ...


@runtime_checkable
class SamplesInSteps(Protocol):
    """Can sample in fewer steps than there are pixels, which then are not exact samples."""

    def sample_in_steps(self, n: int, steps: int) -> Tensor:
        """`n` samples with `steps` evaluations of the network, shape (n, *event_shape)."""
        ...

    def bound_in_steps(self, x: Tensor, steps: int) -> Tensor:
        """Unbiased estimate of a lower bound on log p(x) of such samples, with the same random numbers for each
        number of steps, shape (B,), nats."""
        ...


@runtime_checkable
class HasConditionalAt(Protocol):
    """Can compute the conditional distribution of one pixel, without those of the others."""

    @property
    def reading_order(self) -> Tensor:
        """Indices of the pixels in the order in which they are generated, shape (D,)."""
        ...

    def conditional(self, x: Tensor, place: int) -> Distribution:
        """p(x_d | the pixels before d) of the pixel d at a place of the order, batch shape (B,)."""
        ...


def with_orders(model: object) -> HasOrders:
    """The model, which has orders of its pixels to choose from.

    Raises:    NotComputable: it has none.
    """
    if not isinstance(model, HasOrders):
        raise NotComputable(f"{type_in_words(model)} has no orders of its pixels to choose from: leave --order out")
    return model


def with_steps(model: object) -> SamplesInSteps:
    """The model, which can sample in parallel steps.

    Raises:    NotComputable: it cannot.
    """
    if not isinstance(model, SamplesInSteps):
        raise NotComputable(f"{type_in_words(model)} has no parallel steps: leave --steps out")
    return model


def bound_samples(model: object, samples: int) -> int:
    """Latent samples per image for a bound on log p(x), if a caller would like this number of them.

    0, which means the ELBO, for a model with orders: each sample would need an evaluation of its network for each
    pixel, and the ELBO needs only a few in all.
    """
    return 0 if isinstance(model, HasOrders) else samples

"""Base class of autoregressive models: the chain rule over pixels, for exact scores and exact samples."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import product
from typing import ClassVar, Self

import torch
from torch import Tensor
from torch.distributions import Categorical, Distribution, MixtureSameFamily

from ancestral.core.errors import InputError, NotComputable
from ancestral.core.text import type_in_words
from ancestral.distributions.pixels import BINARY_SPACES
from ancestral.models.base import ExactModel
from ancestral.models.classes import ClassConditional
from ancestral.models.completion import filled, given_only
from ancestral.models.outputs import OutputModel
from ancestral.models.particles import Particles

PARTICLES, ROWS = 50, 1000  # particles per image in a completion; particles in one batch
MOST_FREE_LEVELS = 32  # with more levels, a mixture of logistics learns faster than a categorical


class AutoregressiveModel(ClassConditional, OutputModel, ExactModel):
    """log p(x) = sum_d log p(x_d | x_<d): one network computes the parameters of all conditionals at once.

    With classes, the network gets the class, and p(x) = sum_y p(y) p(x | y). `predict` and `draw` need a given class.
    """

    completion: ClassVar[str] = "exact in its order, else approximate: particles weighted by the observed pixels"
    seen_samples: ClassVar[int] = PARTICLES

    @property
    def order(self) -> Tensor:
        """Indices of the pixels in the order in which they are generated, shape (D,)."""
        raise NotImplementedError

    @property
    def orders(self) -> Tensor:
        """The same for all J orderings that the model averages over, shape (J, D)."""
        return self.order[None]

    def predict(self, x: Tensor) -> Tensor:
        """Parameters of p(x_d | x_<d) for all d, shape (B, *event_shape, size)."""
        raise NotImplementedError

    def predict_under(self, x: Tensor, ordering: Tensor) -> Tensor:
        """As `predict`, for one ordering of the model. ordering: its index, shape (1,)."""
        return self.predict(x)

    def draw(self, noise: Tensor, particles: Particles | None = None) -> Tensor:
        """Images from uniform `noise`, shape (n, *event_shape), by the inverse distribution function of each
        conditional in turn. With `particles`, observed pixels keep their values."""
        raise NotImplementedError

    def draw_under(self, noise: Tensor, ordering: int, particles: Particles | None = None) -> Tensor:
        """As `draw`, for one ordering of the model."""
        return self.draw(noise, particles)

    def log_prob(self, x: Tensor) -> Tensor:
        """log p(x), exact. x: (B, *event_shape), whole levels; returns (B,), nats.

        Raises:    InputError: in evaluation mode, a value is not a level.
        """
        if not self.training:
            self.output.check(x)
        if self.sums_classes:
            return self.log_joint_classes(x).logsumexp(1)
        return self.log_prob_of_orders(x)

    def log_prob_of_orders(self, x: Tensor) -> Tensor:
        """log p(x) for a given class or without classes, averaged over the orderings, shape (B,), nats."""
        return self.output.log_prob(self.predict(x), x).flatten(1).sum(1)

    def conditionals(self, x: Tensor) -> Distribution:
        """p(x_d | x_<d) for every d, batch shape = shape of x; exact.

        With classes, the distributions given each class have the weights p(y | x_<d).
        """
        if not self.sums_classes:
            return self.output.distribution(self.predict(x))
        each = torch.stack([self.given(label).predict(x) for label in range(self.classes)], -2)  # (B, *event, K, size)
        log_p = self.output.log_prob(each, x[..., None])
        in_order = log_p.flatten(1, -2)[:, self.order]
        before = torch.empty_like(in_order)
        before[:, self.order] = in_order.cumsum(1) - in_order  # log p(x_<d | y)
        posterior = Categorical(logits=self.log_class_probs() + before.view_as(log_p), validate_args=False)
        return MixtureSameFamily(posterior, self.output.distribution(each), validate_args=False)

    def log_prob_missing(self, x: Tensor, observed: Tensor) -> Tensor:
        """log p(missing | observed), exact, shape (B,), nats.

        Raises:    NotComputable: a missing pixel comes before an observed one in an ordering of the model.
                   InputError: as `given_only`, or a value is not a level.
        """
        given_only(self, x, observed)
        self.output.check(x)
        if not bool(_come_first(observed, self.orders).all()):
            raise NotComputable(
                f"{type_in_words(self)} can compute the probability of missing pixels only if all observed pixels "
                "come before them in its order"
            )
        both = []
        for model, log_share in self.each_class():
            for ordering in torch.arange(len(self.orders), device=x.device).split(1):
                log_p = self.output.log_prob(model.predict_under(x, ordering), x)
                sums = [values.flatten(1).sum(1) for values in (log_p, torch.where(observed, log_p, 0))]
                both.append(torch.stack(sums) + log_share)
        log_p_x, log_p_observed = torch.stack(both).logsumexp(0)  # over classes and orderings: (2, B)
        return log_p_x - log_p_observed

    def each_class(self) -> list[tuple[Self, Tensor | float]]:
        """The model given each class with log p(y); or the model alone, if it does not sum over classes."""
        if not self.sums_classes:
            return [(self, 0.0)]
        return [(self.given(label), log_share) for label, log_share in enumerate(self.log_class_probs())]

    @torch.no_grad()
    def complete(self, x: Tensor, observed: Tensor, particles: int = PARTICLES) -> Tensor:
        """Sample the missing pixels given the observed ones, in the model's order.

        Exact if all observed pixels of an image come before its missing ones, in every ordering of the model. Otherwise
        approximate, by a particle filter: particles that give the observed pixels a high probability are kept.

        Args:      x, observed: shape (B, *event_shape), observed boolean. particles: number of particles for each
                   image, divided among the orderings.
        Returns:   whole images, shape (B, *event_shape).
        Raises:    InputError: as `given_only`, or `particles` is below 1.
        Reference: `Particles`.
        """
        if particles < 1:
            raise InputError(f"particles {particles}: give a whole number of at least 1")
        parts = self._in_parts(x, observed, particles)
        drawn = [self._draw_around(some, seen, particles) for some, seen in parts]
        return filled(x, observed, torch.cat(drawn))

    @torch.no_grad()
    def estimate_log_prob_seen(self, x: Tensor, seen: Tensor) -> Tensor:
        """The logarithm of an unbiased estimate of p(x where seen), by the particle filter of `complete`; (B,), nats.

        Args:      x, seen: shape (B, *event_shape), seen boolean.
        Raises:    InputError: as `given_only`.
        Reference: Naesseth et al., 2014, proposition 1, arXiv 1402.0330.
        """
        parts = self._in_parts(x, seen, PARTICLES)
        each = [torch.cat(self._particles(*part, PARTICLES)[1], 1).logsumexp(1) for part in parts]
        return torch.cat(each) if each else x.new_zeros(0)

    def _in_parts(self, x: Tensor, observed: Tensor, particles: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Observed values and masks, shapes (b, D), of the images whose particles are in one batch."""
        at_once = max(1, ROWS // particles)
        given = given_only(self, x, observed).flatten(1)
        return zip(given.split(at_once), observed.flatten(1).split(at_once), strict=True)

    def _draw_around(self, given: Tensor, observed: Tensor, particles: int) -> Tensor:
        """One particle of each image, from all classes and orderings. given, observed: (B, D); returns
        (B, *event_shape)."""
        tries, log_weights = self._particles(given, observed, particles)
        chosen = Categorical(logits=torch.cat(log_weights, 1), validate_args=False).sample()
        return torch.cat(tries, 1)[torch.arange(len(given), device=given.device), chosen]

    def _particles(self, given: Tensor, observed: Tensor, particles: int) -> tuple[list[Tensor], list[Tensor]]:
        """Particles of all classes and orderings, shapes (B, k, *event_shape), and their log-weights, (B, k), nats.

        The sum of all weights of an image is an unbiased estimate of p(observed).
        """
        tries: list[Tensor] = []
        log_weights: list[Tensor] = []
        models = [(model, share) for model, share in self.each_class() if share > -torch.inf]
        for (model, log_share), (ordering, order) in product(models, enumerate(self.orders)):
            exact = bool(_come_first(observed, order[None]).all())
            tried = Particles(given, observed, 1 if exact else -(-particles // (len(models) * len(self.orders))))
            noise = torch.rand(len(tried.given), *self.event_shape, dtype=self.dtype, device=given.device)
            tries.append(model.draw_under(noise, ordering, tried).unflatten(0, (len(given), -1)))
            log_weights.append(tried.final_weights() + log_share - math.log(len(self.orders)))
        return tries, log_weights

    @torch.no_grad()
    def sample(self, n: int) -> Tensor:
        if self.sums_classes:
            return self.sample_classes(self.draw_classes(n))
        like = next(self.parameters())
        return self.draw(torch.rand(n, *self.event_shape, dtype=like.dtype, device=like.device))


def _come_first(observed: Tensor, orders: Tensor) -> Tensor:
    """Whether all observed pixels of an image come before its missing ones, for each ordering, shape (B, J)."""
    turns = observed.flatten(1)[:, orders].int()  # (B, J, D)
    return (turns.diff(dim=2) <= 0).all(2)


def output_name(wanted: str, levels: int, space: str) -> tuple[str, int]:
    """Name and number of levels of the output for a pixel space. `auto` selects the default output.

    Raises:    InputError: the output cannot be used with these pixels.
    """
    if space in BINARY_SPACES:
        name, levels = "bernoulli", 2
    elif space == "levels":
        name = "categorical" if levels <= MOST_FREE_LEVELS else "logistic"
    else:
        raise InputError(f"autoregressive models need binary pixels or whole levels: data have {space} pixels")
    if wanted not in ("auto", name) and "bernoulli" in (wanted, name):
        raise InputError(f"--output {wanted} cannot be used with {space} pixels: remove --output")
    return name if wanted == "auto" else wanted, levels

"""What autoregressive models share: the chain rule over pixels, exact in both directions."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor
from torch.distributions import Categorical, Distribution

from ancestral.core.errors import InputError, NotComputable
from ancestral.distributions.outputs import PixelOutput
from ancestral.distributions.pixels import BINARY_SPACES
from ancestral.models.base import ExactModel
from ancestral.models.completion import filled, given_only
from ancestral.models.particles import Particles

PARTICLES, ROWS = 50, 1000  # tries at an image around observed pixels, and how many there are at once
MOST_FREE_LEVELS = 32  # beyond, a mixture of logistics learns faster than a categorical


class AutoregressiveModel(ExactModel):
    """log p(x) = sum_d log p(x_d | x_<d): one network gives the parameters of every conditional at once.

    Attributes: output: what the parameters of a value mean.
    """

    output: PixelOutput
    completion: ClassVar[str] = "exact in its order, else approximate: particles weighed by the observed pixels"

    @property
    def levels(self) -> int:  # type: ignore[override]
        return self.output.levels

    @property
    def spaces(self) -> tuple[str, ...]:  # type: ignore[override]
        return self.output.spaces

    @property
    def order(self) -> Tensor:
        """Index of the pixel that is drawn first, second, ..., shape (D,)."""
        raise NotImplementedError

    @property
    def orders(self) -> Tensor:
        """The same for all orderings that the model averages, shape (J, D)."""
        return self.order[None]

    def predict(self, x: Tensor) -> Tensor:
        """Parameters of p(x_d | x_<d) for all d, shape (B, *event_shape, size)."""
        raise NotImplementedError

    def predict_under(self, x: Tensor, ordering: Tensor) -> Tensor:
        """As `predict`, in one of the model's orderings: its index, shape (1,)."""
        return self.predict(x)

    def draw(self, noise: Tensor, particles: Particles | None = None) -> Tensor:
        """The image that uniform `noise` of shape (n, *event_shape) stands for, by each conditional's inverse
        distribution function in turn; with `particles`, around observed pixels."""
        raise NotImplementedError

    def draw_under(self, noise: Tensor, ordering: int, particles: Particles | None = None) -> Tensor:
        """As `draw`, in one of the model's orderings."""
        return self.draw(noise, particles)

    def log_prob(self, x: Tensor) -> Tensor:
        """log p(x), exact. x: (B, *event_shape), whole levels; returns (B,), nats.

        Raises:    InputError, while not training, for values that are no levels.
        """
        if not self.training:
            self.output.check(x)
        return self.output.log_prob(self.predict(x), x).flatten(1).sum(1)

    def conditionals(self, x: Tensor) -> Distribution:
        """p(x_d | x_<d) for every d, batch shape = shape of x; exact."""
        return self.output.distribution(self.predict(x))

    def log_prob_missing(self, x: Tensor, observed: Tensor) -> Tensor:
        """log p(missing | observed), exact, shape (B,), nats.

        Raises:    NotComputable: some missing pixel comes before an observed one in an ordering of the model.
                   InputError: as `given_only`; values that are no levels.
        """
        given_only(self, x, observed)
        self.output.check(x)
        if not bool(_come_first(observed, self.orders).all()):
            raise NotComputable(
                f"a {type(self).__name__} gives a probability to missing pixels only where all observed ones come "
                "before them in its order"
            )
        both = []
        for ordering in torch.arange(len(self.orders), device=x.device).split(1):
            log_p = self.output.log_prob(self.predict_under(x, ordering), x)
            both.append(torch.stack([values.flatten(1).sum(1) for values in (log_p, torch.where(observed, log_p, 0))]))
        log_p_x, log_p_observed = torch.stack(both).logsumexp(0)  # over the orderings: (2, B)
        return log_p_x - log_p_observed

    @torch.no_grad()
    def complete(self, x: Tensor, observed: Tensor, particles: int = PARTICLES) -> Tensor:
        """Missing pixels, drawn in the model's order around the observed ones.

        Exact where all observed pixels of an image come before its missing ones, in every ordering the model
        averages. Else approximate: of several tries those live on that make the observed pixels probable.

        Args:      x, observed: shape (B, *event_shape), observed boolean. particles: tries at each image, shared
                   by the orderings.
        Raises:    InputError: as `given_only`; no particles.
        Reference: `Particles`.
        """
        if particles < 1:
            raise InputError(f"completing takes at least 1 particle, not {particles}")
        given, at_once = given_only(self, x, observed).flatten(1), max(1, ROWS // particles)
        parts = zip(given.split(at_once), observed.flatten(1).split(at_once), strict=True)
        drawn = [self._draw_around(some, seen, particles) for some, seen in parts]
        return filled(x, observed, torch.cat(drawn))

    def _draw_around(self, given: Tensor, observed: Tensor, particles: int) -> Tensor:
        """One of the particles of each image in all orderings. given, observed: (B, D); returns (B, *event_shape)."""
        tries: list[Tensor] = []
        log_weights: list[Tensor] = []
        for ordering, order in enumerate(self.orders):
            exact = bool(_come_first(observed, order[None]).all())
            tried = Particles(given, observed, 1 if exact else -(-particles // len(self.orders)))
            noise = torch.rand(len(tried.given), *self.event_shape, dtype=self.dtype, device=given.device)
            tries.append(self.draw_under(noise, ordering, tried).unflatten(0, (len(given), -1)))
            log_weights.append(tried.final_weights())
        chosen = Categorical(logits=torch.cat(log_weights, 1), validate_args=False).sample()
        return torch.cat(tries, 1)[torch.arange(len(given), device=given.device), chosen]

    @torch.no_grad()
    def sample(self, n: int) -> Tensor:
        like = next(self.parameters())
        return self.draw(torch.rand(n, *self.event_shape, dtype=like.dtype, device=like.device))

    def centred(self, x: Tensor) -> Tensor:
        """Levels as the network sees them, in [-1, 1]."""
        return 2 * x / (self.levels - 1) - 1


def _come_first(observed: Tensor, orders: Tensor) -> Tensor:
    """Whether all observed pixels of an image come before its missing ones, for each ordering, shape (B, J)."""
    turns = observed.flatten(1)[:, orders].int()  # (B, J, D)
    return (turns.diff(dim=2) <= 0).all(2)


def output_name(wanted: str, levels: int, space: str) -> tuple[str, int]:
    """The output for a pixel space and the number of levels it works on; `auto` takes the usual one.

    Raises:    InputError: an output that is none for these pixels.
    """
    if space in BINARY_SPACES:
        name, levels = "bernoulli", 2
    elif space == "levels":
        name = "categorical" if levels <= MOST_FREE_LEVELS else "logistic"
    else:
        raise InputError(f"an autoregressive model needs binary pixels or whole levels, not {space}")
    if wanted not in ("auto", name) and "bernoulli" in (wanted, name):
        raise InputError(f"a {wanted} output is none for {space} pixels: leave out --output")
    return name if wanted == "auto" else wanted, levels

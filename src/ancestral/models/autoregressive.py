"""What autoregressive models share: the chain rule over pixels, exact in both directions."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import Distribution

from ancestral.distributions.outputs import PixelOutput
from ancestral.distributions.pixels import BINARY_SPACES
from ancestral.errors import InputError
from ancestral.models.kinds import ExactModel

MOST_FREE_LEVELS = 32  # beyond, a mixture of logistics learns faster than a categorical


class AutoregressiveModel(ExactModel):
    """log p(x) = sum_d log p(x_d | x_<d): one network gives the parameters of every conditional at once.

    Attributes: output: what the parameters of a value mean.
    """

    output: PixelOutput

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

    def predict(self, x: Tensor) -> Tensor:
        """Parameters of p(x_d | x_<d) for all d, shape (B, *event_shape, size)."""
        raise NotImplementedError

    def draw(self, noise: Tensor) -> Tensor:
        """The image that uniform `noise` of shape (n, *event_shape) stands for, by each conditional's inverse
        distribution function in turn."""
        raise NotImplementedError

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

    @torch.no_grad()
    def sample(self, n: int) -> Tensor:
        like = next(self.parameters())
        return self.draw(torch.rand(n, *self.event_shape, dtype=like.dtype, device=like.device))

    def centred(self, x: Tensor) -> Tensor:
        """Levels as the network sees them, in [-1, 1]."""
        return 2 * x / (self.levels - 1) - 1


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

"""What an autoregressive network says of one pixel value: a distribution over its levels from a few numbers.

Draws are made from uniform noise by inverting the cumulative distribution, so that every way of sampling a
model gives the same image for the same noise.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.distributions import Bernoulli, Categorical, Distribution, constraints

from ancestral.core.errors import InputError
from ancestral.core.maths import bounded_log_variance
from ancestral.distributions.pixels import BINARY_SPACES, are_levels, bernoulli_log_prob, discretised_logistic_log_prob


class PixelOutput:
    """p(x) of one value on {0, ..., L - 1} from `size` parameters; all methods broadcast.

    Attributes: levels: L. size: parameters per value. spaces: pixel spaces it is a probability of.
    """

    levels: int
    size: int
    spaces: tuple[str, ...] = ("levels",)

    def distribution(self, parameters: Tensor) -> Distribution:
        """(..., size) to a distribution with batch shape (...)."""
        raise NotImplementedError

    def log_prob(self, parameters: Tensor, x: Tensor) -> Tensor:
        """log p(x) of each value. parameters: (..., size), x: (...); returns (...), nats."""
        return self.distribution(parameters).log_prob(x)

    def noise(self, uniform: Tensor) -> Tensor:
        """Noise in the form that `draw` compares with, made once for a whole image. Shape kept."""
        return uniform

    def draw(self, parameters: Tensor, noise: Tensor) -> Tensor:
        """The value whose share of the unit interval the noise falls into. (..., size), (...) to (...)."""
        levels = torch.arange(self.levels, dtype=parameters.dtype, device=parameters.device)
        levels = levels.view(-1, *[1] * noise.dim())
        below = self.distribution(parameters).log_prob(levels).exp().cumsum(0)[:-1]
        return (below <= noise).sum(0).to(parameters.dtype)

    def check(self, x: Tensor) -> None:
        """Raises:    InputError: values that are none of the levels."""
        if not are_levels(x, self.levels):
            raise InputError(f"this model gives a probability to whole pixels 0 to {self.levels - 1}: found others")


class BernoulliOutput(PixelOutput):
    """A logit: p(1) = sigmoid(l)."""

    levels, size, spaces = 2, 1, BINARY_SPACES

    def distribution(self, parameters: Tensor) -> Bernoulli:
        return Bernoulli(logits=parameters[..., 0], validate_args=False)

    def log_prob(self, parameters: Tensor, x: Tensor) -> Tensor:
        return bernoulli_log_prob(parameters[..., 0], x)

    def noise(self, uniform: Tensor) -> Tensor:
        # x = 1 where u >= 1 - p, that is where the logit is at least that of 1 - u
        return torch.logit(1 - uniform)

    def draw(self, parameters: Tensor, noise: Tensor) -> Tensor:
        return (parameters[..., 0] >= noise).to(parameters.dtype)


class CategoricalOutput(PixelOutput):
    """A free probability for each of the L levels."""

    def __init__(self, levels: int) -> None:
        self.levels = self.size = levels

    def distribution(self, parameters: Tensor) -> Categorical:
        return Categorical(logits=parameters, validate_args=False)


class LogisticMixtureOutput(PixelOutput):
    """A mixture of K discretised logistics: K logits, K means, K log-scales.

    Neighbouring levels share what they learn, where a categorical learns each apart.

    Reference: Salimans et al., 2017, arXiv 1701.05517.
    """

    def __init__(self, levels: int, components: int) -> None:
        self.levels, self.size = levels, 3 * components

    def distribution(self, parameters: Tensor) -> LogisticMixture:
        return LogisticMixture(parameters, self.levels)


class LogisticMixture(Distribution):
    """P(x) = sum_k w_k [sigmoid((x + 1/2 - m_k) / s_k) - sigmoid((x - 1/2 - m_k) / s_k)], outer bins open.

    Args:      parameters: (..., 3 K): logits of w, means and log-scales in units of half the range of levels
               around its middle. levels: L.
    """

    arg_constraints = {}  # type: ignore[assignment]  # noqa: RUF012  (the base class reads it as it stands)

    def __init__(self, parameters: Tensor, levels: int) -> None:
        logits, means, raw = parameters.chunk(3, dim=-1)
        half = (levels - 1) / 2
        self.levels, self.log_weights = levels, logits.log_softmax(-1)
        self.means = half * (means + 1)
        # an untrained network gives scales of about a third of the range
        self.log_scales = 0.5 * bounded_log_variance(2 * (raw - 1.0)) + math.log(half)
        super().__init__(parameters.shape[:-1], validate_args=False)

    @property
    def support(self) -> constraints.Constraint:
        return constraints.integer_interval(0, self.levels - 1)

    def log_prob(self, value: Tensor) -> Tensor:
        parts = discretised_logistic_log_prob(value[..., None], self.means, self.log_scales, self.levels)
        return (self.log_weights + parts).logsumexp(-1)


def pixel_output(name: str, levels: int, components: int) -> PixelOutput:
    """The output of that name.

    Raises:    ValueError: an unknown name.
    """
    if name == "bernoulli":
        return BernoulliOutput()
    if name == "categorical":
        return CategoricalOutput(levels)
    if name == "logistic":
        return LogisticMixtureOutput(levels, components)
    raise ValueError(f"unknown output {name!r}: choose bernoulli, categorical or logistic")

"""Distributions over the levels of one pixel, with parameters from an autoregressive network.

Samples are made from uniform noise with the inverse cumulative distribution function. So all ways to sample a model
return the same image for the same noise.
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
    """p(x) of one value on {0, ..., L - 1}, given `size` parameters. All methods broadcast.

    Attributes: levels: L. size: number of parameters per value. spaces: pixel spaces for which it is a probability.
    """

    levels: int
    size: int
    spaces: tuple[str, ...] = ("levels",)

    def distribution(self, parameters: Tensor) -> Distribution:
        """The distribution for parameters of shape (..., size); its batch shape is (...)."""
        raise NotImplementedError

    def log_prob(self, parameters: Tensor, x: Tensor) -> Tensor:
        """log p(x) of each value, exact. parameters: (..., size), x: (...); returns (...), nats."""
        return self.distribution(parameters).log_prob(x)

    def noise(self, uniform: Tensor) -> Tensor:
        """Uniform noise in the form that `draw` needs, computed once for a whole image. Same shape."""
        return uniform

    def draw(self, parameters: Tensor, noise: Tensor) -> Tensor:
        """The value for uniform noise, by the inverse cumulative distribution. (..., size), (...) to (...)."""
        levels = torch.arange(self.levels, dtype=parameters.dtype, device=parameters.device)
        levels = levels.view(-1, *[1] * noise.dim())
        below = self.distribution(parameters).log_prob(levels).exp().cumsum(0)[:-1]
        return (below <= noise).sum(0).to(parameters.dtype)

    def check(self, x: Tensor) -> None:
        """Raises:    InputError: a value is not one of the levels."""
        if not are_levels(x, self.levels):
            raise InputError(f"this model needs whole pixel levels 0 to {self.levels - 1}: found other values")


class BernoulliOutput(PixelOutput):
    """Binary values with one logit l: p(1) = sigmoid(l)."""

    levels, size, spaces = 2, 1, BINARY_SPACES

    def distribution(self, parameters: Tensor) -> Bernoulli:
        return Bernoulli(logits=parameters[..., 0], validate_args=False)

    def log_prob(self, parameters: Tensor, x: Tensor) -> Tensor:
        return bernoulli_log_prob(parameters[..., 0], x)

    def noise(self, uniform: Tensor) -> Tensor:
        # x = 1 if u >= 1 - p, that is, if the logit is at least logit(1 - u)
        return torch.logit(1 - uniform)

    def draw(self, parameters: Tensor, noise: Tensor) -> Tensor:
        return (parameters[..., 0] >= noise).to(parameters.dtype)


class CategoricalOutput(PixelOutput):
    """A separate probability for each of the L levels, from L logits."""

    def __init__(self, levels: int) -> None:
        self.levels = self.size = levels

    def distribution(self, parameters: Tensor) -> Categorical:
        return Categorical(logits=parameters, validate_args=False)


class LogisticMixtureOutput(PixelOutput):
    """A mixture of K discretised logistic distributions: K logits, K means, K log-scales.

    Neighbouring levels share parameters; a categorical distribution learns each level separately.

    Reference: Salimans et al., 2017, arXiv 1701.05517.
    """

    def __init__(self, levels: int, components: int) -> None:
        self.levels, self.size = levels, 3 * components

    def distribution(self, parameters: Tensor) -> LogisticMixture:
        return LogisticMixture(parameters, self.levels)


class LogisticMixture(Distribution):
    """P(x) = sum_k w_k [sigmoid((x + 1/2 - m_k) / s_k) - sigmoid((x - 1/2 - m_k) / s_k)].

    The first and the last bin reach to infinity.

    Args:      parameters: (..., 3 K): logits of w, then means and log-scales. Means and scales are in units of half the
               range of levels, and a mean of 0 is the middle of the range. levels: L.
    """

    arg_constraints = {}  # type: ignore[assignment]  # noqa: RUF012  (read by the base class)

    def __init__(self, parameters: Tensor, levels: int) -> None:
        logits, means, raw = parameters.chunk(3, dim=-1)
        half = (levels - 1) / 2
        self.levels, self.log_weights = levels, logits.log_softmax(-1)
        self.means = half * (means + 1)
        # so an untrained network has scales of about a third of half the range
        self.log_scales = 0.5 * bounded_log_variance(2 * (raw - 1.0)) + math.log(half)
        super().__init__(parameters.shape[:-1], validate_args=False)

    @property
    def support(self) -> constraints.Constraint:
        return constraints.integer_interval(0, self.levels - 1)

    def log_prob(self, value: Tensor) -> Tensor:
        parts = discretised_logistic_log_prob(value[..., None], self.means, self.log_scales, self.levels)
        return (self.log_weights + parts).logsumexp(-1)


def pixel_output(name: str, levels: int, components: int) -> PixelOutput:
    """The output distribution by its name.

    Raises:    ValueError: an unknown name.
    """
    if name == "bernoulli":
        return BernoulliOutput()
    if name == "categorical":
        return CategoricalOutput(levels)
    if name == "logistic":
        return LogisticMixtureOutput(levels, components)
    raise ValueError(f"unknown output {name!r}: choose bernoulli, categorical or logistic")

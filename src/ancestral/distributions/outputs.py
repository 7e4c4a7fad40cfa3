"""Distributions over the levels of one pixel, with parameters from an autoregressive network.

Samples are made from uniform noise with the inverse cumulative distribution function. So all ways to sample a model
return the same image for the same noise.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.distributions import Bernoulli, Categorical, Distribution, constraints
from torch.nn import functional as F

from ancestral.core.errors import InputError
from ancestral.core.maths import bounded_log_variance
from ancestral.distributions.pixels import BINARY_SPACES, are_levels, bernoulli_log_prob, discretised_logistic_log_prob

FITTED_SCALE = 0.1  # initial scale of a logistic distribution around a quantile, in units of half the range of levels


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

    def fitted(self, counts: Tensor) -> Tensor:
        """Parameters of a distribution close to given counts of the levels, with a pseudo-count of 1 for each level.

        Args:      counts: shape (..., L), double precision.
        Returns:   shape (..., size).
        """
        raise NotImplementedError

    def entropy(self, parameters: Tensor) -> Tensor:
        """-sum_v p(v) log p(v) of each value, exact. (..., size) to (...), nats."""
        levels = torch.arange(self.levels, dtype=parameters.dtype, device=parameters.device)
        levels = levels.view(-1, *[1] * (parameters.dim() - 1))
        log_p = self.distribution(parameters).log_prob(levels)
        return -(log_p.exp() * log_p).nan_to_num(0).sum(0)  # p log p is 0 for p = 0

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

    def fitted(self, counts: Tensor) -> Tensor:
        log_counts = (counts + 1).log()
        return log_counts[..., 1:] - log_counts[..., :1]

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

    def fitted(self, counts: Tensor) -> Tensor:
        return _log_shares(counts)


class ZeroFlagOutput(PixelOutput):
    """A flag for level 0, and a separate probability for each of the other levels: L parameters.

    For images with a background of zeros, most pixels then need one logit only.
    """

    def __init__(self, levels: int) -> None:
        if levels < 2:
            raise ValueError("a flag for level 0 needs at least 2 levels")
        self.levels = self.size = levels

    def distribution(self, parameters: Tensor) -> ZeroFlag:
        return ZeroFlag(parameters)

    def fitted(self, counts: Tensor) -> Tensor:
        log_shares = _log_shares(counts)
        flag = log_shares[..., 1:].logsumexp(-1, keepdim=True) - log_shares[..., :1]
        return torch.cat([flag, log_shares[..., 1:]], -1)


def _log_shares(counts: Tensor) -> Tensor:
    return ((counts + 1) / (counts + 1).sum(-1, keepdim=True)).log()


class ZeroFlag(Distribution):
    """P(0) = 1 - sigmoid(a), and P(v) = sigmoid(a) softmax(l)_v for v = 1, ..., L - 1.

    Args:      parameters: (..., L): a, then the L - 1 logits l.
    """

    arg_constraints = {}  # type: ignore[assignment]  # noqa: RUF012  (read by the base class)

    def __init__(self, parameters: Tensor) -> None:
        if parameters.dtype in (torch.bfloat16, torch.float16):  # too coarse for sums over the pixels of an image
            parameters = parameters.float()
        self.flag, self.values = parameters[..., 0], parameters[..., 1:]
        super().__init__(parameters.shape[:-1], validate_args=False)

    @property
    def support(self) -> constraints.Constraint:
        return constraints.integer_interval(0, self.values.shape[-1])

    @property
    def logits(self) -> Tensor:
        """log P of all levels, shape (..., L), nats."""
        some = bernoulli_log_prob(self.flag, torch.ones_like(self.flag))[..., None] + self.values.log_softmax(-1)
        return torch.cat([bernoulli_log_prob(self.flag, torch.zeros_like(self.flag))[..., None], some], -1)

    def log_prob(self, value: Tensor) -> Tensor:
        shape = torch.broadcast_shapes(value.shape, self.flag.shape)
        value = value.expand(shape)
        present = value > 0
        flag = bernoulli_log_prob(self.flag, present.to(self.flag))
        values, at = self.values.expand(*shape, -1), (value.long() - 1).clamp_min(0)
        if not present.is_cpu or torch.compiler.is_exporting() or present.all():
            chosen = -F.cross_entropy(values.flatten(0, -2), at.flatten(), reduction="none").view(shape)
            return flag + torch.where(present, chosen, 0)
        # the softmax of most pixels is not needed
        chosen = -F.cross_entropy(values[present], at[present], reduction="none")
        return flag + torch.zeros_like(flag).masked_scatter(present, chosen)


class LogisticMixtureOutput(PixelOutput):
    """A mixture of K discretised logistic distributions: K logits, K means, K log-scales.

    Neighbouring levels share parameters; a categorical distribution learns each level separately.

    Reference: Salimans et al., 2017, arXiv 1701.05517.
    """

    def __init__(self, levels: int, components: int) -> None:
        self.levels, self.size = levels, 3 * components

    def distribution(self, parameters: Tensor) -> LogisticMixture:
        return LogisticMixture(parameters, self.levels)

    def fitted(self, counts: Tensor) -> Tensor:
        """Equal weights, means at quantiles of the counts, and one scale for all."""
        below, components = (counts + 1).cumsum(-1), self.size // 3
        wanted = (torch.arange(components, dtype=counts.dtype) + 0.5) / components * below[..., -1:]
        levels = torch.searchsorted(below.contiguous(), wanted.contiguous()).to(counts.dtype)
        means = 2 * levels / (self.levels - 1) - 1
        return torch.cat([torch.zeros_like(means), means, torch.full_like(means, math.log(FITTED_SCALE) + 1)], -1)


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
    if name == "zero-flag":
        return ZeroFlagOutput(levels)
    if name == "logistic":
        return LogisticMixtureOutput(levels, components)
    raise ValueError(f"unknown output {name!r}: choose bernoulli, categorical, zero-flag or logistic")

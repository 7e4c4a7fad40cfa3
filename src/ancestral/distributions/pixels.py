"""Likelihoods of an image, p(x | z), with parameters from a network."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.distributions import Categorical, Distribution, Independent, constraints
from torch.nn import functional as F

from ancestral.core.maths import bounded_log_variance
from ancestral.core.serialization import registered
from ancestral.distributions.conditional import Conditional, diagonal_gaussian

BINARY_SPACES = ("binary", "static", "threshold")


def are_levels(x: Tensor, levels: int) -> bool:
    """Whether all values are in {0, ..., levels - 1}. True while a model is exported, because there are no values."""
    if torch.compiler.is_exporting():
        return True
    return bool(((x == x.round()) & (x >= 0) & (x < levels)).all())


def bernoulli_log_prob(logits: Tensor, x: Tensor) -> Tensor:
    """log Bernoulli(x; sigmoid(l)) = -softplus((1 - 2 x) l), elementwise, nats.

    Computed in one pass and without a clamp, so the probabilities sum to one in every precision.
    """
    # above the threshold, softplus(l) is taken as l; 40 makes this exact in double precision too
    return -F.softplus((1 - 2 * x) * logits, threshold=40)


class BernoulliImage(Distribution):
    """Independent binary pixels: log p(x) is the sum of `bernoulli_log_prob` over the image.

    Args:      logits: shape (*batch, *event). event_dims: number of axes of an image.
    """

    arg_constraints = {}  # type: ignore[assignment]  # noqa: RUF012  (read by the base class)

    def __init__(self, logits: Tensor, event_dims: int, validate_args: bool = False) -> None:
        self.logits = logits
        split = logits.dim() - event_dims
        super().__init__(logits.shape[:split], logits.shape[split:], validate_args=validate_args)

    @property
    def support(self) -> constraints.Constraint:
        return constraints.independent(constraints.boolean, len(self.event_shape))

    @property
    def mean(self) -> Tensor:
        return self.logits.sigmoid()

    def log_prob_each(self, value: Tensor) -> Tensor:
        """log p of each pixel, shape (..., *event), nats."""
        return bernoulli_log_prob(self.logits, value)

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        return self.log_prob_each(value).flatten(-len(self.event_shape)).sum(-1)

    def sample(self, sample_shape: torch.Size | Sequence[int] = ()) -> Tensor:
        with torch.no_grad():
            return torch.bernoulli(self.mean.expand(*sample_shape, *self.logits.shape))


def discretised_logistic_log_prob(value: Tensor, mean: Tensor, log_scale: Tensor, levels: int) -> Tensor:
    """log P(x) of a logistic density integrated over unit bins, elementwise.

        P(x) = sigmoid((x + 1/2 - m) / s) - sigmoid((x - 1/2 - m) / s)

    The first and the last bin reach to infinity, so the L probabilities sum to exactly one. The difference is computed
    in the log domain, log sig(b) + log sig(-a) + log(1 - e^(a - b)), which is accurate in the tails without a clamp.

    Args:      value: whole levels. mean: in levels. log_scale: log of the scale in levels. levels: L. All broadcast.
    Returns:   nats, exact.
    Reference: Salimans et al., 2017, eq. 2, arXiv 1701.05517 (bins of one level; the paper mixes 1/255 and 1/256).
    """
    inverse_scale = (-log_scale).exp()
    centred = value - mean
    below = F.logsigmoid((centred + 0.5) * inverse_scale)  # log P(X <= x)
    above = F.logsigmoid((0.5 - centred) * inverse_scale)  # log P(X >= x)
    inside = below + above + torch.log(-torch.expm1(-inverse_scale))
    return torch.where(value == 0, below, torch.where(value == levels - 1, above, inside))


class DiscretisedLogisticImage(Distribution):
    """Independent pixels on {0, ..., L - 1}, each a logistic density integrated over unit bins.

    Args:      mean, log_scale: shape (*batch, *event), in levels. levels: L.
    Reference: `discretised_logistic_log_prob`.
    """

    arg_constraints = {}  # type: ignore[assignment]  # noqa: RUF012

    def __init__(
        self, mean: Tensor, log_scale: Tensor, levels: int, event_dims: int, validate_args: bool = False
    ) -> None:
        self.location, self.log_scale, self.levels = mean, log_scale, levels
        split = mean.dim() - event_dims
        super().__init__(mean.shape[:split], mean.shape[split:], validate_args=validate_args)

    @property
    def support(self) -> constraints.Constraint:
        whole = constraints.integer_interval(0, self.levels - 1)
        return constraints.independent(whole, len(self.event_shape))

    @property
    def mean(self) -> Tensor:
        """The mean of the logistic density, clamped to the range of the pixels. It is an approximation: the exact mean
        differs by less than half a level, except if the tails are cut."""
        return self.location.clamp(0, self.levels - 1)

    def log_prob_each(self, value: Tensor) -> Tensor:
        """log p of each pixel, shape (..., *event), nats."""
        return discretised_logistic_log_prob(value, self.location, self.log_scale, self.levels)

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        return self.log_prob_each(value).flatten(-len(self.event_shape)).sum(-1)

    def sample(self, sample_shape: torch.Size | Sequence[int] = ()) -> Tensor:
        with torch.no_grad():
            shape = (*sample_shape, *self.location.shape)
            u = torch.rand(shape, dtype=self.location.dtype, device=self.location.device)
            noise = torch.logit(u.clamp(torch.finfo(u.dtype).tiny, 1 - torch.finfo(u.dtype).eps))
            x = self.location + self.log_scale.exp() * noise
            return x.round().clamp(0, self.levels - 1)


def log_prob_of_seen(pixels: Distribution, value: Tensor, seen: Tensor) -> Tensor:
    """log p of the seen pixels of each image, shape (...), nats; pixels are independent.

    Args:      pixels: the distribution of images. value: shape (..., *event); not used where `seen`, boolean, is False.
    """
    value = value.where(seen, 0)
    each = pixels.base_dist.log_prob(value) if isinstance(pixels, Independent) else pixels.log_prob_each(value)  # type: ignore[attr-defined]
    return each.where(seen, 0).flatten(-len(pixels.event_shape)).sum(-1)


class PixelLikelihood(Conditional):
    """p(x | z) over images of `event_shape`.

    Attributes: spaces: names of the pixel spaces that it is defined for. levels: number of values of a pixel; None for
               real pixels.
    """

    spaces: tuple[str, ...] = ()
    levels: int | None
    event_shape: tuple[int, ...]

    def to_unit(self, x: Tensor) -> Tensor:
        """Pixels as input for an encoder, in [0, 1]."""
        return x


@registered
class BernoulliPixels(PixelLikelihood):
    """p(x | z) = prod_d Bernoulli(x_d; sigmoid(l_d(z))).

    Args:      network: z to logits of shape (..., C, H, W). event_shape: (C, H, W).
    """

    spaces = BINARY_SPACES
    levels = 2

    def __init__(self, network: nn.Module, event_shape: Sequence[int]) -> None:
        super().__init__()
        self.network, self.event_shape = network, tuple(event_shape)

    def forward(self, context: Tensor | None = None) -> BernoulliImage:
        return BernoulliImage(self.network(context), len(self.event_shape), validate_args=not self.training)


class CategoricalImage(Independent):
    """Independent pixels on {0, ..., L - 1}, a separate probability for each level; logits: (..., *event, L)."""

    def __init__(self, logits: Tensor, event_dims: int, validate_args: bool = False) -> None:
        checked = validate_args and not torch.compiler.is_exporting()  # there are no values while a model is exported
        super().__init__(Categorical(logits=logits, validate_args=checked), event_dims, validate_args=False)

    @property
    def mean(self) -> Tensor:
        """Expected level of each pixel, shape (..., *event)."""
        probs = self.base_dist.probs
        return probs @ torch.arange(probs.shape[-1], dtype=probs.dtype, device=probs.device)

    def sample(self, sample_shape: torch.Size | Sequence[int] = ()) -> Tensor:
        return super().sample(torch.Size(sample_shape)).to(self.base_dist.logits.dtype)


class LevelPixels(PixelLikelihood):
    """p(x | z) over whole levels {0, ..., L - 1} of each pixel."""

    spaces = ("levels",)
    levels: int

    def __init__(self, network: nn.Module, event_shape: Sequence[int], levels: int) -> None:
        super().__init__()
        self.network, self.event_shape, self.levels = network, tuple(event_shape), levels

    def to_unit(self, x: Tensor) -> Tensor:
        return x / (self.levels - 1)


@registered
class CategoricalPixels(LevelPixels):
    """p(x | z) = prod_d Categorical(x_d; softmax(l_d(z))) over `levels` levels.

    Args:      network: z to logits of shape (..., C * levels, H, W). event_shape: (C, H, W). levels: L.
    """

    def forward(self, context: Tensor | None = None) -> CategoricalImage:
        channels = self.event_shape[0]
        logits = self.network(context).unflatten(-3, (channels, self.levels))  # (..., C, L, H, W)
        return CategoricalImage(logits.movedim(-3, -1), len(self.event_shape), validate_args=not self.training)


@registered
class DiscretisedLogisticPixels(LevelPixels):
    """p(x | z) = prod_d DiscretisedLogistic(x_d; m_d(z), s_d(z)) over `levels` levels.

    Args:      network: z to shape (..., 2 C, H, W): means, then log-scales. event_shape: (C, H, W).
    Deviation: means and scales are in units of half the range of levels, and 0 is the middle, so that the outputs of an
               untrained network have the scale of the data.
    """

    def forward(self, context: Tensor | None = None) -> DiscretisedLogisticImage:
        mean, raw = self.network(context).chunk(2, dim=-3)
        half = (self.levels - 1) / 2
        log_scale = 0.5 * bounded_log_variance(2 * (raw - 1.0)) + math.log(half)
        dims = len(self.event_shape)
        return DiscretisedLogisticImage(
            half * (mean + 1), log_scale, self.levels, dims, validate_args=not self.training
        )


@registered
class GaussianPixels(PixelLikelihood):
    """p(x | z) = N(x; mean(z), v I): a *density* of real pixels. It is not comparable with probabilities of levels.

    Args:      network: z to means of shape (..., C, H, W). event_shape: (C, H, W). variance: v, or its initial value if
               it is learned (the coursework uses 1). learned: fit one variance, shared by all pixels.
    Deviation: there is no variance per pixel: for pixels that are constant in the data, the density would be unbounded.
    Reference: shared variance: Rybkin et al., 2021, arXiv 2006.13202.
    """

    spaces = ("unit",)
    levels = None

    def __init__(
        self, network: nn.Module, event_shape: Sequence[int], variance: float = 1.0, learned: bool = False
    ) -> None:
        super().__init__()
        self.network, self.event_shape = network, tuple(event_shape)
        raw = torch.tensor(math.log(variance))
        if learned:
            self.log_variance = nn.Parameter(raw)
        else:
            self.register_buffer("log_variance", raw, persistent=False)

    def forward(self, context: Tensor | None = None) -> Independent:
        mean = self.network(context)
        log_variance = bounded_log_variance(self.log_variance) if self.log_variance.requires_grad else self.log_variance
        return diagonal_gaussian(mean, log_variance.expand_as(mean), len(self.event_shape))

"""Bijections between data and latents, with their log-determinants, and the distributions that they define."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Distribution
from torch.nn import functional as F

from ancestral.core.maths import sum_event
from ancestral.core.serialization import registered
from ancestral.distributions.pullbacks import Kept, pulled_back


class Bijection(nn.Module):
    """An invertible map z = f(x) of whole events, with its log-determinant.

    Args:      x, z: shape (B, *event). context: condition of the map, shape (B, ...), or None.
    Returns:   `forward`: z and log|det dz/dx|; `inverse`: x and log|det dx/dz|. Log-determinants are exact, summed over
               the event, shape (B,), nats. At the same pair (x, z) one is minus the other.
    """

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        raise NotImplementedError

    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        raise NotImplementedError

    def trained(self) -> list[Tensor] | None:
        """As of `PullsBack`; None: it has no gradient of its own."""
        return None


@registered
class Chain(Bijection):
    """Composition f = f_n o ... o f_1; the log-determinants are added.

    Args:      steps: f_1, ..., f_n, in the order from data to latent.
    """

    def __init__(self, steps: Sequence[Bijection]) -> None:
        super().__init__()
        self.steps = nn.ModuleList(steps)

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        found = pulled_back(list(self.steps), x, self._forward) if self.training and context is None else None
        return self._forward(x, context) if found is None else found

    def _forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        total = x.new_zeros(x.shape[0])
        for step in self.steps:
            x, log_det = step(x, context)
            total = total + log_det
        return x, total

    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        total = z.new_zeros(z.shape[0])
        for step in reversed(self.steps):
            z, log_det = step.inverse(z, context)  # type: ignore[operator]
            total = total + log_det
        return z, total


@registered
class Inverse(Bijection):
    """A bijection with its two directions exchanged. `Inverse(Squeeze())` restores a squeezed image.

    Args:      bijection: f; this is f^-1.
    """

    def __init__(self, bijection: Bijection) -> None:
        super().__init__()
        self.bijection = bijection

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return self.bijection.inverse(x, context)

    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return self.bijection(z, context)


@registered
class Permutation(Bijection):
    """A fixed permutation of dimensions or channels: |det| = 1.

    Args:      features: size of axis 1. seed: random seed of the order; None reverses the order.
    """

    order: Tensor
    back: Tensor

    def __init__(self, features: int, seed: int | None = None) -> None:
        super().__init__()
        order = list(range(features))[::-1]
        if seed is not None:
            random.Random(seed).shuffle(order)
        back = sorted(range(features), key=order.__getitem__)
        self.register_buffer("order", torch.tensor(order), persistent=False)
        self.register_buffer("back", torch.tensor(back), persistent=False)

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return x.index_select(1, self.order), x.new_zeros(x.shape[0])

    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return z.index_select(1, self.back), z.new_zeros(z.shape[0])

    def trained(self) -> list[Tensor]:
        return []

    def forward_kept(self, x: Tensor) -> Kept:
        return Kept(*self.forward(x), [])

    def pull_back(self, kept: Sequence[Tensor], dz: Tensor, d_log_det: Tensor) -> tuple[Tensor, list[Tensor]]:
        return dz.index_select(1, self.back), []


@registered
class InvertibleConv1x1(Bijection):
    """z = W x over axis 1 at every pixel, W = P L (U + diag e^s): generalises a permutation of channels or dimensions.

        log|det| = (H W) sum_c s_c

    Args:      features: C, the size of axis 1. seed: random seed of the fixed permutation P; L and U start as
               identities.
    Deviation: the diagonal is positive, because its sign does not change the density.
    Reference: Kingma and Dhariwal, 2018, section 3.2, arXiv 1807.03039.
    """

    order: Tensor

    def __init__(self, features: int, seed: int = 0) -> None:
        super().__init__()
        order = random.Random(seed).sample(range(features), features)
        self.register_buffer("order", torch.tensor(order), persistent=False)
        self.lower = nn.Parameter(torch.zeros(features, features))
        self.upper = nn.Parameter(torch.zeros(features, features))
        self.log_scale = nn.Parameter(torch.zeros(features))

    def factors(self) -> tuple[Tensor, Tensor]:
        """L, with diagonal 1, and U, with diagonal e^s."""
        identity = torch.eye(len(self.log_scale), dtype=self.lower.dtype, device=self.lower.device)
        return self.lower.tril(-1) + identity, self.upper.triu(1) + self.log_scale.exp().diag()

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        lower, upper = self.factors()
        weight = (lower @ upper).index_select(0, self.order)
        return _mix(x, weight), self._log_det(x)

    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        lower, upper = self.factors()
        permutation = torch.eye(len(self.order), dtype=z.dtype, device=z.device)[self.order]
        half = _solved(lower, permutation.T, upper=False)
        return _mix(z, _solved(upper, half, upper=True)), -self._log_det(z)

    def _log_det(self, x: Tensor) -> Tensor:
        return (math.prod(x.shape[2:]) * self.log_scale.sum()).expand(x.shape[0])


def _solved(triangle: Tensor, right: Tensor, upper: bool) -> Tensor:
    """Solution X of T X = B by substitution. A lower triangle must have ones on its diagonal."""
    if not torch.compiler.is_exporting():
        return torch.linalg.solve_triangular(triangle, right, upper=upper, unitriangular=not upper)
    rows: dict[int, Tensor] = {}  # ONNX has no operator for this: one step for each row
    for i in reversed(range(len(triangle))) if upper else range(len(triangle)):
        known = [triangle[i, j] * row for j, row in rows.items()]
        rows[i] = (right[i] - torch.stack(known).sum(0) if known else right[i]) / triangle[i, i]
    return torch.stack([rows[i] for i in range(len(triangle))])


def _mix(x: Tensor, weight: Tensor) -> Tensor:
    return F.linear(x, weight) if x.dim() == 2 else F.conv2d(x, weight[:, :, None, None])


@registered
class ActNorm(Bijection):
    """z = (x - m) e^-s per channel or dimension. In training, the first batch sets m and s: z has mean 0, variance 1.

    The buffer `initialised` records whether m and s are set; it is saved with the weights. It is read from the device
    once after construction or loading, not at every step. In evaluation mode m and s are never set.

    Args:      features: size of axis 1.
    Reference: Kingma and Dhariwal, 2018, section 3.1, arXiv 1807.03039.
    """

    initialised: Tensor

    def __init__(self, features: int) -> None:
        super().__init__()
        self.mean = nn.Parameter(torch.zeros(features))
        self.log_scale = nn.Parameter(torch.zeros(features))
        self.register_buffer("initialised", torch.tensor(False))
        self._settled = False

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        self._settled = False  # the flag may have changed

    @torch.no_grad()
    def _settle(self, x: Tensor) -> None:
        if not self.initialised:
            values = x.transpose(0, 1).flatten(1)
            deviation, mean = torch.std_mean(values, 1, correction=0)
            self.mean.copy_(mean)
            # the scale of a constant dimension stays 1
            self.log_scale.copy_(torch.where(deviation > 0, deviation, 1.0).log())
            self.initialised.fill_(True)
        self._settled = True

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        if self.training and not self._settled and not torch.compiler.is_compiling():  # the first step is not compiled
            self._settle(x)
        mean, log_scale = (_per_channel(v, x) for v in (self.mean, self.log_scale))
        return (x - mean) * (-log_scale).exp(), -self._log_det(x)

    def trained(self) -> list[Tensor] | None:
        return [self.mean, self.log_scale] if self._settled else None

    def forward_kept(self, x: Tensor) -> Kept:
        factor = (-self.log_scale).exp()
        z = (x - self.mean).mul_(factor)
        return Kept(z, -self._log_det(x), [z, factor])

    def pull_back(self, kept: Sequence[Tensor], dz: Tensor, d_log_det: Tensor) -> tuple[Tensor, list[Tensor]]:
        z, factor, _, _ = kept
        d_log_scale = (dz * z).sum(0).add_(d_log_det.sum()).neg_()
        dx = dz.mul_(factor)
        return dx, [-dx.sum(0), d_log_scale]

    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        mean, log_scale = (_per_channel(v, z) for v in (self.mean, self.log_scale))
        return z * log_scale.exp() + mean, self._log_det(z)

    def _log_det(self, x: Tensor) -> Tensor:
        return (math.prod(x.shape[2:]) * self.log_scale.sum()).expand(x.shape[0])


def _per_channel(values: Tensor, x: Tensor) -> Tensor:
    return values.view(-1, *(1,) * (x.dim() - 2))


@registered
class Standardise(Bijection):
    """z = (x - m) / s, with the means and standard deviations of the training data as constants. `fit` sets them.

    log |det dz/dx| = -sum_d log s_d, so densities are in the original units of x.

    Args:      features: D.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, features: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("scale", torch.ones(features))

    @torch.no_grad()
    def fit(self, mean: Tensor, scale: Tensor) -> None:
        """Set the constants, shapes (D,), scale above 0."""
        self.mean.copy_(mean)
        self.scale.copy_(scale)

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return (x - self.mean) / self.scale, self._log_det(x)

    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return self.mean + self.scale * z, -self._log_det(z)

    def _log_det(self, x: Tensor) -> Tensor:
        return -self.scale.log().sum().expand(x.shape[0])


@registered
class Logit(Bijection):
    """z = logit(a/2 + (1 - a) x), elementwise: from the unit interval to the real line.

        log dz/dx = log(1 - a) + softplus(z) + softplus(-z)

    Args:      alpha: a. If a > 0, z is finite at 0 and 1, and the inverse can leave the interval by about a/2. If a <
               0, the inverse stays inside the interval by about |a|/2, and z is not defined near 0 and 1.
    Reference: Dinh et al., 2017, section 4.1, arXiv 1605.08803.
    """

    def __init__(self, alpha: float = 0.0) -> None:
        super().__init__()
        self.alpha = alpha

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        z = torch.logit(0.5 * self.alpha + (1 - self.alpha) * x)
        return z, self._log_det(z)

    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return (z.sigmoid() - 0.5 * self.alpha) / (1 - self.alpha), -self._log_det(z)

    def _log_det(self, z: Tensor) -> Tensor:
        # log(1 - a) - log sigmoid'(z), symmetric in z
        each = z.abs() + 2 * torch.log1p(torch.exp(-z.abs())) + math.log1p(-self.alpha)
        return sum_event(each, z.dim() - 1)


class FlowDistribution(Distribution):
    """The distribution of x = f^-1(z) for z from a base: log p(x) = log p(f(x)) + log|det df/dx|.

    Args:      base: distribution of z, batch shape (). bijection: f. context: shape (B, ...) for a batch of B
               distributions; None for one. event_shape: shape of x, if it differs from that of z.
    Reference: Rezende and Mohamed, 2015, eq. 5, arXiv 1505.05770.
    """

    arg_constraints = {}  # type: ignore[assignment]  # noqa: RUF012  (read by the base class)
    has_rsample = True

    def __init__(
        self,
        base: Distribution,
        bijection: Bijection,
        context: Tensor | None = None,
        event_shape: Sequence[int] | None = None,
    ) -> None:
        self.base, self.bijection, self.context = base, bijection, context
        batch = torch.Size() if context is None else context.shape[:1]
        super().__init__(batch, torch.Size(event_shape or base.event_shape), validate_args=False)

    def log_prob(self, value: Tensor) -> Tensor:
        """log p(x), exact, shape of `value` without the event, nats."""
        leading = value.shape[: value.dim() - len(self.event_shape)]
        rows = value.reshape(-1, *self.event_shape)
        z, log_det = self.bijection(rows, self._context(rows.shape[0]))
        return (self.base.log_prob(z) + log_det).view(leading)

    def rsample(self, sample_shape: torch.Size | Sequence[int] = ()) -> Tensor:
        return self.rsample_with_log_prob(sample_shape)[0]

    def rsample_with_log_prob(self, sample_shape: torch.Size | Sequence[int] = ()) -> tuple[Tensor, Tensor]:
        """Samples and their log-probabilities in one pass. `log_prob` of a sample would apply the flow again."""
        leading = torch.Size((*sample_shape, *self.batch_shape))
        z = self.base.sample(leading).view(-1, *self.base.event_shape)
        x, log_det = self.bijection.inverse(z, self._context(z.shape[0]))
        return x.view(*leading, *self.event_shape), (self.base.log_prob(z) - log_det).view(leading)

    def sample(self, sample_shape: torch.Size | Sequence[int] = ()) -> Tensor:
        with torch.no_grad():
            return self.rsample(sample_shape)

    def _context(self, rows: int) -> Tensor | None:
        if self.context is None:
            return None
        copies = rows // self.context.shape[0]
        return self.context if copies == 1 else self.context.repeat(copies, *(1,) * (self.context.dim() - 1))

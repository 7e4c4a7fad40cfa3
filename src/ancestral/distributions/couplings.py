"""Bijections whose parameters come from a network: couplings, and the masked autoregressive layer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from ancestral.core.maths import bounded_log_variance, sum_event
from ancestral.core.serialization import registered
from ancestral.distributions.bijections import Bijection
from ancestral.distributions.pullbacks import Kept
from ancestral.distributions.splines import Knots, inverse_spline, knots_from, spline
from ancestral.networks.mlp import MLP
from ancestral.networks.own import OwnNetwork

tanh_backward = torch.ops.aten.tanh_backward
LOG_SCALE_LIMIT = 3.0
Elementwise = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


def zero_last_layer(network: nn.Module) -> None:
    """Set a network's last linear or convolutional layer to zero, so that its bijection starts as the identity."""
    last = [layer for layer in network.modules() if isinstance(layer, (nn.Linear, nn.Conv2d))][-1]
    nn.init.zeros_(last.weight)
    if last.bias is not None:
        nn.init.zeros_(last.bias)


class Coupling(Bijection):
    """A part of axis 1 is transformed elementwise, given the other part: z = (x_a, g(x_b; network(x_a))).

    The parts are split by views and joined by one copy, without masks. A `Permutation`, `InvertibleConv1x1` or
    `Squeeze` before the coupling determines which dimensions are in which part.

    A context of shape (B, C) for images is given to the network as C constant channels.

    Args:      network: (B, features of x_a (+ those of a context), ...) to (B, parameters * features of x_b, ...).
               features: size of axis 1; the first `features // 2` are x_a, at least one.
               flip: transform the first part given the second.
    Reference: Dinh et al., 2017, section 3.2, arXiv 1605.08803.
    """

    parameters_each: int  # parameters of g for each element

    def __init__(self, network: nn.Module, features: int, flip: bool = False) -> None:
        super().__init__()
        self.network, self.flip = network, flip
        self.sizes = [features // 2, features - features // 2]
        if not isinstance(network, OwnNetwork):  # the user's own network keeps its initial weights
            zero_last_layer(network)

    def transform(self, x: Tensor, raw: Tensor) -> tuple[Tensor, Tensor]:
        """g(x) and log g'(x), elementwise. x: (B, F, ...). raw: (B, parameters, F, ...)."""
        raise NotImplementedError

    def restore(self, z: Tensor, raw: Tensor) -> tuple[Tensor, Tensor]:
        """g^-1(z) and the log of its derivative, elementwise. Shapes as in `transform`."""
        raise NotImplementedError

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return self._apply_to_part(self.transform, x, context)

    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return self._apply_to_part(self.restore, z, context)

    def _apply_to_part(self, g: Elementwise, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        first, second = x.split(self.sizes, 1)
        kept, changed = (second, first) if self.flip else (first, second)
        if context is not None:
            sides = kept.shape[context.dim() :]  # a context without height and width is the same everywhere
            context = context.view(*context.shape, *[1] * len(sides)).expand(*context.shape, *sides)
        raw = self.network(kept if context is None else torch.cat([kept, context], 1))
        y, log_slope = g(changed, raw.unflatten(1, (self.parameters_each, -1)))
        return torch.cat([y, kept] if self.flip else [kept, y], 1), sum_event(log_slope, x.dim() - 1)


@registered
class AffineCoupling(Coupling):
    """z_b = (x_b + t(x_a)) e^s(x_a): the affine coupling of RealNVP.

    Args:      limit: smooth bound of the log-scales, s = limit tanh(raw / limit).
    Reference: Dinh et al., 2017, eq. 7; the shift is applied before the scale, as in the layer of `uva2020`.
    """

    parameters_each = 2

    def __init__(self, network: nn.Module, features: int, flip: bool = False, limit: float = LOG_SCALE_LIMIT) -> None:
        super().__init__(network, features, flip)
        self.limit = limit

    def transform(self, x: Tensor, raw: Tensor) -> tuple[Tensor, Tensor]:
        log_scale = bounded_log_variance(raw[:, 0], self.limit)
        return (x + raw[:, 1]) * log_scale.exp(), log_scale

    def restore(self, z: Tensor, raw: Tensor) -> tuple[Tensor, Tensor]:
        log_scale = bounded_log_variance(raw[:, 0], self.limit)
        return z * (-log_scale).exp() - raw[:, 1], -log_scale

    def trained(self) -> list[Tensor] | None:
        return self.network.trained() if type(self.network) is MLP else None

    def forward_kept(self, x: Tensor) -> Kept:
        given, changed = self._parts(x)
        raw, kept = cast("MLP", self.network).forward_kept(given)
        raw_scale, shift = raw.tensor_split(2, 1)
        bounded = (raw_scale / self.limit).tanh_()
        log_scale = bounded * self.limit
        scale = log_scale.exp()
        changed = (changed + shift).mul_(scale)
        z = torch.cat([changed, given] if self.flip else [given, changed], 1)
        return Kept(z, log_scale.sum(1), [changed, bounded, scale, *kept])

    def pull_back(self, kept: Sequence[Tensor], dz: Tensor, d_log_det: Tensor) -> tuple[Tensor, list[Tensor]]:
        changed, bounded, scale, *of_network = kept
        d_given, d_changed = self._parts(dz)
        d_log_scale = torch.addcmul(d_log_det[:, None], d_changed, changed)
        d_changed.mul_(scale)  # the gradient for the shift too
        d_raw = torch.cat([tanh_backward(d_log_scale, bounded), d_changed], 1)
        d_input, gradients = cast("MLP", self.network).pull_back(of_network, d_raw)
        d_given.add_(d_input)
        return dz, gradients

    def _parts(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Views of the part that is given and of the part that is changed, for vectors."""
        first, second = x.split_with_sizes(self.sizes, 1)
        return (second, first) if self.flip else (first, second)


@registered
class SplineCoupling(Coupling):
    """z_b = g(x_b; network(x_a)) with a monotonic rational-quadratic spline g; the identity outside [-bound, bound].

    Args:      bins: K, number of bins; the network returns 3 K - 1 numbers per element. bound: half of the interval.
    Reference: Durkan et al., 2019, arXiv 1906.04032.
    """

    def __init__(
        self, network: nn.Module, features: int, flip: bool = False, bins: int = 8, bound: float = 5.0
    ) -> None:
        super().__init__(network, features, flip)
        self.bound, self.parameters_each = bound, 3 * bins - 1

    def transform(self, x: Tensor, raw: Tensor) -> tuple[Tensor, Tensor]:
        return spline(x, knots_from(raw, self.bound))

    def restore(self, z: Tensor, raw: Tensor) -> tuple[Tensor, Tensor]:
        return inverse_spline(z, knots_from(raw, self.bound))


@registered
class ElementwiseSpline(Bijection):
    """z_d = g_d(x_d) with one monotonic rational-quadratic spline for each dimension, independent of the others.

    Args:      features: D. bins: K, number of bins of each spline. bound: the map is the identity outside
               [-bound, bound].
    Reference: Durkan et al., 2019, arXiv 1906.04032.
    """

    def __init__(self, features: int, bins: int = 8, bound: float = 5.0) -> None:
        super().__init__()
        self.bound = bound
        self.raw = nn.Parameter(torch.zeros(1, 3 * bins - 1, features))  # the identity

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        z, log_slope = spline(x, self._knots(x))
        return z, log_slope.sum(1)

    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        x, log_slope = inverse_spline(z, self._knots(z))
        return x, log_slope.sum(1)

    def _knots(self, x: Tensor) -> Knots:
        return Knots(knots_from(self.raw, self.bound).table.expand(x.shape[0], -1, -1, -1))


@registered
class MaskedAutoregressive(Bijection):
    """z_d = (x_d - m_d(x_<d)) e^-s_d(x_<d): one pass forward, D passes for the inverse.

    Args:      network: (B, D), and a context (B, C) if there is one, to (B, 2 D): first m, then the raw log-scales;
               output d depends on x_<d only.
               features: D. limit: smooth bound of the log-scales, s = limit tanh(raw / limit).
    Reference: Papamakarios et al., 2017, eqs. 3 to 5, arXiv 1705.07057.
    """

    def __init__(self, network: nn.Module, features: int, limit: float = LOG_SCALE_LIMIT) -> None:
        super().__init__()
        self.network, self.features, self.limit = network, features, limit

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        mean, log_scale = self._shift_and_log_scale(x, context)
        return (x - mean) * (-log_scale).exp(), -log_scale.sum(1)

    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        x = torch.zeros_like(z)
        for d in range(self.features):  # after pass d, x_1..x_d are final
            mean, log_scale = self._shift_and_log_scale(x, context)
            x = torch.cat([x[:, :d], (z * log_scale.exp() + mean)[:, d:]], 1)
        return x, self._shift_and_log_scale(x, context)[1].sum(1)

    def _shift_and_log_scale(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        mean, raw = (self.network(x) if context is None else self.network(x, context)).chunk(2, 1)
        return mean, bounded_log_variance(raw, self.limit)

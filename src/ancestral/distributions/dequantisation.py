"""Dequantisation noise q(u | x) over [0, 1)^D: added to pixel levels, so that a density bounds a probability."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, Uniform

from ancestral.core.maths import sum_event
from ancestral.core.serialization import registered
from ancestral.distributions.bijections import Bijection, FlowDistribution
from ancestral.distributions.conditional import Conditional
from ancestral.distributions.multiscale import Squeeze


class StandardLogistic(Distribution):
    """Independent standard logistic variables: p(z) = prod_d e^-|z_d| / (1 + e^-|z_d|)^2. Their sigmoid is uniform.

    Args:      event_shape: shape of z. like: a tensor with the wanted number format and device.
    """

    arg_constraints = {}  # type: ignore[assignment]  # noqa: RUF012  (read by the base class)

    def __init__(self, event_shape: Sequence[int], like: Tensor) -> None:
        self.like = like
        super().__init__(torch.Size(), torch.Size(event_shape), validate_args=False)

    def log_prob(self, value: Tensor) -> Tensor:
        size = value.abs()
        return sum_event(-size - 2 * torch.log1p(torch.exp(-size)), len(self.event_shape))

    def sample(self, sample_shape: torch.Size | Sequence[int] = ()) -> Tensor:
        u = torch.rand((*sample_shape, *self.event_shape), dtype=self.like.dtype, device=self.like.device)
        return torch.logit(u.clamp(torch.finfo(u.dtype).tiny, 1 - torch.finfo(u.dtype).eps))


@registered
class UniformDequantisation(Conditional):
    """q(u | x) = 1 on [0, 1)^D.

    Reference: Theis et al., 2016, section 3.1, arXiv 1511.01844.
    """

    def __init__(self) -> None:
        super().__init__()

    def forward(self, context: Tensor | None = None) -> Independent:
        assert context is not None
        noise = Uniform(torch.zeros_like(context), torch.ones_like(context), validate_args=False)
        return Independent(noise, context.dim() - 1, validate_args=False)


@registered
class VariationalDequantisation(Conditional):
    """q(u | x): a flow whose layers are conditioned on x by a network. The bound is tight if q(u | x) = p(u | x).

    Args:      network: squeezed pixels in [-1, 1], shape (B, 4 C, H/2, W/2), to the context of the bijection's layers.
               bijection: from u to the base; its inverse must be inside (0, 1)^D. base_shape: shape of the latent.
               levels: number of values of a pixel.
    Deviation: a logistic base instead of a normal one: the untrained noise is exactly uniform, and its tails after the
               logit are as heavy as those of a density that is flat up to the edge of its cell. With lighter tails the
               importance weights have no finite variance.
    Reference: Ho et al., 2019, section 3.1, arXiv 1902.00275.
    """

    def __init__(self, network: nn.Module, bijection: Bijection, base_shape: Sequence[int], levels: int) -> None:
        super().__init__()
        self.network, self.bijection = network, bijection
        self.base_shape, self.levels = tuple(base_shape), levels
        self.squeeze = Squeeze()

    def forward(self, context: Tensor | None = None) -> FlowDistribution:
        assert context is not None
        base = StandardLogistic(self.base_shape, context)
        features = self.network(self.squeeze(2 * context / (self.levels - 1) - 1)[0])
        return FlowDistribution(base, self.bijection, features, context.shape[1:])

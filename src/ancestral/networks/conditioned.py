"""A network with a second input, a condition such as a class."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ancestral.core.serialization import registered


@registered
class Conditioned(nn.Module):
    """An image network f(x, c) made from a network of one input, which gets x and the condition c together.

    Args:      network: if `planes`, from (..., C + K, H, W), else from (..., C H W + K). event_shape: (C, H, W).
               planes: give each entry of c as a constant channel, for convolutions; else append c to the flat image.
    """

    def __init__(self, network: nn.Module, event_shape: Sequence[int], planes: bool) -> None:
        super().__init__()
        self.network, self.event_shape, self.planes = network, tuple(event_shape), planes

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """x: (..., C, H, W); condition: (..., K), broadcast to the same leading axes."""
        leading = x.shape[: x.dim() - len(self.event_shape)]
        entries = condition.expand(*leading, -1)
        if not self.planes:
            return self.network(torch.cat([x.flatten(len(leading)), entries], -1))
        sides = self.event_shape[1:]
        return self.network(torch.cat([x, entries[..., None, None].expand(*entries.shape, *sides)], -3))

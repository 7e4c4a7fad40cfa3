"""Bijections that change the shape of images: squeezing, and factoring out half of the channels at each scale."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ancestral.core.serialization import registered
from ancestral.distributions.bijections import Bijection


@registered
class Squeeze(Bijection):
    """(B, C, H, W) to (B, 4 C, H/2, W/2): each 2x2 block of pixels becomes channels. H and W must be even.

    The order of the pixels in a block is first one diagonal, then the other. So the two halves of the channels are the
    two colours of a checkerboard, and a coupling right after this layer is a checkerboard coupling.

    Reference: Dinh et al., 2017, sections 3.4 and 3.6, arXiv 1605.08803.
    """

    def __init__(self) -> None:
        super().__init__()

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        corners = [x[..., i::2, j::2] for i, j in _DIAGONALS]
        return torch.cat(corners, 1), x.new_zeros(x.shape[0])

    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        batch, channels, height, width = z.shape
        x = z.new_empty(batch, channels // 4, 2 * height, 2 * width)
        for (i, j), corner in zip(_DIAGONALS, z.chunk(4, 1), strict=True):
            x[..., i::2, j::2] = corner
        return x, z.new_zeros(batch)


_DIAGONALS = ((0, 0), (1, 1), (0, 1), (1, 0))


@registered
class MultiScale(Bijection):
    """Multi-scale flow from an image to a flat vector: after each scale but the last, half of the channels are output.

        h_0 = x,   (z_s, h_s) = halves of f_s(h_(s-1)),   z = (z_1, ..., z_(S-1), f_S(h_(S-1)))

    Args:      scales: f_1, ..., f_S, bijections of images. shapes: (C, H, W) after each scale, before it is halved.
    Returns:   `forward`: z, shape (B, D); `inverse`: the image. Both with the log-determinant, shape (B,), nats.
    Reference: Dinh et al., 2017, section 3.6, eqs. 13 to 16, arXiv 1605.08803.
    """

    def __init__(self, scales: Sequence[Bijection], shapes: Sequence[Sequence[int]]) -> None:
        super().__init__()
        self.scales = nn.ModuleList(scales)
        self.shapes = [tuple(shape) for shape in shapes]

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        total, done = x.new_zeros(x.shape[0]), []
        for i, scale in enumerate(self.scales):
            x, log_det = scale(x, context)
            total = total + log_det
            if i < len(self.scales) - 1:
                out, x = x.chunk(2, 1)
                done.append(out.flatten(1))
        return torch.cat([*done, x.flatten(1)], 1), total

    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        sizes = [math.prod(shape) // 2 for shape in self.shapes[:-1]]
        *done, last = z.split([*sizes, math.prod(self.shapes[-1])], 1)
        x, total = last.unflatten(1, self.shapes[-1]), z.new_zeros(z.shape[0])
        for i in reversed(range(len(self.scales))):
            if i < len(self.scales) - 1:
                channels, *sides = self.shapes[i]
                x = torch.cat([done[i].unflatten(1, (channels // 2, *sides)), x], 1)
            x, log_det = self.scales[i].inverse(x, context)  # type: ignore[operator]
            total = total + log_det
        return x, total

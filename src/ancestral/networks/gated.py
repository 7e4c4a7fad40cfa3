"""A small residual convolutional network with output of the same height and width, for couplings of images."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ancestral.core.serialization import registered
from ancestral.networks.mlp import ACTIVATIONS


@registered
class GatedConvNet(nn.Module):
    """(B, in_channels, H, W) to (B, out_channels, H, W): residual blocks of a 3x3 convolution and a gated 1x1 one.

        h <- h + a * sigmoid(b),   (a, b) = conv1x1(act(conv3x3(act(h))))

    A learned map of features encodes the position in the image.

    Args:      sides: (H, W). width: channels of h. blocks: number of blocks.
    Deviation: no layer normalisation, and plain activations (the reference concatenates ELU(h) and ELU(-h)), which
               takes half the time.
    Reference: Ho et al., 2019, section 3.3, arXiv 1902.00275.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        sides: Sequence[int],
        width: int = 32,
        blocks: int = 2,
        activation: str = "relu",
    ) -> None:
        super().__init__()
        self.enter = nn.Conv2d(in_channels, width, 3, padding=1)
        self.places = nn.Parameter(torch.zeros(width, *sides))
        self.blocks = nn.ModuleList(
            nn.Sequential(
                ACTIVATIONS[activation](),
                nn.Conv2d(width, width, 3, padding=1),
                ACTIVATIONS[activation](),
                nn.Conv2d(width, 2 * width, 1),
                nn.GLU(dim=1),
            )
            for _ in range(blocks)
        )
        self.leave = nn.Sequential(ACTIVATIONS[activation](), nn.Conv2d(width, out_channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        h = self.enter(x) + self.places
        for block in self.blocks:
            h = h + block(h)
        return self.leave(h)

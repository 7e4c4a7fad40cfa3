"""A convolutional network over two resolutions with a dense layer at the centre, for images of any size."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ancestral.core.serialization import registered

FOLD = 4  # sides are padded to a multiple of this: the network halves them twice
FIRST_SHARE = 0.2  # initial scale of the last layer of a block, relative to its usual one
LAST_SHARE = 0.1


def _set_normal(weights: Tensor, deviation: float) -> None:
    """Set weights to samples of a normal distribution, except on the device "meta", where they have no values.

    There, torch would import its compiler, which takes about a second whenever a model is loaded.
    """
    if not weights.is_meta:
        nn.init.normal_(weights, std=deviation)


class ResidualBlock(nn.Module):
    """h + conv(silu(conv(silu(h)))), 3x3 convolutions.

    The second convolution starts with small weights, so that a deep stack starts near the identity and needs no
    normalisation. A normalisation over the image would mix the statistics of pixels that are observed and hidden.

    Args:      width: channels.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        _set_normal(self.second.weight, FIRST_SHARE / math.sqrt(9 * width))
        nn.init.zeros_(self.second.bias)  # type: ignore[arg-type]

    def forward(self, h: Tensor) -> Tensor:
        return h + self.second(F.silu(self.first(F.silu(h))))


class DenseBlock(nn.Module):
    """h + a fully connected network over all positions of a few channels, so that each output depends on each input.

    Args:      width: channels of h. sides: of h. narrow: channels that the dense layers see. hidden: their width.
    """

    def __init__(self, width: int, sides: Sequence[int], narrow: int, hidden: int) -> None:
        super().__init__()
        size = narrow * math.prod(sides)
        self.enter, self.leave = nn.Conv2d(width, narrow, 1), nn.Conv2d(narrow, width, 1)
        self.inner, self.outer = nn.Linear(size, hidden), nn.Linear(hidden, size)

    def forward(self, h: Tensor) -> Tensor:
        few = F.silu(self.enter(h))
        few = few + self.outer(F.silu(self.inner(few.flatten(1)))).view(few.shape)
        return h + self.leave(F.silu(few))


@registered
class UNet(nn.Module):
    """(B, in_channels, H, W) to (B, out_channels, H, W): residual blocks at half and at a quarter of the resolution.

    Squares of 2x2 pixels become channels (pixel-unshuffle), so no block works at the full resolution. A learned map of
    features encodes the position. Sides that are no multiple of 4 are padded with zeros inside. There is no
    normalisation.

    Args:      sides: (H, W). width: channels at half the resolution; a quarter has twice as many. blocks: number of
               residual blocks at each stage; the last stage has twice as many. dense: width of the dense layer.
    Reference: Ronneberger et al., 2015, arXiv 1505.04597 (skip connection between equal resolutions).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        sides: Sequence[int],
        width: int = 48,
        blocks: int = 1,
        dense: int = 384,
    ) -> None:
        super().__init__()
        self.padding = [-side % FOLD for side in sides]
        quarter = [-(-side // FOLD) for side in sides]
        deep = 2 * width
        self.enter = nn.Conv2d(4 * in_channels, width, 3, padding=1)
        self.places = nn.Parameter(torch.empty(1, width, *(2 * side for side in quarter)))
        _set_normal(self.places, 0.1)
        self.before = nn.Sequential(*(ResidualBlock(width) for _ in range(blocks)))
        self.down = nn.Conv2d(width, deep, 2, stride=2)
        self.below = nn.Sequential(*(ResidualBlock(deep) for _ in range(blocks)))
        self.dense = DenseBlock(deep, quarter, max(1, deep // 6), dense)
        self.above = nn.Sequential(*(ResidualBlock(deep) for _ in range(blocks)))
        self.up = nn.ConvTranspose2d(deep, width, 2, stride=2)
        self.after = nn.Sequential(*(ResidualBlock(width) for _ in range(2 * blocks)))
        self.leave = nn.Conv2d(width, 4 * out_channels, 3, padding=1)
        if not self.leave.weight.is_meta:  # as in `_set_normal`
            with torch.no_grad():
                self.leave.weight.mul_(LAST_SHARE)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # convolutions on a CPU are faster in this layout

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        x = F.pad(x, (0, self.padding[1], 0, self.padding[0])) if any(self.padding) else x
        folded = F.pixel_unshuffle(x, 2).contiguous(memory_format=torch.channels_last)
        beside = self.before(self.enter(folded) + self.places)
        h = self.above(self.dense(self.below(self.down(F.silu(beside)))))
        h = self.after(beside + self.up(F.silu(h)))
        found = F.pixel_shuffle(self.leave(F.silu(h)), 2)
        return found[..., :height, :width] if any(self.padding) else found

"""Convolutional encoder and decoder, for any image size and number of channels."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor, nn

from ancestral.core.errors import InputError
from ancestral.core.serialization import registered
from ancestral.networks.mlp import ACTIVATIONS, initialise_glorot
from ancestral.settings.checks import shown


def sizes_before(size: int, strides: Sequence[int]) -> list[int]:
    """Side lengths before and after each layer with these strides, rounded up: 28 with (2, 2, 2) is 28, 14, 7, 4."""
    sizes = [size]
    for stride in strides:
        sizes.append(math.ceil(sizes[-1] / stride))
    return sizes


@registered
class ConvEncoder(nn.Module):
    """3x3 convolutions, then one linear layer: (..., C, H, W) to (..., *out_shape).

    Args:      in_shape: (C, H, W). channels, strides: one per convolution; stride s divides the sides by s,
               rounded up. out_shape: event shape of the result. dropout: dropout probability after each activation.
    Reference: the encoder of `csds600` has channels (32, 64, 128, 256) and strides (1, 2, 2, 2); that of `uva2020` has
               channels (32, 32, 64, 64, 64) and strides (2, 1, 2, 1, 2).
    """

    def __init__(
        self,
        in_shape: Sequence[int],
        channels: Sequence[int],
        strides: Sequence[int],
        out_shape: Sequence[int],
        activation: str = "relu",
        glorot: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.in_shape, self.out_shape = tuple(in_shape), tuple(out_shape)
        layers: list[nn.Module] = []
        width = in_shape[0]
        for next_width, stride in zip(channels, strides, strict=True):
            layers += [nn.Conv2d(width, next_width, 3, stride, padding=1), ACTIVATIONS[activation]()]
            if dropout:
                layers.append(nn.Dropout(dropout))
            width = next_width
        height, breadth = (sizes_before(side, strides)[-1] for side in in_shape[1:])
        self.convolutions = nn.Sequential(*layers)
        self.project = nn.Linear(width * height * breadth, math.prod(out_shape))
        if glorot:
            initialise_glorot(self)

    def forward(self, x: Tensor) -> Tensor:
        leading = x.shape[: -len(self.in_shape)]
        features = self.convolutions(x.reshape(-1, *self.in_shape))
        return self.project(features.flatten(1)).reshape(*leading, *self.out_shape)


@registered
class ConvDecoder(nn.Module):
    """One linear layer, then transposed 3x3 or 4x4 convolutions: (..., *in_shape) to (..., C, H, W).

    Args:      channels: number of input channels of each layer, from the smallest map on. strides: 1 or 2 per layer;
               stride 2 doubles a side n, or makes it 2n - 1 if the size of the output requires it.
               out_shape: (C, H, W), H and W of any size. batch_norm: batch normalisation before each activation, as in
               the generators of GANs. Do not use it in a density.
    Raises:    InputError: a stride that is not 1 or 2.
    Reference: the decoder of `csds600` has channels (128, 128, 64, 32) and strides (2, 2, 2, 1); that of `uva2020` has
               channels (64, 64, 64, 32, 32) and strides (2, 1, 2, 1, 2).
    """

    def __init__(
        self,
        in_shape: Sequence[int],
        channels: Sequence[int],
        strides: Sequence[int],
        out_shape: Sequence[int],
        activation: str = "relu",
        glorot: bool = False,
        batch_norm: bool = False,
    ) -> None:
        super().__init__()
        if any(stride not in (1, 2) for stride in strides):
            raise InputError(f"strides {shown(tuple(strides))} of a decoder: give 1 or 2 for each layer")
        self.in_dims, self.out_shape = len(in_shape), tuple(out_shape)
        heights, breadths = (sizes_before(side, strides[::-1])[::-1] for side in out_shape[1:])
        self.start_shape = (channels[0], heights[0], breadths[0])
        self.project = nn.Linear(math.prod(in_shape), math.prod(self.start_shape))
        layers: list[nn.Module] = []
        widths = [*channels, out_shape[0]]
        for i, stride in enumerate(strides):
            if batch_norm:
                layers.append(nn.BatchNorm2d(widths[i]))
            layers.append(ACTIVATIONS[activation]())
            if stride == 1:
                layers.append(nn.Conv2d(widths[i], widths[i + 1], 3, padding=1))
            else:  # a kernel of 4 doubles a side exactly, a kernel of 3 gives 2n - 1
                kernel = (4 - heights[i + 1] % 2, 4 - breadths[i + 1] % 2)
                layers.append(nn.ConvTranspose2d(widths[i], widths[i + 1], kernel, 2, padding=1))
        self.convolutions = nn.Sequential(*layers)
        if glorot:
            initialise_glorot(self)

    def forward(self, z: Tensor) -> Tensor:
        rows = z.flatten(-self.in_dims)
        features = self.project(rows.reshape(-1, rows.shape[-1])).unflatten(-1, self.start_shape)
        return self.convolutions(features).reshape(*rows.shape[:-1], *self.out_shape)

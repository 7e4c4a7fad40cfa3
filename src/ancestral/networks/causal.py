"""Causal convolutions: each output depends on pixels above and to the left only. For whole images or one pixel."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class CausalConv2d(nn.Module):
    """A convolution whose output at (i, j) depends on inputs before (i, j) in raster order, and optionally on (i, j).

    The kernel covers `kernel // 2` rows above, with `kernel // 2` columns on both sides, and the columns to the left in
    the same row. It has no rows below, so there is no computation for masked rows.

    Args:      in_channels, out_channels: number of channels. kernel: width of the kernel, odd. current: whether the
               output depends on the input at (i, j).
    Raises:    ValueError: the width is even or below 3.
    Reference: masks A and B of van den Oord et al., 2016, arXiv 1601.06759.
    """

    mask: Tensor

    def __init__(self, in_channels: int, out_channels: int, kernel: int, current: bool) -> None:
        super().__init__()
        if kernel < 3 or kernel % 2 == 0:
            raise ValueError(f"kernel {kernel}: a causal kernel needs an odd width of at least 3")
        self.reach = kernel // 2
        conv = nn.Conv2d(in_channels, out_channels, (self.reach + 1, kernel))  # only for its initial weights
        assert conv.bias is not None
        self.weight, self.bias = conv.weight, conv.bias
        mask = torch.ones(self.reach + 1, kernel)
        mask[-1, self.reach + current :] = 0
        self.register_buffer("mask", mask, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, in, H, W); returns (B, out, H, W)."""
        padded = F.pad(x, (self.reach, self.reach, self.reach, 0))
        return F.conv2d(padded, self.weight * self.mask, self.bias)

    def rows(self) -> Tensor:
        """The masked kernel as a matrix for windows of a `PixelCache`, shape (window, out)."""
        return (self.weight * self.mask).permute(2, 3, 1, 0).flatten(0, 2)


class PixelCache:
    """Stored inputs of one causal convolution; they are added pixel by pixel in raster order.

    Args:      images, height, width, channels: sizes. conv: the layer that reads the windows. like: a tensor with the
               number format and device of the inputs.
    """

    def __init__(self, images: int, height: int, width: int, channels: int, conv: CausalConv2d, like: Tensor) -> None:
        reach = conv.reach
        self.reach, self.kernel = reach, 2 * reach + 1
        # the array includes the border of zeros that the convolution pads
        self.values = like.new_zeros(images, height + reach, width + 2 * reach, channels)

    def put(self, i: int, j: int, value: Tensor) -> None:
        """Store the channels of pixel (i, j), shape (images, channels)."""
        self.values[:, i + self.reach, j + self.reach] = value

    def reorder(self, i: int, rows: Tensor) -> None:
        """Replace each image by another one. rows: (images,). Only from row i on: earlier rows are not read again."""
        last = i + self.reach + 1
        self.values[:, i:last] = self.values[rows, i:last]

    def window(self, i: int, j: int) -> Tensor:
        """The inputs of the kernel at (i, j), shape (images, window)."""
        return self.values[:, i : i + self.reach + 1, j : j + self.kernel].flatten(1)


class GatedBlock(nn.Module):
    """A gated residual block: x + U [tanh(a) * sigmoid(b)] with (a, b) = causal convolution of V relu(x).

    The convolution has `hidden` channels, fewer than the `channels` of the residual path (a bottleneck). With a
    condition c, such as a class, V_a c and V_b c are added to a and b at every pixel.

    Args:      channels, hidden, kernel: sizes. condition: number of entries of c; 0: none.
    Reference: gates: van den Oord et al., 2016, eq. 2, and the condition: eq. 4, arXiv 1606.05328; the bottleneck:
               1601.06759, figure 5.
    """

    def __init__(self, channels: int, hidden: int, kernel: int, condition: int = 0) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(channels, hidden, 1)
        self.conv = CausalConv2d(hidden, 2 * hidden, kernel, current=True)
        self.expand = nn.Conv2d(hidden, channels, 1)
        self.given = nn.Linear(condition, 2 * hidden, bias=False) if condition else None

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """x: (B, channels, H, W), condition: (1 or B, entries); returns the shape of x."""
        gates = self.conv(self.reduce(F.relu(x)))
        if self.given is not None:
            gates = gates + self.given(condition)[..., None, None]
        a, b = gates.chunk(2, dim=1)
        return x + self.expand(torch.tanh(a) * torch.sigmoid(b))

    def at_pixel(self, x: Tensor, i: int, j: int, cache: PixelCache, kernel: Tensor, bias: Tensor) -> Tensor:
        """The same for one pixel, shape (B, channels), given the cache of earlier pixels, `conv.rows()` and `bias`."""
        cache.put(i, j, F.linear(F.relu(x), self.reduce.weight[:, :, 0, 0], self.reduce.bias))
        a, b = torch.addmm(bias, cache.window(i, j), kernel).chunk(2, dim=1)
        return x + F.linear(torch.tanh(a) * torch.sigmoid(b), self.expand.weight[:, :, 0, 0], self.expand.bias)

    def bias_of(self, condition: Tensor | None = None) -> Tensor:
        """The bias of the gates, shape (2 hidden,), or (B, 2 hidden) for a condition of shape (B, entries)."""
        return self.conv.bias if self.given is None else self.conv.bias + self.given(condition)

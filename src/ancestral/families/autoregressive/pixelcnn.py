"""PixelCNN: an exact autoregressive model of images with causal convolutions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ancestral.core.errors import InputError
from ancestral.core.serialization import registered
from ancestral.data.pixels import PixelBatches
from ancestral.distributions.outputs import ZeroFlagOutput, pixel_output
from ancestral.families.autoregressive.own_network import given_autoregressive
from ancestral.families.autoregressive.settings import PixelCNNSettings
from ancestral.families.conditional import classes_of
from ancestral.families.family import DataSpec
from ancestral.models.autoregressive import AutoregressiveModel, output_name
from ancestral.models.particles import Particles
from ancestral.networks.causal import CausalConv2d, GatedBlock, PixelCache

COUNTED_AT_ONCE = 4096  # images


class ChannelHead(nn.Module):
    """The parameters of each colour channel, given all earlier pixels and the earlier channels of the same pixel.

    Args:      features: channels of the last block. width: hidden channels per colour. colours: C.
               size: parameters per value.
    """

    mask: Tensor

    def __init__(self, features: int, width: int, colours: int, size: int) -> None:
        super().__init__()
        self.colours = colours
        self.before = nn.Conv2d(features, width * colours, 1)
        self.out = nn.Conv2d(width * colours, colours * size, 1, groups=colours)
        if colours > 1:  # the first channel has no earlier one
            self.beside = nn.Parameter(nn.Conv2d(colours, width * colours, 1).weight.detach())
            groups = [[float(other < colour) for other in range(colours)] for colour in range(colours)]
            mask = torch.tensor(groups).repeat_interleave(width, 0)[..., None, None]
            self.register_buffer("mask", mask, persistent=False)

    def forward(self, features: Tensor, x: Tensor) -> Tensor:
        """features: (B, F, H, W), x: centred pixels (B, C, H, W); returns (B, C, H, W, size)."""
        hidden = self.before(F.relu(features))
        if self.colours > 1:
            hidden = hidden + F.conv2d(x, self.beside * self.mask)
        return self.out(F.relu(hidden)).unflatten(1, (self.colours, -1)).movedim(2, -1)


@registered
class PixelCNN(AutoregressiveModel):
    """Autoregressive model of images: pixels in reading order, and the channels within a pixel one after the other.

        log p(x) = sum_d log p(x_d | x_<d)

    The network has a wide causal convolution, then gated residual blocks of causal convolutions, then a head for the
    parameters of every conditional. It has no normalisation over a batch or an image, which would make a pixel depend
    on later ones.

    Args:      event_shape: (C, H, W). output: bernoulli, categorical or logistic. levels: of a pixel. channels: of the
               residual path. hidden: channels within a block. blocks: number of blocks. kernel: size in the blocks.
               first_kernel: size of the first convolution. components: of a logistic output. frequent: number of levels
               that have an input channel of their own, which is 1 where a pixel has the level; `initialise` chooses the
               most frequent levels of the training data. positions: add a learned value for each position and channel.
               classes: K, number of classes, which every block gets; 0 for none. proportions: of the classes in the
               training data; None: equal. vector: mean and standard deviation of each entry of a condition vector,
               which every block gets, instead of classes; () for none.
    Deviation: one stack instead of the paper's two (vertical and horizontal). Its receptive field lacks pixels far to
               the right in the rows just above; the wide first kernel covers most of them, at half the cost.
    Reference: van den Oord et al., 2016, arXiv 1601.06759 and 1606.05328.
    Example:
        >>> model = PixelCNN([1, 8, 8], channels=8, hidden=4, blocks=1)
        >>> model.log_prob(torch.zeros(3, 1, 8, 8)).shape
        torch.Size([3])
    """

    takes_vectors: ClassVar[bool] = True
    marked: Tensor

    def __init__(
        self,
        event_shape: Sequence[int],
        output: str = "bernoulli",
        levels: int = 2,
        channels: int = 64,
        hidden: int = 32,
        blocks: int = 8,
        kernel: int = 3,
        first_kernel: int = 13,
        components: int = 10,
        frequent: int = 0,
        positions: bool = False,
        classes: int = 0,
        proportions: Sequence[float] | None = None,
        vector: Sequence[Sequence[float]] = (),
    ) -> None:
        super().__init__()
        self.set_classes(classes, proportions)
        self.set_vector(vector)
        self.event_shape = tuple(event_shape)
        self.output = pixel_output(output, levels, components)
        colours = event_shape[0]
        if frequent > levels:
            raise ValueError(f"{frequent} frequent levels: a pixel has {levels}")
        if frequent:
            self.register_buffer("marked", torch.tensor(range(frequent)))
        self.marks, self.inputs = frequent, colours * (1 + frequent)
        self.first = CausalConv2d(self.inputs, channels, first_kernel, current=False)
        self.places = nn.Parameter(torch.zeros(channels, *event_shape[1:])) if positions else None
        entries = classes or len(vector)
        self.blocks = nn.ModuleList(GatedBlock(channels, hidden, kernel, entries) for _ in range(blocks))
        self.head = ChannelHead(channels, channels, colours, self.output.size)

    @property
    def order(self) -> Tensor:
        colours, height, width = self.event_shape
        return torch.arange(colours * height * width).view(colours, -1).T.flatten()

    def seen(self, x: Tensor) -> Tensor:
        """The input of the network for some levels: (B, C, ...) to (B, inputs, ...)."""
        image = self.centred(x)
        if not self.marks:
            return image
        marks = x[:, None] == self.marked.view(-1, *[1] * (x.dim() - 1))  # (B, frequent, C, ...)
        return torch.cat([image, marks.flatten(1, 2).to(image)], 1)

    def predict(self, x: Tensor) -> Tensor:
        self.refuse_without_class()
        # the memory layout in which convolutions are fastest; it changes no value
        image = self.seen(x).contiguous(memory_format=torch.channels_last)
        features = self.first(image)
        if self.places is not None:
            features = features + self.places
        for block in self.blocks:
            features = block(features, self.condition)
        return self.head(features, image[:, : self.event_shape[0]])

    @torch.no_grad()
    def draw(self, noise: Tensor, particles: Particles | None = None) -> Tensor:
        """See `AutoregressiveModel.draw`. Each activation is computed once, after all its inputs are known."""
        self.refuse_without_class()
        n, (_, height, width) = len(noise), self.event_shape
        condition = self.conditions(n)
        noise = self.output.noise(noise)
        x = torch.zeros_like(noise)
        image = PixelCache(n, height, width, self.inputs, self.first, noise)
        blocks = [
            (
                block,
                PixelCache(n, height, width, block.conv.weight.shape[1], block.conv, noise),
                block.conv.rows(),
                block.bias_of(condition),
            )
            for block in self.blocks
            if isinstance(block, GatedBlock)
        ]
        first_kernel = self.first.rows()
        for i in range(height):
            for j in range(width):
                features = torch.addmm(self.first.bias, image.window(i, j), first_kernel)
                if self.places is not None:
                    features = features + self.places[:, i, j]
                for block, cache, kernel, bias in blocks:
                    features = block.at_pixel(features, i, j, cache, kernel, bias)
                self._draw_pixel(features[:, :, None, None], noise, x, (i, j), particles)
                if particles is not None and (ancestors := particles.ancestors()) is not None:
                    x = x[ancestors]
                    for cache in (image, *(block[1] for block in blocks)):
                        cache.reorder(i, ancestors)
                image.put(i, j, self.seen(x[:, :, i, j]))
        return x

    def _draw_pixel(
        self, features: Tensor, noise: Tensor, x: Tensor, place: tuple[int, int], particles: Particles | None
    ) -> None:
        """Draw the channels of one pixel of x, shape (n, C, H, W), one after the other."""
        colours, height, width = self.event_shape
        pixel, at = x[:, :, *place], place[0] * width + place[1]
        for colour in range(colours):
            parameters = self.head(features, self.centred(pixel)[:, :, None, None])[:, colour, 0, 0]
            drawn = self.output.draw(parameters, noise[:, colour, *place])
            if particles is not None:
                drawn = particles.clamp(colour * height * width + at, self.output, parameters, drawn)
            pixel[:, colour] = drawn


def build_pixelcnn(settings: PixelCNNSettings, spec: DataSpec) -> AutoregressiveModel:
    """The PixelCNN that the settings describe, or the model of the user's own network.

    Raises:    InputError: the data are not images; or as `given_autoregressive`.
    """
    if len(spec.event_shape) != 3:
        raise InputError(f"a PixelCNN needs images, not arrays of shape {spec.event_shape}")
    output, levels = output_name(settings.output, spec.levels, spec.space)
    if own := given_autoregressive(spec, output, levels, settings.components, settings.conditional):
        return own
    if settings.frequent > levels:
        raise InputError(f"--frequent {settings.frequent}: the pixels have {levels} levels")
    return PixelCNN(
        list(spec.event_shape),
        output,
        levels,
        settings.channels,
        settings.hidden_channels,
        settings.blocks,
        settings.kernel,
        settings.first_kernel,
        settings.components,
        settings.frequent,
        settings.positions,
        *classes_of(settings, spec),
        spec.conditions,
    )


@torch.no_grad()
def begin_at_frequencies(model: AutoregressiveModel, train: PixelBatches) -> None:
    """Mark the most frequent levels of the training data in the input of a PixelCNN, and set the biases of an output
    with a flag for level 0 to the frequencies of the levels."""
    if not isinstance(model, PixelCNN) or not (model.marks or isinstance(model.output, ZeroFlagOutput)):
        return
    count = torch.zeros(model.levels, dtype=torch.double)
    for x in train.in_order(COUNTED_AT_ONCE):
        count += torch.bincount(x.flatten().long(), minlength=model.levels).to(count)
    if model.marks:
        model.marked.copy_(count.argsort(descending=True, stable=True)[: len(model.marked)].sort().values)
    if isinstance(model.output, ZeroFlagOutput):
        bias = model.head.out.bias
        assert bias is not None
        bias.copy_(model.output.fitted(count).repeat(model.event_shape[0]))

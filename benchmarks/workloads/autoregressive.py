"""Training steps of MADE with one order, of the PixelCNN and of the any-order model."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.harness.declarations import Repetition, Workload, usual
from benchmarks.harness.replay import linear_products
from benchmarks.harness.training import Ours, binary_images, limit_of, plain_loop

PIXELS, HIDDEN = 784, 1000
BATCH, STEPS = 128, 40


def sizes(tiny: bool, batch: int = BATCH, steps: int = STEPS) -> tuple[int, int]:
    return (4, 2) if tiny else (batch, steps)


def ours_made(tiny: bool) -> Ours:
    batch, steps = sizes(tiny)
    return Ours("made", binary_images(batch * steps), batch, hidden=(HIDDEN, HIDDEN), direct=False)


class MaskedLinear(nn.Linear):
    """A linear layer with a fixed mask, as in most implementations of MADE."""

    mask: Tensor

    def __init__(self, before: Tensor, after: Tensor, strict: bool) -> None:
        super().__init__(len(before), len(after))
        mask = before < after[:, None] if strict else before <= after[:, None]
        self.register_buffer("mask", mask.float())

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight * self.mask, self.bias)


class PlainMADE(nn.Module):
    """784-1000-1000-784 in reading order, with degrees that are spread evenly."""

    def __init__(self) -> None:
        super().__init__()
        pixels, hidden = torch.arange(1, PIXELS + 1), 1 + torch.arange(HIDDEN) * (PIXELS - 1) // HIDDEN
        self.layers = nn.Sequential(
            MaskedLinear(pixels, hidden, False),
            nn.ReLU(),
            MaskedLinear(hidden, hidden, False),
            nn.ReLU(),
            MaskedLinear(hidden, pixels, True),
        )

    def loss(self, x: Tensor) -> Tensor:
        """Mean negative log-likelihood, nats."""
        x = x.flatten(1)
        logits = self.layers(2 * x - 1)
        return F.binary_cross_entropy_with_logits(logits, x, reduction="none").sum(1).mean()


def plain_made(tiny: bool) -> Repetition:
    batch, steps = sizes(tiny)
    network = PlainMADE()
    return plain_loop(binary_images(batch * steps), batch, network, network.loss)


def limit_made(tiny: bool) -> Repetition:
    return linear_products([(PIXELS, HIDDEN), (HIDDEN, HIDDEN), (HIDDEN, PIXELS)], *sizes(tiny))


def ours_pixelcnn(tiny: bool) -> Ours:
    batch, steps = sizes(tiny, 32, 3)
    return Ours("pixelcnn", binary_images(batch * steps), batch)


class PlainCausal(nn.Conv2d):
    """A convolution whose kernel is multiplied by the mask of the pixels before (and, with `current`, at) the place."""

    mask: Tensor

    def __init__(self, inputs: int, outputs: int, kernel: int, current: bool) -> None:
        super().__init__(inputs, outputs, kernel, padding=kernel // 2)
        mask = torch.ones(kernel * kernel)
        mask[kernel * kernel // 2 + current :] = 0
        self.register_buffer("mask", mask.view(kernel, kernel))

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight * self.mask, self.bias, padding=self.padding)


class PlainBlock(nn.Module):
    """A gated residual block."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.down = nn.Conv2d(channels, hidden, 1)
        self.across = PlainCausal(hidden, 2 * hidden, 3, True)
        self.up = nn.Conv2d(hidden, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        a, b = self.across(self.down(F.relu(x))).chunk(2, 1)
        return x + self.up(a.tanh() * b.sigmoid())


class PlainPixelCNN(nn.Module):
    """A first causal convolution, gated residual blocks and a head of 1 x 1 convolutions, as a user writes them."""

    def __init__(self, channels: int = 64, hidden: int = 32, blocks: int = 8) -> None:
        super().__init__()
        self.first = PlainCausal(1, channels, 13, False)
        self.blocks = nn.ModuleList(PlainBlock(channels, hidden) for _ in range(blocks))
        self.head = nn.Sequential(nn.ReLU(), nn.Conv2d(channels, channels, 1), nn.ReLU(), nn.Conv2d(channels, 1, 1))

    def loss(self, x: Tensor) -> Tensor:
        features = self.first(2 * x - 1)
        for block in self.blocks:
            features = block(features)
        logits = self.head(features)
        return F.binary_cross_entropy_with_logits(logits, x, reduction="none").flatten(1).sum(1).mean()


def plain_pixelcnn(tiny: bool) -> Repetition:
    batch, steps = sizes(tiny, 32, 3)
    network = PlainPixelCNN()
    return plain_loop(binary_images(batch * steps), batch, network, network.loss)


def ours_any_order(tiny: bool) -> Ours:
    batch, steps = sizes(tiny, 64, 8)
    return Ours("any-order", binary_images(batch * steps), batch)


def plain_any_order(tiny: bool) -> Repetition:
    """A plain loop over the network of ours with uniform masks, which is the textbook objective."""
    made = ours_any_order(tiny)
    network = made.model.network

    def loss(x: Tensor) -> Tensor:
        shown = torch.randint(PIXELS, (len(x), 1))
        observed = (torch.rand(len(x), PIXELS).argsort(1).argsort(1) < shown).view_as(x)
        logits = network(torch.cat([torch.where(observed, 2 * x - 1, 0), observed.float()], 1))
        terms = F.binary_cross_entropy_with_logits(logits, x, reduction="none").where(~observed, 0)
        return (PIXELS / (PIXELS - shown[:, 0]) * terms.flatten(1).sum(1)).mean()

    return plain_loop(made.raw, made.batch, network, loss)


WORKLOADS = (
    Workload(
        "made",
        "MADE, one order",
        f"{STEPS} training steps of {BATCH} images, 784-1000-1000-784",
        usual(ours_made, plain_made, limit_made),
    ),
    Workload(
        "pixelcnn",
        "PixelCNN",
        "3 training steps of 32 images 28 x 28, 64 channels, 8 blocks",
        usual(ours_pixelcnn, plain_pixelcnn, partial(limit_of, ours_pixelcnn)),
    ),
    Workload(
        "any-order",
        "any-order model",
        "8 training steps of 64 images 28 x 28, the default network",
        usual(ours_any_order, plain_any_order, partial(limit_of, ours_any_order)),
    ),
)

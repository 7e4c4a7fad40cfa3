"""A family in one file: each pixel depends on the one before it.

ancestral train examples/chain.py --data digits --epochs 10 --out runs/chain
ancestral evaluate runs/chain --family examples/chain.py
ancestral explore runs/chain --family examples/chain.py
ancestral compress runs/chain --family examples/chain.py --out digits.anc
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.distributions import Bernoulli

import ancestral


@dataclass(frozen=True)
class ChainSettings(ancestral.FamilySettings):
    """A chain of binary pixels: each is drawn given the one before it."""

    scale: float = 0.1
    """standard deviation of the initial weights"""


@ancestral.registered
class PixelChain(ancestral.ExactModel):
    """p(x) = prod_d Bernoulli(x_d; sigmoid(a_d + b_d x_{d-1})), with x_{-1} = 0."""

    spaces, levels = ("binary", "static", "threshold"), 2

    def __init__(self, event_shape: list[int], scale: float = 0.1) -> None:
        super().__init__()
        self.event_shape = tuple(event_shape)
        size = torch.Size(event_shape).numel()
        self.a, self.b = (nn.Parameter(scale * torch.randn(size)) for _ in range(2))

    def conditionals(self, x: Tensor) -> Bernoulli:
        """p(x_d | the pixels before it), shape of x; `ancestral compress` codes the pixels with it."""
        before = nn.functional.pad(x.flatten(1), (1, 0))[:, :-1]
        return Bernoulli(logits=(self.a + self.b * before).view_as(x))

    def log_prob(self, x: Tensor) -> Tensor:
        return self.conditionals(x).log_prob(x).flatten(1).sum(1)

    @torch.no_grad()
    def sample(self, n: int) -> Tensor:
        pixels = [self.a.new_zeros(n)]
        for a, b in zip(self.a, self.b, strict=True):
            pixels.append(Bernoulli(logits=a + b * pixels[-1]).sample())
        return torch.stack(pixels[1:], 1).unflatten(1, self.event_shape)


def in_browser(model: PixelChain) -> dict[str, object]:
    """The chain as a MADE without hidden layers, whose pixel d has one weight: that of pixel d - 1.

    A MADE sees a pixel as s = 2 x - 1, so that a + b x = (a + b / 2) + (b / 2) s.
    """
    half = model.b / 2
    half[0] = 0  # no pixel comes before the first
    size = len(half)
    return {
        "kind": "autoregressive",
        "pixels": {"type": "bernoulli"},
        "network": {
            "type": "masked",
            "positions": torch.arange(1, size + 1)[None],  # one order: pixel d is drawn as number d + 1
            "layers": [],
            "last": None,
            "direct": {"weight": torch.diag(half[1:], -1), "bias": model.a + half},
            "activation": {"name": "relu"},
            "inputs": 1,
            "size": 1,
            "levels": 2,
        },
    }


FAMILY = ancestral.Family(
    name="chain",
    explorer=in_browser,
    settings=ChainSettings,
    build=lambda settings, spec: PixelChain(list(spec.event_shape), settings.scale),
    tiny={"chain": lambda: PixelChain([1, 3, 3], 1.0)},
)

"""A family in one file: each pixel depends on the one before it.

ancestral train examples/chain.py --data digits --epochs 10 --out runs/chain
ancestral evaluate runs/chain --family examples/chain.py
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

    def log_prob(self, x: Tensor) -> Tensor:
        flat = x.flatten(1)
        before = nn.functional.pad(flat, (1, 0))[:, :-1]
        return Bernoulli(logits=self.a + self.b * before).log_prob(flat).sum(1)

    @torch.no_grad()
    def sample(self, n: int) -> Tensor:
        pixels = [self.a.new_zeros(n)]
        for a, b in zip(self.a, self.b, strict=True):
            pixels.append(Bernoulli(logits=a + b * pixels[-1]).sample())
        return torch.stack(pixels[1:], 1).unflatten(1, self.event_shape)


FAMILY = ancestral.Family(
    name="chain",
    settings=ChainSettings,
    build=lambda settings, spec: PixelChain(list(spec.event_shape), settings.scale),
    tiny={"chain": lambda: PixelChain([1, 3, 3], 1.0)},
)

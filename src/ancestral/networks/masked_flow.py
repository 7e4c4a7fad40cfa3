"""A masked network for masked autoregressive flows: output d depends on inputs before d only."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from ancestral.core.serialization import registered
from ancestral.networks.masked import MaskedLinear
from ancestral.networks.mlp import ACTIVATIONS


@registered
class MaskedMLP(nn.Module):
    """(B, D) to (B, copies * D): output d of each copy depends on x_1, ..., x_(d-1) only.

    Args:      features: D. hidden: widths of the hidden layers, at least one. copies: outputs per dimension; all
               outputs of the first copy come first. condition: entries of a condition, an input of every unit of the
               first hidden layer, without a mask; 0 for none.
    Deviation: hidden degrees 1 to D - 1 are assigned in turn, not at random.
    Reference: Germain et al., 2015, eqs. 8 and 9, arXiv 1502.03509.
    """

    def __init__(
        self, features: int, hidden: Sequence[int], copies: int = 2, activation: str = "gelu", condition: int = 0
    ) -> None:
        super().__init__()
        self.given = nn.Linear(condition, hidden[0], bias=False) if condition else None
        widths = [features, *hidden, copies * features]
        self.layers = nn.ModuleList(MaskedLinear(width, next_width) for width, next_width in pairwise(widths))
        self.activation = ACTIVATIONS[activation]()
        places = list(range(1, features + 1))
        inner = [[1 + i % max(1, features - 1) for i in range(width)] for width in hidden]
        degrees = [torch.tensor(values) for values in (places, *inner, places * copies)]
        for i, (layer, before, after) in enumerate(zip(self.layers, degrees, degrees[1:], strict=False)):
            layer.keep_mask(before, after, strict=i == len(hidden))  # type: ignore[operator]

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        last = len(self.layers) - 1
        for i, layer in enumerate(self.layers):
            x = layer(x)
            if i == 0 and self.given is not None:
                x = x + self.given(condition)
            x = x if i == last else self.activation(x)
        return x

"""Multilayer perceptron with inputs and outputs of any shape."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from ancestral.core.hooks import has_hooks
from ancestral.core.serialization import registered

aten = torch.ops.aten
ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "leaky-relu": nn.LeakyReLU,
    "leaky-relu-0.2": partial(nn.LeakyReLU, 0.2),  # common in GANs
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
}

# gradient for the input of an activation: (module, gradient for its output, input, output)
SLOPES: dict[type[nn.Module], Callable[[Any, Tensor, Tensor, Tensor], Tensor]] = {
    nn.ReLU: lambda _, g, before, after: aten.threshold_backward(g, after, 0),
    nn.LeakyReLU: lambda module, g, before, after: aten.leaky_relu_backward(g, before, module.negative_slope, False),
    nn.GELU: lambda module, g, before, after: aten.gelu_backward(g, before, approximate=module.approximate),
    nn.SiLU: lambda _, g, before, after: aten.silu_backward(g, before),
    nn.Tanh: lambda _, g, before, after: aten.tanh_backward(g, after),
}


def initialise_glorot(module: nn.Module) -> None:
    """Glorot-uniform weights and zero biases for the linear and convolutional layers of `module`.

    Reference: Glorot and Bengio, 2010, eq. 16.
    """
    for layer in module.modules():
        if isinstance(layer, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)):
            nn.init.xavier_uniform_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


@registered
class MLP(nn.Module):
    """Fully connected layers with one activation between them: (..., *in_shape) to (..., *out_shape).

    Args:      in_shape, out_shape: event shapes; inputs are flattened, outputs are reshaped.
               hidden: widths of the hidden layers; may be empty. activation: a name in `ACTIVATIONS`.
               glorot: Glorot-uniform initial weights instead of torch's default. dropout: dropout probability of the
               hidden units.
    Example:
        >>> MLP([1, 8, 8], [32], [4])(__import__("torch").zeros(5, 1, 8, 8)).shape
        torch.Size([5, 4])
    """

    def __init__(
        self,
        in_shape: Sequence[int],
        hidden: Sequence[int],
        out_shape: Sequence[int],
        activation: str = "relu",
        glorot: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.in_dims, self.out_shape = len(in_shape), tuple(out_shape)
        widths = [math.prod(in_shape), *hidden, math.prod(out_shape)]
        layers: list[nn.Module] = []
        for width, next_width in pairwise(widths[:-1]):
            layers += [nn.Linear(width, next_width), ACTIVATIONS[activation]()]
            if dropout:
                layers.append(nn.Dropout(dropout))
        self.layers = nn.Sequential(*layers, nn.Linear(widths[-2], widths[-1]))
        if glorot:
            initialise_glorot(self)

    def forward(self, x: Tensor) -> Tensor:
        y = self.layers(x.flatten(-self.in_dims))
        return y.unflatten(-1, self.out_shape)

    def trained(self) -> list[Tensor] | None:
        """Weight and bias of each layer, for `pull_back`; None if autograd has to compute the gradient.

        This is so with dropout, with weights that are computed (spectral normalisation), and with hooks, which a
        person may have added.
        """
        found: list[Tensor] = []
        for layer in self._ordered():
            if type(layer) is nn.Linear:
                found += [layer.weight, layer.bias]
            elif type(layer) not in SLOPES:
                return None
            if has_hooks(layer):
                return None
        return None if has_hooks(self) or has_hooks(self.layers) else found

    def forward_kept(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The output for vectors, shape (B, D), and what `pull_back` needs: input and output of each layer."""
        kept = [x]
        for layer in self._ordered():
            x = layer.forward(x)  # there are no hooks, for which a call looks
            kept.append(x)
        return x, kept

    def pull_back(self, kept: Sequence[Tensor], gradient: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The gradients for the input and for the parameters. kept: of `forward_kept`, then the parameters."""
        layers = self._ordered()
        after, weight = len(layers), len(kept) - 2
        found: list[Tensor] = []
        for layer in reversed(layers):
            if type(layer) is nn.Linear:
                found += [gradient.sum(0), gradient.t().mm(kept[after - 1])]
                gradient = gradient.mm(kept[weight])
                weight -= 2
            else:
                gradient = SLOPES[type(layer)](layer, gradient, kept[after - 1], kept[after])
            after -= 1
        return gradient, found[::-1]

    def _ordered(self) -> list[nn.Module]:
        return list(self.layers._modules.values())  # type: ignore[arg-type]

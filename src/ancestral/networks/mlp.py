"""Multilayer perceptron with inputs and outputs of any shape."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise

from torch import Tensor, nn

from ancestral.core.serialization import registered

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "leaky-relu": nn.LeakyReLU,
    "leaky-relu-0.2": partial(nn.LeakyReLU, 0.2),  # common in GANs
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
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

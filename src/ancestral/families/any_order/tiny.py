"""Any-order models small enough to sum over all images."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from torch import nn

from ancestral.distributions.outputs import pixel_output
from ancestral.families.any_order.build import in_channels
from ancestral.families.any_order.model import AnyOrderModel
from ancestral.families.tiny import perturbed, with_larger_weights
from ancestral.models.base import Model
from ancestral.networks.conditioned import Conditioned
from ancestral.networks.mlp import MLP
from ancestral.networks.unet import UNet


def tiny_any_order(
    shape: Sequence[int] = (1, 2, 2),
    output: str = "bernoulli",
    levels: int = 2,
    network: str = "mlp",
    shares: Sequence[float] = (),
    vector: Sequence[Sequence[float]] = (),
) -> Model:
    """A model whose pixels depend clearly on each other and on the mask. shares: proportions of its classes."""
    inputs, outputs = in_channels(shape, output, levels), shape[0] * pixel_output(output, levels, 2).size
    sides, entries = shape[1:], len(shares) or len(vector)
    body: nn.Module
    if network == "unet":
        body = UNet(inputs + entries, outputs, sides, 4, 1, 6)
    else:
        size = inputs * math.prod(sides) + entries
        body = MLP([size] if entries else [inputs, *sides], [10], [outputs, *sides], "silu")
    if entries:
        body = Conditioned(body, [inputs, *sides], planes=network == "unet")
    of_class = MLP([inputs, *sides], [6], [len(shares)], "silu") if shares else None
    model = AnyOrderModel(
        body, shape, output, levels, 2, class_network=of_class, classes=len(shares), proportions=shares, vector=vector
    )
    return with_larger_weights(perturbed(model, 0.1))


TINY: dict[str, Callable[[], Model]] = {
    "any-order": lambda: tiny_any_order(),
    "any-order, unet": lambda: tiny_any_order(network="unet"),
    "any-order, categorical": lambda: tiny_any_order((1, 1, 3), "categorical", 3),
    "any-order, conditional": lambda: tiny_any_order(shares=(1.0, 3.0)),
    "any-order, unet, conditional": lambda: tiny_any_order((1, 1, 3), network="unet", shares=(2.0, 1.0)),
    "any-order, given a vector": lambda: tiny_any_order(vector=[(0.5, 1.0), (-1.0, 2.0)]),
    "any-order, logistic, colour": lambda: tiny_any_order((2, 1, 2), "logistic", 3),
}

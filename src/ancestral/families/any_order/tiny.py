"""Any-order models small enough to sum over all images."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ancestral.distributions.outputs import pixel_output
from ancestral.families.any_order.model import AnyOrderModel, in_channels
from ancestral.families.tiny import perturbed, with_larger_weights
from ancestral.models.base import Model
from ancestral.networks.mlp import MLP
from ancestral.networks.unet import UNet


def tiny_any_order(
    shape: Sequence[int] = (1, 2, 2), output: str = "bernoulli", levels: int = 2, network: str = "mlp"
) -> Model:
    """A model whose pixels depend clearly on each other and on the mask."""
    inputs, outputs = in_channels(shape, output, levels), shape[0] * pixel_output(output, levels, 2).size
    if network == "unet":
        model = AnyOrderModel(UNet(inputs, outputs, shape[1:], 4, 1, 6), shape, output, levels, 2)
    else:
        model = AnyOrderModel(MLP([inputs, *shape[1:]], [10], [outputs, *shape[1:]], "silu"), shape, output, levels, 2)
    return with_larger_weights(perturbed(model, 0.1))


TINY: dict[str, Callable[[], Model]] = {
    "any-order": lambda: tiny_any_order(),
    "any-order, unet": lambda: tiny_any_order(network="unet"),
    "any-order, categorical": lambda: tiny_any_order((1, 1, 3), "categorical", 3),
    "any-order, logistic, colour": lambda: tiny_any_order((2, 1, 2), "logistic", 3),
}

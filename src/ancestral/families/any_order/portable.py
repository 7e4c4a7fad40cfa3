"""Any-order models as descriptions for the explorer's page."""

from __future__ import annotations

from typing import Any

from ancestral.distributions.portable import values_of
from ancestral.families.any_order.model import AnyOrderModel
from ancestral.networks.layers import layers_of


def any_order(model: AnyOrderModel) -> dict[str, Any]:
    """Kind `any-order`: see `explorer/engine/anyorder.js`.

    Raises:    NotComputable: a network or a distribution of pixels that the page does not know.
    """
    layers = layers_of(model.network)
    return {
        "kind": "any-order",
        "layers": layers,
        "convolutions": any(layer["op"] in ("conv", "residual") for layer in layers),
        "bias": model.bias,
        "pixels": values_of(model.output),
    }

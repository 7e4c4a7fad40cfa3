"""Any-order models as descriptions for the explorer's page."""

from __future__ import annotations

from typing import Any

import torch

from ancestral.distributions.portable import values_of
from ancestral.families.any_order.model import AnyOrderModel
from ancestral.networks.layers import layers_given, layers_of


def any_order(model: AnyOrderModel) -> dict[str, Any]:
    """Kind `any-order`: see `explorer/engine/anyorder.js`; of a model with classes, one description for a hidden class
    and one for each class.

    Raises:    NotComputable: a network or a distribution of pixels that the page does not know, or a model of p(x | c)
               for a vector c, which the page cannot give.
    """
    model.refuse_without_vector()
    if not model.sums_classes:
        return _any_order(model)
    assert model.class_network is not None
    hidden = model.under(torch.zeros(1, model.classes))
    return {
        "kind": "any-order",
        "hidden": _any_order(hidden),
        "given": [_any_order(model.given(label)) for label in range(model.classes)],
        "class_layers": layers_of(model.class_network),
        "log_class_probs": model.log_class_probs(),
    }


def _any_order(model: AnyOrderModel) -> dict[str, Any]:
    layers = layers_given(model.network, model.condition)
    return {
        "kind": "any-order",
        "layers": layers,
        "convolutions": any(layer["op"] in ("conv", "residual") for layer in layers),
        "bias": model.bias,
        "pixels": values_of(model.output),
    }

"""Autoregressive models as descriptions for the explorer's page."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ancestral.core.errors import NotComputable
from ancestral.distributions.portable import values_of
from ancestral.families.autoregressive.made import MADE
from ancestral.families.autoregressive.pixelcnn import PixelCNN
from ancestral.families.conditional import described_by_class
from ancestral.models.autoregressive import AutoregressiveModel
from ancestral.networks.causal import GatedBlock
from ancestral.networks.layers import Layer, layers_given, layers_of
from ancestral.networks.masked import MaskedLinear, mask_of


def autoregressive(model: AutoregressiveModel) -> dict[str, Any]:
    """Kind `autoregressive`: see `explorer/engine/autoregressive.js`.

    Raises:    NotComputable: a network that is neither a MADE's nor a PixelCNN's; an activation without a form.
    """
    return described_by_class(model, _autoregressive)


def _autoregressive(model: AutoregressiveModel) -> dict[str, Any]:
    if isinstance(model, MADE):
        network = _masked(model)
    elif isinstance(model, PixelCNN):
        network = _causal(model)
    else:
        raise NotComputable(f"the network of a {type(model).__name__} cannot be shown in the browser, pixel by pixel")
    return {"kind": "autoregressive", "network": network, "pixels": values_of(model.output)}


def _masked(model: MADE) -> dict[str, Any]:
    """The masks follow from positions and degrees. Weights that no ordering uses are zeros, which take little space."""
    pixels = model.positions.repeat_interleave(model.inputs, 1)
    parameters = model.positions.repeat_interleave(model.output.size, 1)
    hidden, before = [], pixels
    *of_hidden, of_output = model.added()
    for layer, added in zip(model.layers, of_hidden, strict=True):
        assert isinstance(layer, MaskedLinear) and isinstance(layer.degrees, Tensor)
        hidden.append({**_used(layer, before, layer.degrees, False, added), "degrees": layer.degrees})
        before = layer.degrees
    last = _used(model.last, before, parameters, True, of_output) if model.last is not None else None
    of_direct = of_output if last is None else None
    (activation,) = layers_of(model.activation)
    return {
        "type": "masked",
        "positions": model.positions,
        "layers": hidden,
        "last": last,
        "direct": _used(model.direct, pixels, parameters, True, of_direct) if model.direct is not None else None,
        "activation": activation,
        "inputs": model.inputs,
        "size": model.output.size,
        "levels": model.levels,
    }


def _used(layer: nn.Module, before: Tensor, after: Tensor, strict: bool, added: Tensor | None) -> dict[str, Any]:
    """before, after: degrees of inputs and outputs in each ordering, shapes (J, in) and (J, out). added: what the given
    class adds to the outputs, shape (1, out)."""
    assert isinstance(layer, MaskedLinear)
    used = torch.zeros_like(layer.weight, dtype=torch.bool)
    for seen, asking in zip(before, after, strict=True):
        used |= mask_of(seen, asking, strict)
    bias = layer.bias if added is None else layer.bias + added[0]
    return {"weight": torch.where(used, layer.weight, 0), "bias": bias}  # a product would keep the signs of zeros


def _causal(model: PixelCNN) -> dict[str, Any]:
    if model.marks or model.places is not None:
        raise NotComputable("a PixelCNN with --frequent or --positions cannot be shown in the browser")
    head, colours = model.head, model.event_shape[0]
    features = [layer for block in model.blocks for layer in layers_given(block, model.condition)]
    beside: Tensor | None = (head.beside * head.mask).flatten(1) if colours > 1 else None
    return {
        "type": "causal",
        "event": list(model.event_shape),
        "levels": model.levels,
        "size": model.output.size,
        "features": [*layers_of(model.first), *features],
        "first": {"weight": model.first.weight * model.first.mask, "bias": model.first.bias},
        "blocks": [_block(block, model.condition) for block in model.blocks],
        "head": {"before": _pointwise(head.before), "out": _pointwise(head.out), "beside": beside},
    }


def _block(block: nn.Module, condition: Tensor | None) -> dict[str, Any]:
    assert isinstance(block, GatedBlock)
    return {
        "reduce": _pointwise(block.reduce),
        "conv": {"weight": block.conv.weight * block.conv.mask, "bias": block.bias_of(condition).flatten()},
        "expand": _pointwise(block.expand),
    }


def _pointwise(layer: nn.Conv2d) -> Layer:
    """A 1x1 convolution as a matrix (out, in); of a grouped one, the inputs of the group."""
    bias = layer.bias if layer.bias is not None else torch.zeros(layer.out_channels)
    return {"weight": layer.weight.flatten(1), "bias": bias}

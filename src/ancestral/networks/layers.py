"""Networks as lists of layers, for programs other than PyTorch, such as the explorer's page."""

from __future__ import annotations

from functools import singledispatch
from typing import Any

import torch
from torch import Tensor, nn

from ancestral.core.errors import NotComputable
from ancestral.networks.causal import CausalConv2d, GatedBlock
from ancestral.networks.conditioned import Conditioned
from ancestral.networks.conv import ConvDecoder, ConvEncoder
from ancestral.networks.gated import GatedConvNet
from ancestral.networks.masked import MaskedLinear
from ancestral.networks.masked_flow import MaskedMLP
from ancestral.networks.mlp import MLP
from ancestral.networks.own import OwnNetwork
from ancestral.networks.unet import FOLD, DenseBlock, ResidualBlock, UNet

Layer = dict[str, Any]
"""`op`, the name of the operation, with its numbers, its tensors, and perhaps nested layers."""


@singledispatch
def layers_of(module: nn.Module) -> list[Layer]:
    """The layers that compute `module(x)` in evaluation mode, for one input without a batch axis.

    Other modules become known by `layers_of.register(MyModule)(function)`. The operations:

        dense        weight (out, in), bias (out,) or None
        conv         weight (out, in, h, w), bias, stride, padding (top, left, bottom, right), groups
        upconv       transposed convolution: weight (in, out, h, w), bias, stride, padding (h, w),
                     extra (h, w)
        affine       y = scale x + shift, each a tensor of one value per channel, or a number
        add          y = x + value, a tensor of the shape of x
        append       y = x and `values` behind it on the first axis, each value the same at all places
        activation   name: relu, leaky-relu (slope), gelu, silu, tanh, sigmoid, glu or
                     tanh-glu: halves (a, b) of the channels to a sigmoid(b), or tanh(a) sigmoid(b)
        reshape      shape
        crop         the first rows and columns: sides (h, w)
        residual     y = x + layers(x)

    Raises:    NotComputable: a module without such a form.
    """
    raise NotComputable(f"a layer of the class {type(module).__name__} cannot be shown in the browser")


def layers_given(module: nn.Module, condition: Tensor | None) -> list[Layer]:
    """The layers that compute `module(x, c)` for one condition c, such as a class; as `layers_of` if there is none.

    A module of one input gets x with the entries of c behind it, on the first axis.

    Args:      condition: c, shape (1, K), or None.
    Raises:    NotComputable: as `layers_of`.
    """
    if condition is None:
        return layers_of(module)
    if isinstance(module, GatedBlock):
        return _gates(module, module.bias_of(condition).flatten())
    if isinstance(module, MaskedMLP):
        return _masked_layers(module, condition)
    appended: Layer = {"op": "append", "values": condition.flatten()}
    if isinstance(module, Conditioned):
        return [*([] if module.planes else [reshape(-1)]), appended, *layers_of(module.network)]
    return [appended, *layers_of(module)]


@layers_of.register
def _sequential(module: nn.Sequential) -> list[Layer]:
    return [layer for part in module for layer in layers_of(part)]


@layers_of.register(nn.Identity)
@layers_of.register(nn.Dropout)
@layers_of.register(nn.Dropout2d)
def _nothing(module: nn.Module) -> list[Layer]:
    return []


@layers_of.register
def _linear(module: nn.Linear) -> list[Layer]:
    return [dense(module.weight, module.bias)]


def dense(weight: Tensor, bias: Tensor | None) -> Layer:
    """y = W x + b, of the last axis."""
    return {"op": "dense", "weight": weight, "bias": bias}


@layers_of.register
def _conv(module: nn.Conv2d) -> list[Layer]:
    if isinstance(module.padding, str) or module.padding_mode != "zeros" or set(module.dilation) != {1}:
        raise NotComputable("a convolution with dilation or non-zero padding cannot be shown in the browser")
    high, wide = (int(side) for side in module.padding)
    return [conv(module.weight, module.bias, module.stride, (high, wide, high, wide), module.groups)]


def conv(weight: Tensor, bias: Tensor | None, stride: Any, padding: Any, groups: int = 1) -> Layer:
    """padding: top, left, bottom, right."""
    return {
        "op": "conv", "weight": weight, "bias": bias, "stride": list(stride), "padding": list(padding), "groups": groups
    }  # fmt: skip


@layers_of.register
def _upconv(module: nn.ConvTranspose2d) -> list[Layer]:
    if module.groups != 1 or set(module.dilation) != {1}:
        raise NotComputable("a transposed convolution with groups or dilation cannot be shown in the browser")
    layer = {"weight": module.weight, "bias": module.bias, "stride": list(module.stride)}
    return [{"op": "upconv", **layer, "padding": list(module.padding), "extra": list(module.output_padding)}]


@layers_of.register(nn.BatchNorm1d)
@layers_of.register(nn.BatchNorm2d)
def _batch_norm(module: nn.BatchNorm2d) -> list[Layer]:
    """Folded: the running mean and variance are constants in evaluation."""
    if module.running_mean is None or module.running_var is None:
        raise NotComputable("a batch normalisation without running statistics cannot be shown in the browser")
    scale = (module.running_var + module.eps).rsqrt()
    if module.weight is not None:
        scale = scale * module.weight
    shift = -module.running_mean * scale
    if module.bias is not None:
        shift = shift + module.bias
    return [{"op": "affine", "scale": scale, "shift": shift}]


@layers_of.register(nn.ReLU)
@layers_of.register(nn.SiLU)
@layers_of.register(nn.Tanh)
@layers_of.register(nn.Sigmoid)
def _activation(module: nn.Module) -> list[Layer]:
    return [{"op": "activation", "name": type(module).__name__.lower()}]


@layers_of.register
def _gelu(module: nn.GELU) -> list[Layer]:
    if module.approximate != "none":
        raise NotComputable("an approximate GELU cannot be shown in the browser")
    return [{"op": "activation", "name": "gelu"}]


@layers_of.register
def _leaky(module: nn.LeakyReLU) -> list[Layer]:
    return [{"op": "activation", "name": "leaky-relu", "slope": module.negative_slope}]


@layers_of.register
def _glu(module: nn.GLU) -> list[Layer]:
    return [{"op": "activation", "name": "glu"}]


@layers_of.register
def _flatten(module: nn.Flatten) -> list[Layer]:
    if module.start_dim != 1 or module.end_dim != -1:
        raise NotComputable("a Flatten of some axes only cannot be shown in the browser")
    return [reshape(-1)]


@layers_of.register
def _unflatten(module: nn.Unflatten) -> list[Layer]:
    if module.dim not in (1, -1):
        raise NotComputable("an Unflatten of another axis than the first cannot be shown in the browser")
    return [reshape(*(int(side) for side in module.unflattened_size))]  # type: ignore[arg-type]


def reshape(*shape: int) -> Layer:
    """shape: without the batch axis; -1 for all that is left."""
    return {"op": "reshape", "shape": list(shape)}


@layers_of.register
def _mlp(module: MLP) -> list[Layer]:
    return [reshape(-1), *layers_of(module.layers), reshape(*module.out_shape)]


@layers_of.register
def _conv_encoder(module: ConvEncoder) -> list[Layer]:
    body = [*layers_of(module.convolutions), reshape(-1), *layers_of(module.project)]
    return [reshape(*module.in_shape), *body, reshape(*module.out_shape)]


@layers_of.register
def _conv_decoder(module: ConvDecoder) -> list[Layer]:
    start = [reshape(-1), *layers_of(module.project), reshape(*module.start_shape)]
    return [*start, *layers_of(module.convolutions), reshape(*module.out_shape)]


@layers_of.register
def _gated_conv_net(module: GatedConvNet) -> list[Layer]:
    blocks = [{"op": "residual", "layers": layers_of(block)} for block in module.blocks]
    return [*layers_of(module.enter), {"op": "add", "value": module.places}, *blocks, *layers_of(module.leave)]


@layers_of.register
def _causal_conv(module: CausalConv2d) -> list[Layer]:
    return [_causal(module, module.bias)]


def _causal(module: CausalConv2d, bias: Tensor) -> Layer:
    reach = module.reach
    return conv(module.weight * module.mask, bias, (1, 1), (reach, reach, 0, reach))


@layers_of.register
def _masked_mlp(module: MaskedMLP) -> list[Layer]:
    _refuse_condition(module, module.given)
    return _masked_layers(module, None)


def _masked_layers(module: MaskedMLP, condition: Tensor | None) -> list[Layer]:
    found: list[Layer] = []
    last = len(module.layers) - 1
    for i, layer in enumerate(module.layers):
        assert isinstance(layer, MaskedLinear) and layer.kept is not None
        bias = layer.bias
        if i == 0 and module.given is not None:
            bias = bias + module.given(condition).flatten()
        found += [dense(layer.weight * layer.kept, bias), *([] if i == last else layers_of(module.activation))]
    return found


def _refuse_condition(module: nn.Module, given: nn.Module | None) -> None:
    """Raises:    NotComputable: the module has a condition as a second input."""
    if given is not None:
        raise NotComputable(f"a {type(module).__name__} with a condition has a form for one given condition only")


@layers_of.register
def _gated_block(module: GatedBlock) -> list[Layer]:
    _refuse_condition(module, module.given)
    return _gates(module, module.conv.bias)


def _gates(module: GatedBlock, bias: Tensor) -> list[Layer]:
    body = [{"op": "activation", "name": "relu"}, *layers_of(module.reduce), _causal(module.conv, bias)]
    gates = {"op": "activation", "name": "tanh-glu"}
    return [{"op": "residual", "layers": [*body, gates, *layers_of(module.expand)]}]


@layers_of.register
def _unet(module: UNet) -> list[Layer]:
    """The squares of 2x2 pixels become channels, and back, by convolutions whose weights are zeros and ones."""
    silu: Layer = {"op": "activation", "name": "silu"}
    inputs, outputs = module.enter.in_channels // 4, module.leave.out_channels // 4
    unfold = torch.eye(4 * inputs).view(4 * inputs, inputs, 2, 2)
    fold = torch.eye(4 * outputs).view(4 * outputs, outputs, 2, 2)
    sides = [side * FOLD // 2 - pad for side, pad in zip(module.places.shape[2:], module.padding, strict=True)]
    quarter = [module.down, module.below, module.dense, module.above]
    body = [silu, *(layer for part in quarter for layer in layers_of(part)), silu, *layers_of(module.up)]
    upconv: Layer = {"op": "upconv", "weight": fold, "bias": None, "stride": [2, 2], "padding": [0, 0], "extra": [0, 0]}
    return [
        conv(unfold, None, (2, 2), (0, 0, *module.padding)),
        *layers_of(module.enter),
        {"op": "add", "value": module.places[0]},
        *layers_of(module.before),
        {"op": "residual", "layers": body},
        *layers_of(module.after),
        silu,
        *layers_of(module.leave),
        upconv,
        {"op": "crop", "sides": sides},
    ]


@layers_of.register
def _residual_block(module: ResidualBlock) -> list[Layer]:
    silu: Layer = {"op": "activation", "name": "silu"}
    return [{"op": "residual", "layers": [silu, *layers_of(module.first), silu, *layers_of(module.second)]}]


@layers_of.register
def _dense_block(module: DenseBlock) -> list[Layer]:
    silu: Layer = {"op": "activation", "name": "silu"}
    all_places = [reshape(-1), *layers_of(module.inner), silu, *layers_of(module.outer)]
    body = [*layers_of(module.enter), silu, {"op": "residual", "layers": all_places}, silu, *layers_of(module.leave)]
    return [{"op": "residual", "layers": body}]


@layers_of.register
def _own_network(module: OwnNetwork) -> list[Layer]:
    _refuse_other_forwards(module.network.module)
    return [reshape(*module.inputs), *layers_of(module.network.module), reshape(*module.outputs)]


def _refuse_other_forwards(module: nn.Module) -> None:
    """Raises:    NotComputable: a class that inherits a known layer, and computes something else."""
    for part in module.modules():
        known = next((base for base in type(part).__mro__[:-1] if base in layers_of.registry), None)
        if known is not None and type(part).forward is not known.forward:  # type: ignore[attr-defined]
            raise NotComputable(
                f"the class {type(part).__name__} has a `forward` of its own: `layers_of.register` makes it known"
            )

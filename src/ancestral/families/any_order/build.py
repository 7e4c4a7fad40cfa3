"""The any-order model that some settings describe, with its networks."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import nn

from ancestral.core.errors import InputError
from ancestral.distributions.outputs import pixel_output
from ancestral.families.any_order.model import AnyOrderModel
from ancestral.families.any_order.settings import AnyOrderSettings
from ancestral.families.conditional import classes_of
from ancestral.families.family import DataSpec
from ancestral.models.autoregressive import output_name
from ancestral.networks.conditioned import Conditioned
from ancestral.networks.conv import ConvEncoder
from ancestral.networks.mlp import MLP
from ancestral.networks.own import given_network
from ancestral.networks.unet import UNet

CLASS_CHANNELS, CLASS_STRIDES = (32, 64, 64), (2, 1, 2)  # of the convolutions before p(y | observed pixels)


def in_channels(event_shape: Sequence[int], output: str, levels: int) -> int:
    """Channels of the network's input: for each colour the value, or one for each level, and a mask."""
    return event_shape[0] * ((levels if output == "categorical" else 1) + 1)


def build_any_order(settings: AnyOrderSettings, spec: DataSpec) -> AnyOrderModel:
    """The model that the settings describe, or the model of the user's own network.

    Raises:    InputError: the data are not images with whole levels; or as `given_network`.
    """
    if len(spec.event_shape) != 3:
        raise InputError(
            "an any-order model needs images with binary pixels or whole levels: for points choose the family flow"
        )
    name, levels = output_name(settings.output, spec.levels, spec.space)
    classes, proportions = classes_of(settings, spec)
    network = _predictor(settings, spec, name, levels, classes or len(spec.conditions))
    return AnyOrderModel(
        network,
        list(spec.event_shape),
        name,
        levels,
        settings.components,
        settings.bound_masks,
        _class_network(settings, spec, name, levels, classes) if classes else None,
        classes,
        proportions,
        spec.conditions,
    )


def _predictor(settings: AnyOrderSettings, spec: DataSpec, output: str, levels: int, entries: int) -> nn.Module:
    """The network of the pixels, or the user's own one. entries: of the condition; 0 for none."""
    channels, *sides = spec.event_shape
    inputs = in_channels(spec.event_shape, output, levels)
    outputs = channels * pixel_output(output, levels, settings.components).size
    own: nn.Module | None = given_network(spec.networks, "predictor", [inputs + entries, *sides], [outputs, *sides])
    network: nn.Module
    if own is not None:
        network = own
    elif settings.network == "unet":
        network = UNet(inputs + entries, outputs, sides, settings.width, settings.blocks, settings.dense)
    elif entries:
        network = MLP([inputs * math.prod(sides) + entries], list(settings.hidden), [outputs, *sides], "silu")
    else:
        network = MLP([inputs, *sides], list(settings.hidden), [outputs, *sides], "silu")
    planes = own is not None or settings.network == "unet"
    return Conditioned(network, [inputs, *sides], planes) if entries else network


def _class_network(settings: AnyOrderSettings, spec: DataSpec, output: str, levels: int, classes: int) -> nn.Module:
    """The network of p(y | observed pixels)."""
    shape = [in_channels(spec.event_shape, output, levels), *spec.event_shape[1:]]
    if settings.network == "mlp":
        return MLP(shape, list(settings.hidden), [classes], "silu")
    return ConvEncoder(shape, CLASS_CHANNELS, CLASS_STRIDES, [classes], "silu")

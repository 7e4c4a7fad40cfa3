"""Shared by models with an encoder and a decoder: the pixel likelihood, and networks built from settings."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from ancestral.core.errors import InputError
from ancestral.distributions.pixels import (
    BINARY_SPACES,
    BernoulliPixels,
    CategoricalPixels,
    DiscretisedLogisticPixels,
    GaussianPixels,
    PixelLikelihood,
)
from ancestral.families.family import DataSpec
from ancestral.families.vae.settings import CodingSettings
from ancestral.models.base import Model
from ancestral.networks.conditioned import Conditioned
from ancestral.networks.conv import ConvDecoder, ConvEncoder
from ancestral.networks.mlp import MLP
from ancestral.networks.own import given_network


class CodingModel(Model):
    """A model with a decoder p(x | z): the likelihood determines event shape, pixel space and levels, and decodes."""

    likelihood: PixelLikelihood

    @property
    def event_shape(self) -> tuple[int, ...]:  # type: ignore[override]
        return self.likelihood.event_shape

    @property
    def spaces(self) -> tuple[str, ...]:  # type: ignore[override]
        return self.likelihood.spaces

    @property
    def levels(self) -> int | None:  # type: ignore[override]
        return self.likelihood.levels

    def decode(self, z: Tensor) -> Tensor:
        """E[x | z]. z: codes, shape (B, M); returns (B, *event_shape), in the pixel space of the likelihood."""
        return self.likelihood(z).mean


def encoder_network(settings: CodingSettings, spec: DataSpec, outputs: int, classes: int = 0) -> nn.Module:
    """The network from images to `outputs` numbers: the user's own encoder, or one that the settings describe.

    Args:      classes: number of classes, which the network then gets with the image; 0 for none.
    Raises:    InputError: the data are points, not images; your own encoder with classes; or as `given_network`.
    """
    event_shape = spec.event_shape
    if len(event_shape) != 3:
        raise InputError("autoencoders and VAEs need images; for points choose the family flow")
    if classes and "encoder" in spec.networks:
        raise InputError("your own encoder gets images only: leave out --conditional and --conditions")
    if own := given_network(spec.networks, "encoder", event_shape, [outputs]):
        return own
    common = {"activation": settings.activation, "glorot": settings.glorot}
    channels, *sides = event_shape
    if settings.network == "mlp":
        in_shape = [math.prod(event_shape) + classes] if classes else list(event_shape)
        network: nn.Module = MLP(in_shape, list(settings.hidden), [outputs], **common)
    else:
        in_shape = [channels + classes, *sides]
        network = ConvEncoder(in_shape, list(settings.channels), list(settings.strides), [outputs], **common)
    return Conditioned(network, list(event_shape), settings.network == "cnn") if classes else network


def decoder_network(
    settings: CodingSettings, out_shape: tuple[int, ...], networks: Mapping[str, Any], classes: int = 0
) -> nn.Module:
    """The network from latents to an array of `out_shape`: the user's own decoder, or one that the settings describe.

    Its hidden layers are the encoder's in reverse order, unless the settings describe others.

    Args:      networks: the user's own networks, by name; it may contain a decoder. classes: number of classes, whose
               one-hot vector follows the latents; 0 for none.
    Raises:    InputError: as `given_network`.
    """
    code = [settings.latents + classes]
    if own := given_network(networks, "decoder", code, out_shape):
        return own
    common = {"activation": settings.activation, "glorot": settings.glorot}
    if settings.network == "mlp":
        return MLP(code, list(settings.hidden)[::-1], list(out_shape), **common)
    channels = settings.decoder_channels or settings.channels[::-1]
    strides = settings.decoder_strides or settings.strides[::-1]
    return ConvDecoder(code, list(channels), list(strides), list(out_shape), **common)


def pixel_likelihood(settings: CodingSettings, spec: DataSpec, classes: int = 0) -> PixelLikelihood:
    """The likelihood p(x | z) that the settings name; `auto` selects the usual one for the pixel space.

    Raises:    InputError: the likelihood does not fit the pixel space, for example Bernoulli for grey pixels.
    """
    event_shape, levels, space = spec.event_shape, spec.levels, spec.space
    usual = {**dict.fromkeys(BINARY_SPACES, "bernoulli"), "levels": "categorical", "unit": "gaussian"}
    name = usual[space] if settings.likelihood == "auto" else settings.likelihood
    channels, *sides = event_shape
    if name == "bernoulli":
        network = decoder_network(settings, event_shape, spec.networks, classes)
        likelihood = BernoulliPixels(network, list(event_shape))
    elif name == "categorical":
        network = decoder_network(settings, (channels * levels, *sides), spec.networks, classes)
        likelihood = CategoricalPixels(network, list(event_shape), levels)
    elif name == "logistic":
        network = decoder_network(settings, (2 * channels, *sides), spec.networks, classes)
        likelihood = DiscretisedLogisticPixels(network, list(event_shape), levels)
    elif name == "gaussian":
        network = decoder_network(settings, event_shape, spec.networks, classes)
        likelihood = GaussianPixels(network, list(event_shape), *settings.gaussian_variance)
    else:
        raise InputError(f"unknown likelihood {name!r}: choose bernoulli, categorical, logistic or gaussian")
    if space not in likelihood.spaces:
        raise InputError(
            f"the {name} likelihood needs --pixels {' or '.join(likelihood.spaces)}; these data have {space} pixels"
        )
    return likelihood

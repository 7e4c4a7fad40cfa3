"""What models that code images into latents share: a pixel likelihood, and networks made from flags."""

from __future__ import annotations

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
from ancestral.networks.conv import ConvDecoder, ConvEncoder
from ancestral.networks.mlp import MLP
from ancestral.networks.own import given_network


class CodingModel(Model):
    """A model whose last step is p(x | z): the likelihood says what an image is, and decodes."""

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
        """E[x | z]. z: (B, M); returns (B, *event_shape), in the pixel space of the likelihood."""
        return self.likelihood(z).mean


def encoder_network(settings: CodingSettings, spec: DataSpec, outputs: int) -> nn.Module:
    """Image to `outputs` numbers, by the encoder that was given or the network the settings name.

    Raises:    InputError: points of the plane, which are no images; as `given_network`.
    """
    event_shape = spec.event_shape
    if len(event_shape) != 3:
        raise InputError("an autoencoder, variational or not, is for images; a flow is for points too")
    if own := given_network(spec.networks, "encoder", event_shape, [outputs]):
        return own
    common = {"activation": settings.activation, "glorot": settings.glorot}
    if settings.network == "mlp":
        return MLP(list(event_shape), list(settings.hidden), [outputs], **common)
    return ConvEncoder(list(event_shape), list(settings.channels), list(settings.strides), [outputs], **common)


def decoder_network(settings: CodingSettings, out_shape: tuple[int, ...], networks: Mapping[str, Any]) -> nn.Module:
    """Latents to an array of `out_shape`; the hidden layers mirror the encoder's unless the settings say otherwise.

    Args:      networks: given by a person, perhaps the decoder.
    Raises:    InputError: as `given_network`.
    """
    if own := given_network(networks, "decoder", [settings.latents], out_shape):
        return own
    common = {"activation": settings.activation, "glorot": settings.glorot}
    if settings.network == "mlp":
        return MLP([settings.latents], list(settings.hidden)[::-1], list(out_shape), **common)
    channels = settings.decoder_channels or settings.channels[::-1]
    strides = settings.decoder_strides or settings.strides[::-1]
    return ConvDecoder([settings.latents], list(channels), list(strides), list(out_shape), **common)


def pixel_likelihood(settings: CodingSettings, spec: DataSpec) -> PixelLikelihood:
    """p(x | z) as the settings name it; `auto` takes the usual one for the pixel space.

    Raises:    InputError: a likelihood that is none for these pixels (Bernoulli for grey ones, say).
    """
    event_shape, levels, space = spec.event_shape, spec.levels, spec.space
    usual = {**dict.fromkeys(BINARY_SPACES, "bernoulli"), "levels": "categorical", "unit": "gaussian"}
    name = usual[space] if settings.likelihood == "auto" else settings.likelihood
    channels, *sides = event_shape
    if name == "bernoulli":
        likelihood = BernoulliPixels(decoder_network(settings, event_shape, spec.networks), list(event_shape))
    elif name == "categorical":
        network = decoder_network(settings, (channels * levels, *sides), spec.networks)
        likelihood = CategoricalPixels(network, list(event_shape), levels)
    elif name == "logistic":
        network = decoder_network(settings, (2 * channels, *sides), spec.networks)
        likelihood = DiscretisedLogisticPixels(network, list(event_shape), levels)
    elif name == "gaussian":
        network = decoder_network(settings, event_shape, spec.networks)
        likelihood = GaussianPixels(network, list(event_shape), *settings.gaussian_variance)
    else:
        raise InputError(f"unknown likelihood {name!r}: choose bernoulli, categorical, logistic or gaussian")
    if space not in likelihood.spaces:
        raise InputError(
            f"a {name} likelihood is none for {space} pixels; it needs --pixels {' or '.join(likelihood.spaces)}"
        )
    return likelihood

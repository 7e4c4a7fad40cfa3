"""From the settings of a family to an untrained model: the registry of families."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ancestral.core.errors import InputError
from ancestral.families.autoregressive.made import build_made
from ancestral.families.autoregressive.pixelcnn import build_pixelcnn
from ancestral.families.autoregressive.settings import MADESettings, PixelCNNSettings
from ancestral.families.belief_net.helmholtz import build_belief_net
from ancestral.families.belief_net.settings import BeliefNetSettings
from ancestral.families.flow.points import build_flow
from ancestral.families.flow.settings import FlowSettings
from ancestral.families.gan.model import build_gan
from ancestral.families.gan.settings import GANSettings
from ancestral.families.mixture.model import build_mixture
from ancestral.families.mixture.settings import MixtureSettings
from ancestral.families.vae.autoencoder import build_autoencoder
from ancestral.families.vae.settings import AutoencoderSettings, VAESettings
from ancestral.families.vae.vae import build_vae
from ancestral.models.base import Model

BUILDERS: dict[type, Callable[[Any, tuple[int, ...], int, str], Model]] = {
    MixtureSettings: build_mixture,
    BeliefNetSettings: build_belief_net,
    MADESettings: build_made,
    PixelCNNSettings: build_pixelcnn,
    VAESettings: build_vae,
    AutoencoderSettings: build_autoencoder,
    FlowSettings: build_flow,
    GANSettings: build_gan,
}


def build_model(settings: object, event_shape: tuple[int, ...], levels: int, space: str) -> Model:
    """An untrained model for images of `event_shape` with `levels` grey levels, in the pixel space named.

    Raises:    InputError: the family's settings do not fit the pixels or each other.
    """
    try:
        return BUILDERS[type(settings)](settings, event_shape, levels, space)
    except (ValueError, KeyError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"these settings make no model: {error}") from error

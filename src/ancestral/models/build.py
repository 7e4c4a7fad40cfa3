"""From the settings of a family to an untrained model: the registry of families."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ancestral.errors import InputError
from ancestral.models.autoencoder import build_autoencoder
from ancestral.models.flow import build_flow
from ancestral.models.gan import build_gan
from ancestral.models.helmholtz import build_belief_net
from ancestral.models.kinds import Model
from ancestral.models.made import build_made
from ancestral.models.mixture import build_mixture
from ancestral.models.pixelcnn import build_pixelcnn
from ancestral.models.vae import build_vae
from ancestral.settings.autoregressive import MADESettings, PixelCNNSettings
from ancestral.settings.belief_net import BeliefNetSettings
from ancestral.settings.coding import AutoencoderSettings, VAESettings
from ancestral.settings.flow import FlowSettings
from ancestral.settings.gan import GANSettings
from ancestral.settings.mixture import MixtureSettings

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

"""What a user may set, and its defaults. The command line's flags are made from these dataclasses.

Nothing here imports torch, so that `--help` answers at once.
"""

from ancestral.settings.autoregressive import MADESettings, PixelCNNSettings
from ancestral.settings.belief_net import BeliefNetSettings
from ancestral.settings.coding import AutoencoderSettings, CodingSettings, VAESettings
from ancestral.settings.data import DataSettings
from ancestral.settings.families import FAMILIES, Settings, settings_for
from ancestral.settings.flow import FlowSettings
from ancestral.settings.gan import GANSettings
from ancestral.settings.mixture import MixtureSettings
from ancestral.settings.training import TrainingSettings

__all__ = [
    "FAMILIES",
    "AutoencoderSettings",
    "BeliefNetSettings",
    "CodingSettings",
    "DataSettings",
    "FlowSettings",
    "GANSettings",
    "MADESettings",
    "MixtureSettings",
    "PixelCNNSettings",
    "Settings",
    "TrainingSettings",
    "VAESettings",
    "settings_for",
]

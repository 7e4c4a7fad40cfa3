"""One family per file; importing this package registers all of them."""

from ancestral.models.autoencoder import Autoencoder
from ancestral.models.kinds import ExactModel, ImplicitModel, LatentModel, Model, load_model
from ancestral.models.mixture import MixtureOfBernoullis
from ancestral.models.vae import VAE

__all__ = [
    "VAE",
    "Autoencoder",
    "ExactModel",
    "ImplicitModel",
    "LatentModel",
    "MixtureOfBernoullis",
    "Model",
    "load_model",
]

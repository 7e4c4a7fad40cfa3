"""One family per file; importing this package registers all of them."""

from ancestral.models.autoencoder import Autoencoder
from ancestral.models.belief_net import SigmoidBeliefNet
from ancestral.models.flow import NormalizingFlow
from ancestral.models.gan import GAN
from ancestral.models.helmholtz import HelmholtzMachine
from ancestral.models.image_flow import ImageFlow
from ancestral.models.kinds import ExactModel, ImplicitModel, LatentModel, Model, load_model
from ancestral.models.made import MADE
from ancestral.models.mixture import MixtureOfBernoullis
from ancestral.models.pixelcnn import PixelCNN
from ancestral.models.vae import VAE

__all__ = [
    "GAN",
    "MADE",
    "VAE",
    "Autoencoder",
    "ExactModel",
    "HelmholtzMachine",
    "ImageFlow",
    "ImplicitModel",
    "LatentModel",
    "MixtureOfBernoullis",
    "Model",
    "NormalizingFlow",
    "PixelCNN",
    "SigmoidBeliefNet",
    "load_model",
]

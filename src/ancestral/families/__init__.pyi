"""Public names of `ancestral.families`."""

from ancestral.families.any_order.model import AnyOrderModel as AnyOrderModel
from ancestral.families.autoregressive.made import MADE as MADE
from ancestral.families.autoregressive.pixelcnn import PixelCNN as PixelCNN
from ancestral.families.belief_net.exact import SigmoidBeliefNet as SigmoidBeliefNet
from ancestral.families.belief_net.exact import all_states as all_states
from ancestral.families.belief_net.helmholtz import HelmholtzMachine as HelmholtzMachine
from ancestral.families.belief_net.objectives import vimco as vimco
from ancestral.families.belief_net.objectives import wake_sleep as wake_sleep
from ancestral.families.circuit.information import region_information as region_information
from ancestral.families.circuit.model import Circuit as Circuit
from ancestral.families.flow.images import ImageFlow as ImageFlow
from ancestral.families.flow.points import NormalizingFlow as NormalizingFlow
from ancestral.families.gan.model import GAN as GAN
from ancestral.families.gan.step import build_critic as build_critic
from ancestral.families.mixture.model import MixtureOfBernoullis as MixtureOfBernoullis
from ancestral.families.vae.autoencoder import Autoencoder as Autoencoder
from ancestral.families.vae.vae import VAE as VAE

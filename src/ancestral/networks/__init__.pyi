"""Public names of `ancestral.networks`."""

from ancestral.networks.conditioned import Conditioned as Conditioned
from ancestral.networks.layers import layers_of as layers_of
from ancestral.networks.masked_flow import MaskedMLP as MaskedMLP
from ancestral.networks.mlp import MLP as MLP

"""Public names of `ancestral.networks`."""

from ancestral.networks.masked_flow import MaskedMLP as MaskedMLP
from ancestral.networks.mlp import MLP as MLP

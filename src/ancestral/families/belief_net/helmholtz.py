"""Deep sigmoid belief net with a recognition network: layers of binary latents, scored by a lower bound."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from ancestral.core.errors import InputError
from ancestral.core.serialization import registered
from ancestral.distributions.chains import BernoulliChain
from ancestral.distributions.pixels import BINARY_SPACES, BernoulliPixels
from ancestral.families.belief_net.exact import SigmoidBeliefNet
from ancestral.families.belief_net.settings import BeliefNetSettings
from ancestral.families.family import DataSpec
from ancestral.models.base import LatentModel
from ancestral.models.completion import CHAIN, SWEEPS, WARMING, metropolis_within_gibbs
from ancestral.networks.mlp import MLP

DARK = -2.0  # initial logit of every pixel, because most pixels of digits are black


class Centred(nn.Module):
    """A network with zeros and ones mapped to -1 and 1, so that the best biases depend little on the weights."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, h: Tensor) -> Tensor:
        return self.network(2 * h - 1)


@registered
class HelmholtzMachine(LatentModel):
    """Deep sigmoid belief net with layers of binary latents and a recognition network.

        p(x, z) = p(z_L) prod_l p(z_l | z_(l+1)) p(x | z_1),   q(z | x) = q(z_1 | x) prod_l q(z_(l+1) | z_l)

    Every conditional is a product of Bernoullis. Their logits are an affine function, or a small network, of the layer
    that is conditioned on. z has all layers in one vector, z_1 first: shape (..., M_1 + ... + M_L).

    Args:      event_shape: shape of an image. latents: M_1, ..., M_L, the layer nearest the image first. hidden: widths
               of deterministic tanh layers within each conditional, usually ().
    Deviation: networks get units as -1 and 1. The family of distributions is the same, and training is faster.
    Reference: Dayan et al., 1995, "The Helmholtz machine"; Neal, 1992; Mnih and Gregor, 2014, arXiv 1402.0030.
    Example:
        >>> model = HelmholtzMachine([1, 8, 8], latents=[10, 5])
        >>> model.log_weights(torch.zeros(3, 1, 8, 8), k=4).shape
        torch.Size([3, 4])
    """

    spaces = BINARY_SPACES
    levels = 2
    completion: ClassVar[str] = CHAIN
    inference: ClassVar[str] = "approximate: marginals q(z_1 = 1 | x) of the layer nearest the image"
    latent_kind: ClassVar[str] = "binary"
    latent_layer: ClassVar[str] = " of the layer nearest the image"
    encodes_posterior_mean: ClassVar[bool] = True

    def __init__(self, event_shape: Sequence[int], latents: Sequence[int], hidden: Sequence[int] = ()) -> None:
        super().__init__()
        self.event_shape, self.latents = tuple(event_shape), tuple(latents)

        def network(inputs: Sequence[int], outputs: Sequence[int]) -> Centred:
            return Centred(MLP(inputs, hidden, outputs, "tanh"))

        between = list(pairwise([[width] for width in latents]))
        self.prior_logits = nn.Parameter(torch.zeros(latents[-1]))
        self.generative = nn.ModuleList(network(above, below) for below, above in reversed(between))
        self.likelihood = BernoulliPixels(network([latents[0]], event_shape), event_shape)
        self.recognition = nn.ModuleList(
            [network(event_shape, [latents[0]]), *(network(below, above) for below, above in between)]
        )
        last = list(self.likelihood.modules())[-1]
        assert isinstance(last, nn.Linear)
        nn.init.constant_(last.bias, DARK)

    def prior(self) -> BernoulliChain:
        return BernoulliChain(self.prior_logits, list(self.generative), self.latents, backwards=True)

    def posterior(self, x: Tensor) -> BernoulliChain:
        first, *further = self.recognition
        return BernoulliChain(first(x), further, self.latents)

    def log_joint(self, x: Tensor, z: Tensor) -> Tensor:
        return self.prior().log_prob(z) + self.pixels(z).log_prob(x)

    def encode(self, x: Tensor) -> Tensor:
        """q(z_1 = 1 | x) of the layer nearest the image, shape (B, M_1); the other layers have no closed form."""
        return self.recognition[0](x).sigmoid()

    def decode(self, z: Tensor) -> Tensor:
        """E[x | z_1]. z: (B, M_1), or all layers; given z_1, x does not depend on the others."""
        return self.pixels(z).mean

    def sample_joint(self, n: int) -> tuple[Tensor, Tensor]:
        """`n` joint draws of p(x, z): images (n, *event_shape) and their latents (n, M_1 + ... + M_L)."""
        with torch.no_grad():
            z = self.prior().sample((n,))
            return self.pixels(z).sample(), z

    def sample(self, n: int) -> Tensor:
        """Ancestral sampling: z_L ~ p(z_L), down to z_1, then x ~ p(x | z_1)."""
        return self.sample_joint(n)[0]

    @torch.no_grad()
    def sample_mean(self, n: int) -> Tensor:
        return self.decode(self.prior().sample((n,)))

    @torch.no_grad()
    def complete(self, x: Tensor, observed: Tensor, warming: int = WARMING, sweeps: int = SWEEPS) -> Tensor:
        """Fill in missing pixels with one Markov chain per image, see `metropolis_within_gibbs`.

        The draws are approximate; they are exact in the limit of many sweeps.

        Args:      x, observed: shape (B, *event_shape), observed boolean.
        Raises:    InputError: as `given_only`.
        """
        return metropolis_within_gibbs(self, self.pixels, x, observed, warming, sweeps)

    def pixels(self, z: Tensor) -> Distribution:
        """p(x | z), which depends on the layer nearest the image. z: (..., M_1), or all layers."""
        return self.likelihood(z[..., : self.latents[0]])


def build_belief_net(settings: BeliefNetSettings, spec: DataSpec) -> SigmoidBeliefNet | HelmholtzMachine:
    """The belief net that the settings describe: exact, or with a recognition network.

    Raises:    InputError: the pixels are not binary.
    """
    if spec.space not in BINARY_SPACES:
        advice = (
            "; for points choose the family flow" if spec.space == "points" else ": use --pixels threshold, for example"
        )
        raise InputError(f"a sigmoid belief net needs binary pixels, not {spec.space}{advice}")
    if settings.method == "exact":
        return SigmoidBeliefNet(list(spec.event_shape), settings.latents[0])
    return HelmholtzMachine(list(spec.event_shape), list(settings.latents), list(settings.hidden))

"""Plain autoencoder: the baseline a VAE is compared with. It codes images; it is not a distribution."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from ancestral.core.serialization import registered
from ancestral.distributions.pixels import PixelLikelihood
from ancestral.families.coding import CodingModel, encoder_network, pixel_likelihood
from ancestral.families.family import DataSpec
from ancestral.families.vae.settings import AutoencoderSettings
from ancestral.models.base import ImplicitModel
from ancestral.models.completion import WARMING, filled, given_only, pseudo_gibbs


@registered
class Autoencoder(CodingModel, ImplicitModel):
    """x to a code z = f(x) and back, trained on -log p(x | z = f(x)) alone.

    Nothing asks the codes to follow any distribution, so decoding draws of N(0, I) (which is what `sample`
    does) mostly gives images unlike the data: that is the lesson.

    Args:      encoder: pixels in [0, 1] to codes (B, M). likelihood: codes to p(x | z). latents: M.
    Reference: `uva2020`, question 1.9; Rumelhart et al., 1986.
    """

    completion: ClassVar[str] = "approximate: coding and decoding in turn"
    inference: ClassVar[str] = "a code: z = f(x)"
    origin: Tensor

    def __init__(self, encoder: nn.Module, likelihood: PixelLikelihood, latents: int) -> None:
        super().__init__()
        self.encoder, self.likelihood, self.latents = encoder, likelihood, latents
        self.register_buffer("origin", torch.zeros(latents), persistent=False)

    def encode(self, x: Tensor) -> Tensor:
        """Codes f(x), shape (B, M)."""
        return self.encoder(self.likelihood.to_unit(x))

    def reconstruction_loss(self, x: Tensor) -> Tensor:
        """-log p(x | z = f(x)), shape (B,), nats: a distortion. No likelihood of x, whatever its unit."""
        return -self.likelihood(self.encode(x)).log_prob(x)

    @torch.no_grad()
    def complete(self, x: Tensor, observed: Tensor, sweeps: int = WARMING) -> Tensor:
        """Missing pixels by coding and decoding in turn, from the decoded draw of a code: no distribution is
        behind it, and so none is drawn from.

        Args:      x, observed: shape (B, *event_shape), observed boolean.
        Raises:    InputError: as `given_only`.
        """
        start = filled(given_only(self, x, observed), observed, self.sample(len(x)))
        return filled(x, observed, pseudo_gibbs(self.encode, self.likelihood, start, observed, sweeps)[0])

    @torch.no_grad()
    def sample(self, n: int) -> Tensor:
        """Decoded draws of N(0, I), which no part of the training prepared for."""
        return self.decode(torch.randn(n, self.latents, dtype=self.origin.dtype, device=self.origin.device))


def build_autoencoder(settings: AutoencoderSettings, spec: DataSpec) -> Autoencoder:
    """The autoencoder that the command line's flags describe."""
    encoder = encoder_network(settings, spec, settings.latents)
    return Autoencoder(encoder, pixel_likelihood(settings, spec), settings.latents)

"""Plain autoencoder, the baseline for a VAE: it encodes and decodes images, but is not a distribution."""

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
    """Encoder z = f(x) and decoder p(x | z), trained on -log p(x | z = f(x)) alone.

    The loss does not constrain the distribution of the codes. `sample` decodes draws of N(0, I), and most of these
    images do not look like the data.

    Args:      encoder: pixels in [0, 1] to codes (B, M). likelihood: codes to p(x | z). latents: M.
    Reference: `uva2020`, question 1.9; Rumelhart et al., 1986.
    """

    completion: ClassVar[str] = "approximate: encoding and decoding in turn"
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
        """-log p(x | z = f(x)), shape (B,), nats: a distortion, not a likelihood of x."""
        return -self.likelihood(self.encode(x)).log_prob(x)

    @torch.no_grad()
    def complete(self, x: Tensor, observed: Tensor, sweeps: int = WARMING) -> Tensor:
        """Fill in missing pixels: encode and decode repeatedly, starting from the decoding of a random code.

        The result is not a draw from a distribution, because the model does not define one.

        Args:      x, observed: shape (B, *event_shape), observed boolean.
        Raises:    InputError: as `given_only`.
        """
        start = filled(given_only(self, x, observed), observed, self.sample(len(x)))
        return filled(x, observed, pseudo_gibbs(self.encode, self.likelihood, start, observed, sweeps)[0])

    @torch.no_grad()
    def sample(self, n: int) -> Tensor:
        """Decoded draws of N(0, I). Training does not make the codes follow this distribution."""
        return self.decode(torch.randn(n, self.latents, dtype=self.origin.dtype, device=self.origin.device))


def build_autoencoder(settings: AutoencoderSettings, spec: DataSpec) -> Autoencoder:
    """The autoencoder that the settings describe."""
    encoder = encoder_network(settings, spec, settings.latents)
    return Autoencoder(encoder, pixel_likelihood(settings, spec), settings.latents)

"""Flags of the models that code images into latents: the VAE and the plain autoencoder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, Self

from ancestral.core.errors import InputError
from ancestral.settings.checks import check_numbers, shown
from ancestral.settings.data import PixelSpaceName
from ancestral.settings.family import FamilySettings

# Of pixels in [0, 1]: about what is left of images once a decoder has learned their coarse shapes. From 1 the collapse
# of the posterior to the prior comes before the variance has fallen.
START_VARIANCE = 0.02
SCHEDULES = ("beta_warmup", "beta_cycles", "free_bits_decay")


@dataclass(frozen=True)
class CodingSettings(FamilySettings):
    """Encoder, decoder and pixel likelihood."""

    latents: int = 20
    """M, the dimension of z"""
    network: Literal["mlp", "cnn"] = "mlp"
    """kind of encoder and decoder"""
    hidden: tuple[int, ...] = (512,)
    """mlp: widths of the encoder's hidden layers; the decoder mirrors them"""
    channels: tuple[int, ...] = (32, 32, 64, 64, 64)
    """cnn: channels of the encoder's convolutions"""
    strides: tuple[int, ...] = (2, 1, 2, 1, 2)
    """cnn: strides of the encoder's convolutions"""
    decoder_channels: tuple[int, ...] = ()
    """cnn: channels that enter each layer of the decoder (default: the encoder's, reversed)"""
    decoder_strides: tuple[int, ...] = ()
    """cnn: strides of the decoder's layers (default: the encoder's, reversed)"""
    activation: Literal["relu", "leaky-relu", "gelu", "silu", "tanh"] = "relu"
    """nonlinearity"""
    glorot: bool = False
    """Glorot-uniform initial weights instead of torch's default"""
    likelihood: Literal["auto", "bernoulli", "categorical", "logistic", "gaussian"] = "auto"
    """p(x | z); auto: bernoulli for binary pixels, categorical for levels, gaussian for unit"""
    variance: float | None = None
    """gaussian: the variance, or its starting value with --learn-variance (default: learned; autoencoder: 1)"""
    learn_variance: bool = False
    """gaussian: fit the variance"""

    network_settings: ClassVar[Mapping[str, str]] = {
        "encoder decoder": "network hidden channels strides activation glorot",
        "decoder": "decoder_channels decoder_strides",
    }
    former_defaults: ClassVar[dict[str, Any]] = {"variance": 1.0}
    start_variance: ClassVar[float] = START_VARIANCE
    learns_variance: ClassVar[bool] = True

    @property
    def rich_pixels(self) -> PixelSpaceName:
        """Pixels for images of many levels: those of the likelihood, where it is chosen."""
        chosen: dict[str, PixelSpaceName] = {"bernoulli": "threshold", "gaussian": "unit"}
        return chosen.get(self.likelihood, "levels")

    def with_smooth_output(self) -> Self:
        return replace(self, likelihood="logistic") if self.likelihood == "auto" else self

    @property
    def gaussian_variance(self) -> tuple[float, bool]:
        """The variance of Gaussian pixels at the start, and whether it is fitted."""
        if self.variance is None:
            return (self.start_variance, True) if self.learns_variance or self.learn_variance else (1.0, False)
        return self.variance, self.learn_variance

    def unused(self, points: bool | None) -> dict[str, str]:
        cnn = ("channels", "strides", "decoder_channels", "decoder_strides")
        found: dict[str, str] = dict.fromkeys(cnn, "only used with --network cnn") if self.network == "mlp" else {}
        if self.network == "cnn":
            found["hidden"] = "only used with --network mlp"
        if self.likelihood not in ("auto", "gaussian"):
            found |= dict.fromkeys(("variance", "learn_variance"), "only used with --likelihood gaussian")
        return found

    def __post_init__(self) -> None:
        super().__post_init__()
        check_numbers(self, "latents hidden channels strides decoder_channels decoder_strides", 1)
        check_numbers(self, "variance", 0, above=True)
        encoder = self.channels, self.strides
        decoder = self.decoder_channels or self.channels, self.decoder_strides or self.strides
        for side, (channels, strides) in {"": encoder, "decoder-": decoder}.items():
            if self.network == "cnn" and len(channels) != len(strides):
                raise InputError(f"--{side}channels {shown(channels)}: give one of --{side}strides for each")


@dataclass(frozen=True)
class VAESettings(CodingSettings):
    """Variational autoencoder: a lower bound on the log-likelihood."""

    prior: Literal["normal", "mixture", "vamp", "flow"] = "normal"
    """p(z): standard normal, learned mixture of Gaussians, mixture of posteriors (VampPrior), or normalizing flow"""
    components: int = 16
    """mixture, vamp: number of components"""
    objective: Literal["elbo", "iwae", "dreg"] = "elbo"
    """what is maximised: the lower bound, the importance-weighted bound, or that with the doubly
    reparameterised gradient"""
    importance_samples: int = 5
    """iwae, dreg: draws of z per image"""
    beta: float = 1.0
    """elbo: weight of the divergence in training (never in evaluation)"""
    beta_warmup: int = 0
    """elbo: epochs over which the weight first rises from 0 to --beta"""
    beta_cycles: int = 0
    """elbo: the weight rises from 0 to --beta in the first half of each of so many equal parts of the training"""
    free_bits: float = 0.0
    """elbo: nats of divergence per latent that are not penalised in training"""
    free_bits_decay: int = 0
    """elbo: epochs over which --free-bits falls to 0"""

    upper_bounds: ClassVar[Mapping[str, float]] = {"importance_samples": 10_000}
    of_beginnings: ClassVar[tuple[str, ...]] = SCHEDULES

    def unused(self, points: bool | None) -> dict[str, str]:
        found: dict[str, str] = super().unused(points)
        if self.prior not in ("mixture", "vamp"):
            found["components"] = "only used with --prior mixture or vamp"
        if self.objective == "elbo":
            if self.beta == 0:
                found |= dict.fromkeys(("beta_warmup", "beta_cycles"), "--beta is 0")
            if self.free_bits == 0:
                found["free_bits_decay"] = "only used with --free-bits"
            return found | {"importance_samples": "only used with --objective iwae or dreg"}
        of_elbo = ("beta", "free_bits", *SCHEDULES)
        return found | dict.fromkeys(of_elbo, "only used with --objective elbo")

    @property
    def schedules(self) -> tuple[str, ...]:
        """Names of the settings by which the objective depends on the step."""
        return tuple(name for name in SCHEDULES if getattr(self, name)) if self.objective == "elbo" else ()

    @property
    def stretched(self) -> tuple[str, ...]:
        return tuple(name for name in self.schedules if name == "beta_cycles")

    def __post_init__(self) -> None:
        super().__post_init__()
        check_numbers(self, "components importance_samples", 1)
        check_numbers(self, "beta free_bits beta_warmup beta_cycles free_bits_decay", 0)
        if self.beta_warmup and self.beta_cycles:
            raise InputError("--beta-warmup and --beta-cycles exclude each other: the weight rises once, or in cycles")


@dataclass(frozen=True)
class AutoencoderSettings(CodingSettings):
    """Plain autoencoder: no likelihood; the baseline a VAE is compared with."""

    learns_variance: ClassVar[bool] = False

"""Settings of the models with an encoder and a decoder: the VAE and the plain autoencoder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, Self

from ancestral.core.errors import InputError
from ancestral.settings.checks import check_numbers, shown
from ancestral.settings.data import PixelSpaceName
from ancestral.settings.family import FamilySettings

# Variance of pixels in [0, 1]: about the squared error that remains once a decoder has learned coarse shapes. With a
# start at 1, the posterior collapses to the prior before the variance has decreased.
START_VARIANCE = 0.02
SCHEDULES = ("beta_warmup", "beta_cycles", "free_bits_decay")


@dataclass(frozen=True)
class CodingSettings(FamilySettings):
    """Encoder, decoder and pixel likelihood."""

    latents: int = 20
    """dimension M of the latent vector z"""
    network: Literal["mlp", "cnn"] = "mlp"
    """type of encoder and decoder: mlp (fully connected) or cnn (convolutions, for larger images)"""
    hidden: tuple[int, ...] = (512,)
    """mlp: widths of the encoder's hidden layers; the decoder has the same widths in reverse order"""
    channels: tuple[int, ...] = (32, 32, 64, 64, 64)
    """cnn: output channels of each encoder convolution"""
    strides: tuple[int, ...] = (2, 1, 2, 1, 2)
    """cnn: stride of each encoder convolution, one for each of --channels; stride 2 halves the sides of the image"""
    decoder_channels: tuple[int, ...] = ()
    """cnn: input channels of each decoder layer (default: reversed --channels)"""
    decoder_strides: tuple[int, ...] = ()
    """cnn: stride of each decoder layer; stride 2 doubles the sides of the image (default: reversed --strides)"""
    activation: Literal["relu", "leaky-relu", "gelu", "silu", "tanh"] = "relu"
    """activation function of the hidden layers"""
    glorot: bool = False
    """draw initial weights from the Glorot uniform distribution instead of PyTorch's default"""
    likelihood: Literal["auto", "bernoulli", "categorical", "logistic", "gaussian"] = "auto"
    """p(x | z); auto: bernoulli for binary pixels, gaussian for unit, categorical for levels
    (logistic if your own images have colour or more than 32 levels)"""
    variance: float | None = None
    """gaussian: variance of a pixel (pixels are in [0, 1]); with --learn-variance its initial value (default: learned;
    autoencoder: 1)"""
    learn_variance: bool = False
    """gaussian: learn the variance together with the weights"""

    network_settings: ClassVar[Mapping[str, str]] = {
        "encoder decoder": "network hidden channels strides activation glorot",
        "decoder": "decoder_channels decoder_strides",
    }
    former_defaults: ClassVar[dict[str, Any]] = {"variance": 1.0}
    start_variance: ClassVar[float] = START_VARIANCE
    learns_variance: ClassVar[bool] = True

    @property
    def rich_pixels(self) -> PixelSpaceName:
        """Pixel space for images of many levels: the one that fits the chosen likelihood."""
        chosen: dict[str, PixelSpaceName] = {"bernoulli": "threshold", "gaussian": "unit"}
        return chosen.get(self.likelihood, "levels")

    def with_smooth_output(self) -> Self:
        return replace(self, likelihood="logistic") if self.likelihood == "auto" else self

    @property
    def gaussian_variance(self) -> tuple[float, bool]:
        """The initial variance of Gaussian pixels, and whether it is learned."""
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
                raise InputError(f"--{side}channels {shown(channels)}: give as many --{side}strides")


@dataclass(frozen=True)
class VAESettings(CodingSettings):
    """Variational autoencoder: a lower bound on the log-likelihood."""

    prior: Literal["normal", "mixture", "vamp", "flow"] = "normal"
    """p(z): standard normal, learned mixture of Gaussians, mixture of posteriors (vamp: VampPrior), or
    normalizing flow"""
    components: int = 16
    """mixture, vamp: number of components of the prior"""
    objective: Literal["elbo", "iwae", "dreg"] = "elbo"
    """objective to maximise: elbo (evidence lower bound), iwae (importance-weighted bound), or dreg (the same bound
    with doubly reparameterised gradients)"""
    conditional: bool = False
    """learn p(x | z, class) and q(z | x, class) of labelled data. Labels of -1 are summed out"""
    importance_samples: int = 5
    """iwae, dreg: samples of z per image; more give a tighter bound and slower training"""
    beta: float = 1.0
    """elbo: weight of the KL divergence during training; scores always use weight 1"""
    beta_warmup: int = 0
    """elbo: number of epochs over which the weight rises from 0 to --beta; 0: none"""
    beta_cycles: int = 0
    """elbo: number of equal cycles; in the first half of each, the weight rises from 0 to --beta; 0: none"""
    free_bits: float = 0.0
    """elbo: nats of KL divergence per latent that are not penalised in training; helps against posterior collapse"""
    free_bits_decay: int = 0
    """elbo: number of epochs over which --free-bits decays to 0; 0: it stays constant"""

    upper_bounds: ClassVar[Mapping[str, float]] = {"importance_samples": 10_000}
    not_inherited: ClassVar[tuple[str, ...]] = SCHEDULES

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
        """Names of the settings that make the objective depend on the step."""
        return tuple(name for name in SCHEDULES if getattr(self, name)) if self.objective == "elbo" else ()

    @property
    def full_length_schedules(self) -> tuple[str, ...]:
        return tuple(name for name in self.schedules if name == "beta_cycles")

    def __post_init__(self) -> None:
        super().__post_init__()
        check_numbers(self, "components importance_samples", 1)
        check_numbers(self, "beta free_bits beta_warmup beta_cycles free_bits_decay", 0)
        if self.conditional and self.objective == "dreg":
            raise InputError("--objective dreg does not sum over classes: use --objective iwae with --conditional")
        if self.beta_warmup and self.beta_cycles:
            raise InputError("--beta-warmup and --beta-cycles cannot be combined: give one of them")


@dataclass(frozen=True)
class AutoencoderSettings(CodingSettings):
    """Plain autoencoder: no likelihood; the baseline a VAE is compared with."""

    learns_variance: ClassVar[bool] = False

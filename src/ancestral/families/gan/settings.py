"""Settings of the generative adversarial networks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Literal, Self

from ancestral.core.errors import InputError
from ancestral.settings.checks import NO_LABELS, check_numbers
from ancestral.settings.data import PixelSpaceName
from ancestral.settings.family import FamilySettings


@dataclass(frozen=True)
class GANSettings(FamilySettings):
    """Generative adversarial network (GAN): sharp images, no likelihood."""

    default_pixels: ClassVar[PixelSpaceName] = "unit"
    default_learning_rate: ClassVar[float] = 2e-4
    default_beta1: ClassVar[float] = 0.5

    latents: int = 32
    """dimension M of the latent vector z"""
    network: Literal["mlp", "cnn"] = "mlp"
    """type of generator and critic: mlp (fully connected) or cnn (convolutions)"""
    hidden: tuple[int, ...] = (128, 256, 512)
    """mlp: widths of the generator's hidden layers"""
    critic_hidden: tuple[int, ...] = (512, 256)
    """mlp: widths of the critic's hidden layers"""
    channels: tuple[int, ...] = (128, 64, 32)
    """cnn: input channels of each generator layer; each layer doubles the sides of the image"""
    critic_channels: tuple[int, ...] = (32, 64, 128, 256)
    """cnn: output channels of each critic convolution; each convolution halves the sides of the image"""
    batch_norm: bool = True
    """cnn: batch normalisation in the generator; --no-batch-norm switches it off"""
    dropout: float = 0.1
    """mlp: dropout probability of the generator's hidden units, in [0, 1)"""
    critic_dropout: float = 0.3
    """dropout probability of the critic's hidden units, in [0, 1)"""
    loss: Literal["non-saturating", "saturating", "hinge", "wasserstein"] = "non-saturating"
    """loss of critic and generator; saturating is the original minimax loss, whose gradient vanishes if the critic is
    much better"""
    critic_steps: int = 1
    """updates of the critic per update of the generator"""
    gradient_penalty: float = 10.0
    """wasserstein: weight of the penalty (norm - 1)^2 on the critic's gradient in x; 0: no penalty"""
    r1: float = 0.0
    """weight of the R1 penalty, on the critic's squared gradient at real images; 0: no penalty. Try 1 to 10 if training
    is unstable"""
    spectral_norm: bool = False
    """divide each weight matrix of the critic by its largest singular value (spectral normalisation)"""
    average: float = 0.0
    """decay of an exponential moving average of the generator's weights, which becomes the model, for example 0.999; 0:
    off"""
    conditional: bool = False
    """learn to sample given classes of labelled data; generator and critic get the class"""
    classes: int = 0
    """number of classes of a conditional GAN; 0: none, or with --conditional that of the data"""

    network_settings: ClassVar[Mapping[str, str]] = {
        "generator": "hidden channels batch_norm dropout",
        "critic": "critic_hidden critic_channels critic_dropout",
        "generator critic": "network",
    }
    upper_bounds: ClassVar[Mapping[str, float]] = {"critic_steps": 10_000, "classes": 100_000}

    def unused(self, points: bool | None) -> dict[str, str]:
        mlp, cnn = ("hidden", "critic_hidden", "dropout"), ("channels", "critic_channels", "batch_norm")
        other, names = ("cnn", cnn) if self.network == "mlp" else ("mlp", mlp)
        found: dict[str, str] = dict.fromkeys(names, f"only used with --network {other}")
        if self.loss != "wasserstein":
            found["gradient_penalty"] = "only used with --loss wasserstein"
        return found

    @property
    def labelled_only(self) -> bool:
        return self.conditional or self.classes > 0

    def with_classes(self, classes: int | None) -> Self:
        if not self.conditional or self.classes:
            return self
        if not classes:
            raise InputError(NO_LABELS)
        return replace(self, classes=classes)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_numbers(self, "latents hidden critic_hidden channels critic_channels critic_steps", 1)
        check_numbers(self, "dropout critic_dropout gradient_penalty r1 average classes", 0)
        for name in ("dropout", "critic_dropout", "average"):
            if getattr(self, name) >= 1:
                raise InputError(f"--{name.replace('_', '-')} {getattr(self, name)}: give a number below 1")
        if self.classes == 1:
            raise InputError(
                "--classes 1: a conditional GAN needs at least 2 classes; leave --classes out for an unconditional one"
            )

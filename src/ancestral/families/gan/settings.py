"""Flags of the generative adversarial networks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from ancestral.core.errors import InputError
from ancestral.settings.checks import check_numbers
from ancestral.settings.data import PixelSpaceName
from ancestral.settings.family import FamilySettings


@dataclass(frozen=True)
class GANSettings(FamilySettings):
    """Generative adversarial network: sharp images, no likelihood."""

    default_pixels: ClassVar[PixelSpaceName] = "unit"
    default_learning_rate: ClassVar[float] = 2e-4
    default_beta1: ClassVar[float] = 0.5

    latents: int = 32
    """M, the dimension of z"""
    network: Literal["mlp", "cnn"] = "mlp"
    """kind of generator and critic"""
    hidden: tuple[int, ...] = (128, 256, 512)
    """mlp: widths of the generator's hidden layers"""
    critic_hidden: tuple[int, ...] = (512, 256)
    """mlp: widths of the critic's hidden layers"""
    channels: tuple[int, ...] = (128, 64, 32)
    """cnn: channels that enter each layer of the generator, each of which doubles the sides"""
    critic_channels: tuple[int, ...] = (32, 64, 128, 256)
    """cnn: channels of the critic's convolutions, each of which halves the sides"""
    batch_norm: bool = True
    """cnn: batch normalisation in the generator"""
    dropout: float = 0.1
    """mlp: share of the generator's hidden units left out in training"""
    critic_dropout: float = 0.3
    """share of the critic's hidden units left out in training"""
    loss: Literal["non-saturating", "saturating", "hinge", "wasserstein"] = "non-saturating"
    """what critic and generator play for; saturating is the original minimax game, to show why not"""
    critic_steps: int = 1
    """updates of the critic for each of the generator"""
    gradient_penalty: float = 10.0
    """wasserstein: weight of the penalty on critic gradients whose norm is not 1"""
    r1: float = 0.0
    """weight of the penalty on the critic's squared gradient at real images"""
    spectral_norm: bool = False
    """divide each weight of the critic by its largest singular value"""
    average: float = 0.0
    """keep an exponential moving average of the generator with this decay as the model (0.999, say)"""
    classes: int = 0
    """labelled data: generate and judge images of a given class, of so many; 0 takes no notice of labels"""

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
        return self.classes > 0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_numbers(self, "latents hidden critic_hidden channels critic_channels critic_steps", 1)
        check_numbers(self, "dropout critic_dropout gradient_penalty r1 average classes", 0)
        for name in ("dropout", "critic_dropout", "average"):
            if getattr(self, name) >= 1:
                raise InputError(f"--{name.replace('_', '-')} {getattr(self, name)}: give a number below 1")
        if self.classes == 1:
            raise InputError("--classes 1: a single class is no condition; leave it out")

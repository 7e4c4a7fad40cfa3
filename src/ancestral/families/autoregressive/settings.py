"""Flags of the autoregressive models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from ancestral.core.errors import InputError
from ancestral.settings.checks import check_numbers
from ancestral.settings.data import PixelSpaceName
from ancestral.settings.family import FamilySettings

OutputName = Literal["auto", "bernoulli", "categorical", "logistic"]


def _without_mixture(output: OutputName) -> dict[str, str]:
    """Unused settings of an output that is no mixture of logistic distributions; `auto` depends on the pixels."""
    return {} if output in ("auto", "logistic") else {"components": "only used with --output logistic"}


@dataclass(frozen=True)
class MADESettings(FamilySettings):
    """Masked autoencoder for distribution estimation: exact log-likelihood."""

    rich_pixels: ClassVar[PixelSpaceName | None] = "levels"

    hidden: tuple[int, ...] = (500,)
    """widths of the hidden layers; none: a fully visible belief net"""
    orderings: int = 1
    """orders of the pixels, each with masks of its own: one at random per step, their probabilities averaged
    in scores; 1: the order of reading"""
    direct: bool = True
    """connect earlier pixels to later ones directly too"""
    activation: Literal["relu", "leaky-relu", "gelu", "silu", "tanh"] = "relu"
    """nonlinearity"""
    output: OutputName = "auto"
    """of a pixel; auto: bernoulli for binary pixels, for levels categorical up to 32 and logistic beyond"""
    components: int = 10
    """logistic: components of the mixture"""

    network_settings: ClassVar[Mapping[str, str]] = {"network": "hidden orderings direct activation"}
    upper_bounds: ClassVar[Mapping[str, float]] = {"orderings": 10_000}

    def unused(self, points: bool | None) -> dict[str, str]:
        found: dict[str, str] = _without_mixture(self.output)
        return found if self.hidden else found | {"activation": "there are no --hidden layers"}

    def __post_init__(self) -> None:
        super().__post_init__()
        check_numbers(self, "hidden orderings components", 1)
        if not (self.hidden or self.direct):
            raise InputError("--no-direct without --hidden: nothing would connect the pixels")


@dataclass(frozen=True)
class PixelCNNSettings(FamilySettings):
    """Gated causal convolutions: exact log-likelihood of images."""

    rich_pixels: ClassVar[PixelSpaceName | None] = "levels"
    default_learning_rate: ClassVar[float] = 2e-3

    channels: int = 64
    """of the residual path"""
    hidden_channels: int = 32
    """within a block"""
    blocks: int = 8
    """gated residual blocks"""
    kernel: int = 3
    """width of the blocks' convolutions"""
    first_kernel: int = 13
    """width of the first convolution"""
    output: OutputName = "auto"
    """of a pixel; auto: bernoulli for binary pixels, for levels categorical up to 32 and logistic beyond"""
    components: int = 10
    """logistic: components of the mixture"""

    network_settings: ClassVar[Mapping[str, str]] = {"network": "channels hidden_channels blocks kernel first_kernel"}
    upper_bounds: ClassVar[Mapping[str, float]] = {"blocks": 1000}

    def unused(self, points: bool | None) -> dict[str, str]:
        return _without_mixture(self.output)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_numbers(self, "channels hidden_channels blocks components", 1)
        for name in ("kernel", "first_kernel"):
            if (width := getattr(self, name)) < 3 or width % 2 == 0:
                raise InputError(f"--{name.replace('_', '-')} {width}: give an odd number of at least 3")

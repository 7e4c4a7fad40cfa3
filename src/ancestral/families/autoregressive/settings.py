"""Settings of the autoregressive models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from ancestral.core.errors import InputError
from ancestral.settings.checks import check_numbers
from ancestral.settings.data import PixelSpaceName
from ancestral.settings.family import FamilySettings

OutputName = Literal["auto", "bernoulli", "categorical", "zero-flag", "logistic"]


def _without_mixture(output: OutputName) -> dict[str, str]:
    """Unused settings of an output that is no mixture of logistic distributions; `auto` depends on the pixels."""
    return {} if output in ("auto", "logistic") else {"components": "only used with --output logistic"}


@dataclass(frozen=True)
class MADESettings(FamilySettings):
    """Masked autoencoder for distribution estimation: exact log-likelihood."""

    rich_pixels: ClassVar[PixelSpaceName | None] = "levels"

    hidden: tuple[int, ...] = (500,)
    """widths of the hidden layers; without any the model is a fully visible belief net"""
    orderings: int = 1
    """number of pixel orderings, each with its own masks: a training step uses a random one, a score averages the
    probabilities of all; 1: reading order"""
    direct: bool = True
    """direct connections from pixels to the outputs of later pixels; --no-direct removes them"""
    activation: Literal["relu", "leaky-relu", "gelu", "silu", "tanh"] = "relu"
    """activation function of the hidden layers"""
    output: OutputName = "auto"
    """distribution of a pixel; auto: bernoulli for binary pixels, categorical for up to 32 levels, logistic for more;
    zero-flag: a flag for level 0 and a probability for each other level, for images with a background of zeros"""
    components: int = 10
    """logistic: number of components of the mixture of logistic distributions"""
    conditional: bool = False
    """learn p(x | class) of labelled data; the network gets the class. Labels of -1 are summed out"""

    network_settings: ClassVar[Mapping[str, str]] = {"network": "hidden orderings direct activation"}
    upper_bounds: ClassVar[Mapping[str, float]] = {"orderings": 10_000}

    def unused(self, points: bool | None) -> dict[str, str]:
        found: dict[str, str] = _without_mixture(self.output)
        return found if self.hidden else found | {"activation": "it needs --hidden layers"}

    def __post_init__(self) -> None:
        super().__post_init__()
        check_numbers(self, "hidden orderings components", 1)
        if not (self.hidden or self.direct):
            raise InputError("--no-direct needs --hidden: without both, the pixels are not connected")


@dataclass(frozen=True)
class PixelCNNSettings(FamilySettings):
    """PixelCNN, gated causal convolutions: exact log-likelihood of images."""

    rich_pixels: ClassVar[PixelSpaceName | None] = "levels"
    default_learning_rate: ClassVar[float] = 2e-3

    channels: int = 64
    """channels of the residual path"""
    hidden_channels: int = 32
    """channels within a residual block"""
    blocks: int = 8
    """number of gated residual blocks"""
    kernel: int = 3
    """kernel size of the convolutions in the blocks, odd"""
    first_kernel: int = 13
    """kernel size of the first convolution, odd"""
    frequent: int = 0
    """levels: number of the most frequent levels of the training data that are marked in the input, one channel each"""
    positions: bool = False
    """add a learned value for each position and channel of the image, after the first convolution"""
    output: OutputName = "auto"
    """distribution of a pixel; auto: bernoulli for binary pixels, categorical for up to 32 levels, logistic for more;
    zero-flag: a flag for level 0 and a probability for each other level, for images with a background of zeros"""
    components: int = 10
    """logistic: number of components of the mixture of logistic distributions"""
    conditional: bool = False
    """learn p(x | class) of labelled data; the network gets the class. Labels of -1 are summed out"""

    network_settings: ClassVar[Mapping[str, str]] = {
        "network": "channels hidden_channels blocks kernel first_kernel frequent positions"
    }
    upper_bounds: ClassVar[Mapping[str, float]] = {"blocks": 1000}

    def unused(self, points: bool | None) -> dict[str, str]:
        return _without_mixture(self.output)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_numbers(self, "channels hidden_channels blocks components", 1)
        check_numbers(self, "frequent", 0)
        for name in ("kernel", "first_kernel"):
            if (width := getattr(self, name)) < 3 or width % 2 == 0:
                raise InputError(f"--{name.replace('_', '-')} {width}: give an odd number of at least 3")

"""Settings of the any-order autoregressive models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from ancestral.core.errors import InputError
from ancestral.settings.checks import check_numbers
from ancestral.settings.data import PixelSpaceName
from ancestral.settings.family import FamilySettings

OutputName = Literal["auto", "bernoulli", "categorical", "zero-flag", "logistic"]


@dataclass(frozen=True)
class AnyOrderSettings(FamilySettings):
    """Any-order autoregressive model (masked diffusion): completes any mask, exact log-likelihood in a given order."""

    rich_pixels: ClassVar[PixelSpaceName | None] = "levels"
    default_learning_rate: ClassVar[float] = 2e-3

    network: Literal["unet", "mlp"] = "unet"
    """unet: convolutions at half and a quarter of the resolution, with a dense layer; mlp: fully connected layers"""
    width: int = 48
    """unet: channels at half the resolution; a quarter of it has twice as many"""
    blocks: int = 1
    """unet: residual blocks of each stage"""
    dense: int = 384
    """unet: width of the dense layer at a quarter of the resolution"""
    hidden: tuple[int, ...] = (768, 768)
    """mlp: widths of the hidden layers"""
    scan_share: float = 0.25
    """share of the training masks that are the beginning of a scan: by rows or by columns, from the start or the end"""
    half_share: float = 0.2
    """share of the training masks that show one half of the image, and random pixels of the other half; the remaining
    masks show random pixels"""
    bound_masks: int = 8
    """number of random masks for each image with which the lower bound is estimated; more reduce its random error"""
    output: OutputName = "auto"
    """distribution of a pixel; auto: bernoulli for binary pixels, categorical for up to 32 levels, logistic for more;
    zero-flag: a flag for level 0 and a probability for each other level, for images with a background of zeros"""
    components: int = 10
    """logistic: number of components of the mixture of logistic distributions"""
    conditional: bool = False
    """learn p(x | class), p(x) and p(class | any pixels) of labelled data; those with the label -1 are used for p(x)"""

    network_settings: ClassVar[Mapping[str, str]] = {"predictor": "network width blocks dense hidden"}
    upper_bounds: ClassVar[Mapping[str, float]] = {"blocks": 1000}

    def __post_init__(self) -> None:
        super().__post_init__()
        check_numbers(self, "width blocks dense hidden bound_masks components", 1)
        check_numbers(self, "scan_share half_share", 0)
        if self.scan_share + self.half_share >= 1:
            raise InputError(
                f"--scan-share {self.scan_share:g} and --half-share {self.half_share:g}: their sum must be below 1, "
                "because the remaining masks are random ones"
            )

    def unused(self, points: bool | None) -> dict[str, str]:
        found = {} if self.output in ("auto", "logistic") else {"components": "only used with --output logistic"}
        other = ("hidden",) if self.network == "unet" else ("width", "blocks", "dense")
        return found | dict.fromkeys(other, f"not used with --network {self.network}")

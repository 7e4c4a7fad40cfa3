"""Flags of the normalizing flows, of points and of images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from ancestral.settings.checks import check_numbers
from ancestral.settings.data import PixelSpaceName
from ancestral.settings.family import FamilySettings


@dataclass(frozen=True)
class FlowSettings(FamilySettings):
    """Normalizing flow: exact density of points; a lower bound for images of whole grey levels."""

    default_pixels: ClassVar[PixelSpaceName] = "levels"
    rich_pixels: ClassVar[PixelSpaceName | None] = "levels"
    default_learning_rate: ClassVar[float] = 2e-3

    layers: Literal["affine", "spline", "maf"] = "spline"
    """affine couplings (RealNVP), rational-quadratic spline couplings, or (points only) masked autoregressive layers"""
    depth: int = 6
    """points: number of layers"""
    hidden: tuple[int, ...] = (64, 64)
    """points: widths of each layer's network"""
    activation: Literal["relu", "leaky-relu", "gelu", "silu", "tanh"] = "gelu"
    """nonlinearity"""
    mixing: Literal["alternate", "permute", "linear"] = "alternate"
    """points, between layers: the parts take turns (maf: the order is reversed), a random order, or a learned
    invertible linear map"""
    actnorm: bool = True
    """points: standardise before each layer, by the first batch (images always do)"""
    bins: int = 8
    """spline: pieces of each"""
    bound: float = 4.0
    """spline: it bends within [-bound, bound]"""
    base_scale: float = 1.0
    """points: standard deviation of the normal base"""
    scales: int = 2
    """images: how often the sides are halved"""
    couplings: int = 4
    """images: couplings at each scale"""
    width: int = 24
    """images: channels of each coupling's network"""
    blocks: int = 1
    """images: residual blocks of each coupling's network"""
    dequantisation: Literal["uniform", "variational"] = "uniform"
    """images: noise that makes whole levels real: uniform, or learned with the flow for a tighter bound"""

    network_settings: ClassVar[Mapping[str, str]] = {"conditioner": "hidden blocks"}
    upper_bounds: ClassVar[Mapping[str, float]] = {
        "depth": 1000,
        "scales": 30,
        "couplings": 1000,
        "blocks": 1000,
        "bins": 10_000,
    }

    def unused(self, points: bool | None) -> dict[str, str]:
        found: dict[str, str] = (
            {} if self.layers == "spline" else dict.fromkeys(("bins", "bound"), "only used with --layers spline")
        )
        if points is False:
            names = ("depth", "hidden", "mixing", "actnorm", "base_scale")
            return found | dict.fromkeys(names, "it is for points, and these data are images")
        if points:
            names = ("scales", "couplings", "width", "blocks", "dequantisation")
            return found | dict.fromkeys(names, "it is for images, and these data are points")
        return found

    def __post_init__(self) -> None:
        super().__post_init__()
        check_numbers(self, "depth hidden scales couplings width blocks", 1)
        check_numbers(self, "bins", 2)
        check_numbers(self, "bound base_scale", 0, above=True)

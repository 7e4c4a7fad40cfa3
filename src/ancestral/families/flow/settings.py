"""Settings of the normalizing flows of points and of images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from ancestral.settings.checks import check_numbers
from ancestral.settings.data import PixelSpaceName
from ancestral.settings.family import FamilySettings


@dataclass(frozen=True)
class FlowSettings(FamilySettings):
    """Normalizing flow: exact log-density of points, lower bound on the log-likelihood of images."""

    default_pixels: ClassVar[PixelSpaceName] = "levels"
    rich_pixels: ClassVar[PixelSpaceName | None] = "levels"
    default_learning_rate: ClassVar[float] = 2e-3

    layers: Literal["affine", "spline", "maf"] = "spline"
    """type of layer: affine couplings (RealNVP), rational-quadratic spline couplings, or, for points only, masked
    autoregressive layers (maf)"""
    depth: int = 6
    """points: number of layers"""
    hidden: tuple[int, ...] = (64, 64)
    """points: hidden widths of the network of each layer"""
    activation: Literal["relu", "leaky-relu", "gelu", "silu", "tanh"] = "gelu"
    """activation function of the networks"""
    mixing: Literal["alternate", "permute", "linear"] = "alternate"
    """points, between layers: alternate the two parts (maf: reverse the order), a random permutation, or a learned
    invertible linear map"""
    actnorm: bool = True
    """points: normalise activations before each layer, initialised from the first batch (ActNorm); --no-actnorm
    switches it off; image flows always do"""
    bins: int = 8
    """spline: number of bins of each spline"""
    bound: float = 4.0
    """spline: the splines act on [-bound, bound] and are the identity outside"""
    conditional: bool = False
    """learn p(x | class) of labelled data; the network of each layer gets the class. Labels of -1 are summed out"""
    base_scale: float = 1.0
    """points: standard deviation of the normal base distribution"""
    scales: int = 2
    """images: number of scales; each halves the height and width"""
    couplings: int = 4
    """images: number of couplings at each scale"""
    width: int = 24
    """images: channels of the network of each coupling"""
    blocks: int = 1
    """images: residual blocks of the network of each coupling"""
    dequantisation: Literal["uniform", "variational"] = "uniform"
    """images: noise that is added to integer levels: uniform, or variational (learned with the flow; tighter bound,
    slower)"""

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
            return found | dict.fromkeys(names, "it applies to points only, and these data are images")
        if points:
            names = ("scales", "couplings", "width", "blocks", "dequantisation")
            return found | dict.fromkeys(names, "it applies to images only, and these data are points")
        return found

    def __post_init__(self) -> None:
        super().__post_init__()
        check_numbers(self, "depth hidden scales couplings width blocks", 1)
        check_numbers(self, "bins", 2)
        check_numbers(self, "bound base_scale", 0, above=True)

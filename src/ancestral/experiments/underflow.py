"""The logarithm of a product beside the sum of logarithms: the same number on paper, not in a computer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ancestral.figures.curves import learning_curves
from ancestral.figures.series import Curve

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FACTORS = 1500
FORMATS = {torch.float32: "32 bits", torch.float64: "64 bits"}


@dataclass(frozen=True)
class Underflow:
    """What became of log (p ... p) as the number of factors n grew from 1 to N.

    Attributes: sums: n log p by adding, in 64 bits, shape (N,), nats. products: log of the product, by number format.
                first: for each format the smallest n whose product is zero, or None.
    """

    sums: Tensor
    products: dict[str, Tensor]
    first: dict[str, int | None]


def underflow(factors: int = FACTORS, probability: float = 0.5) -> Underflow:
    """Multiply the probability of one pixel with itself, and add its logarithms.

    The smallest positive numbers are 2^-149 in 32 bits and 2^-1074 in 64: of fair coins that many factors survive.
    """
    p = torch.full((factors,), probability, dtype=torch.float64)
    products = {words: p.to(dtype).cumprod(0).double().log() for dtype, words in FORMATS.items()}
    first = {words: _first_lost(values) for words, values in products.items()}
    return Underflow(p.log().cumsum(0), products, first)


def underflow_figure(found: Underflow) -> Figure:
    """The running sum, and the running products in both formats: these end where they are lost."""
    shown = torch.arange(0, len(found.sums), max(1, len(found.sums) // 300))
    curves = [Curve("sum of logarithms", shown + 1, found.sums[shown])]
    for words, values in found.products.items():
        kept = shown[values[shown].isfinite()]
        curves.append(Curve(f"log of the product, {words}", kept + 1, values[kept], style="dashed"))
    return learning_curves(curves, xlabel="factors", ylabel="log-probability, nats", ylim=None)


def _first_lost(values: Tensor) -> int | None:
    lost = (~values.isfinite()).nonzero()
    return int(lost[0]) + 1 if len(lost) else None

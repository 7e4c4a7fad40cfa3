"""The logarithm of a product and the sum of logarithms: equal in exact arithmetic, not in floating point."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ancestral.figures.panels import Panel, panel_figure
from ancestral.figures.series import Curve

if TYPE_CHECKING:
    from matplotlib.figure import Figure


FACTORS = 2200
FORMATS = {torch.float32: "32 bits", torch.float64: "64 bits"}
POINTS = 300  # points of a curve in the figure


@dataclass(frozen=True)
class Underflow:
    """log (p ... p) for numbers of factors n from 1 to N, by number format.

    Attributes: sums: log p + ... + log p, shape (N,), nats. products: log of the product, shape (N,).
                first: the smallest n whose product is zero, or None.
                errors: absolute difference of the sum of all N logarithms from N log p, nats.
    """

    sums: dict[str, Tensor]
    products: dict[str, Tensor]
    first: dict[str, int | None]
    errors: dict[str, float]


def underflow(factors: int = FACTORS, probability: float = 0.5) -> Underflow:
    """Multiply a probability with itself, and add its logarithms.

    The smallest positive numbers are 2^-149 in 32 bits and 2^-1074 in 64 bits; with factors of 1/2, products underflow
    after 149 and 1074 factors.
    """
    p = torch.full((factors,), probability, dtype=torch.float64)
    sums = {words: p.to(dtype).log().cumsum(0).double() for dtype, words in FORMATS.items()}
    products = {words: p.to(dtype).cumprod(0).double().log() for dtype, words in FORMATS.items()}
    whole = factors * p[0].log().item()
    return Underflow(
        sums,
        products,
        {words: _first_lost(values) for words, values in products.items()},
        {words: abs(values[-1].item() - whole) for words, values in sums.items()},
    )


def underflow_figure(found: Underflow) -> Figure:
    """The running sum and the logarithm of the running product (dashed), with a cross where the product is zero."""
    panels = []
    for words, values in found.products.items():
        lost = found.first[words]
        n = torch.arange(1, min(len(values), 2 * lost if lost else len(values)) + 1)
        n = n[:: max(1, len(n) // POINTS)]
        kept = n if lost is None else n[n < lost]
        curves = [
            Curve("sum of logarithms", n, found.sums[words][n - 1]),
            Curve("logarithm of the product", kept, values[kept - 1], style="dashed"),
        ]
        cross = (
            None if lost is None else (lost, found.sums[words][lost - 1].item(), f"the product is 0 from n = {lost:,}")
        )
        panels.append(Panel(words, curves, cross=cross))
    return panel_figure(panels, plot_height=85.0, xlabel="factors n", ylabel="nats")


def _first_lost(values: Tensor) -> int | None:
    lost = (~values.isfinite()).nonzero()
    return int(lost[0]) + 1 if len(lost) else None

"""The picture of a compression: bits per dimension of the claim, the file and other codecs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ancestral.evaluation.compression_record import CompressionRecord
from ancestral.figures.bars import Bar, draw_bars

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NAME = "compression"
CAPTION = "Bits per dimension of the same test images: claimed by the model, in its file, and under other codecs."
KINDS = ("file", "claim", "other codec")


def compression_figure(named: Sequence[tuple[str, CompressionRecord]]) -> Figure:
    """Bars of bits per dimension, a pair for each model, then other codecs, the smallest first."""
    first = named[0][1]
    bars: list[Bar] = []
    for name, record in named:
        pixels = record.images * record.dimensions
        bars.append(_bar(f"{name}: file", record.bits_per_dim, 0))
        bars.append(_bar(f"{name}: {record.claim.method}", record.claimed_bits / pixels, 1))
    pixels = first.images * first.dimensions
    others = sorted((codec.bits, codec.name) for codec in first.codecs if codec.bits is not None)
    bars += [_bar(name, bits / pixels, 2) for bits, name in others]
    return draw_bars(bars, title=f"Lossless compression: {first.space}", xlabel="bits per dimension", kinds=KINDS)


def _bar(label: str, bits: float, kind: int) -> Bar:
    return Bar(label, bits, f"{bits:.4f}", kind)

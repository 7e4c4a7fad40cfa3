"""An independent reader of the file format, written from its documentation, with whole numbers of Python only.

It reads files of a MADE with one hidden layer and binary pixels, and calculates the network itself. It shares no code
with the package. See "The file, byte by byte" in docs/handbook/compression.md.
"""

from __future__ import annotations

import json
import zlib
from fractions import Fraction
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from helpers import ROOT

from ancestral.compression.files import compress_levels
from ancestral.families.autoregressive.made import MADE

TOTAL, LEAST = 1 << 24, 2
UNIT = 1 << 16
PAGE = (ROOT / "docs" / "handbook" / "compression.md").read_text()
DICTIONARY = "".join(PAGE.partition("(the-dictionary)=")[2].split("```")[1].splitlines()[1:]).encode()
Rows = list[list[int]]


class Coder:
    """The stack of 32-bit words under a state of 64 bits."""

    def __init__(self, words: list[int]) -> None:
        self.words, self.state = list(words), 0
        for _ in range(2):
            self._refill()

    def _refill(self) -> None:
        if self.state < 1 << 32 and self.words:
            self.state = self.state << 32 | self.words.pop()

    def pop_bit(self, ones: int) -> int:
        place = self.state % TOTAL
        bit = int(place >= TOTAL - ones)
        start, size = (TOTAL - ones, ones) if bit else (0, TOTAL - ones)
        self.state = size * (self.state // TOTAL) + place - start
        self._refill()
        return bit


@cache
def frequency_of_one(logit: int) -> int:
    """TOTAL / (1 + e^-logit), rounded, for a logit in units of 2^-8."""
    at = min(max(logit, -16 * 256), 16 * 256)
    if at < 0:
        return TOTAL - frequency_of_one(-at)
    total, term, n = Fraction(0), Fraction(1), 0
    while term > Fraction(1, 1 << 100):  # the series of e^(at / 256)
        total += term
        n += 1
        term = term * at / (256 * n)
    share = TOTAL / (1 + 1 / total)
    return min(max((2 * share.numerator // share.denominator + 1) // 2, LEAST), TOTAL - LEAST)


def nearest(number: int, unit: int) -> int:
    """number / unit, rounded to the nearest whole number, ties upwards."""
    return (2 * number + unit) // (2 * unit)


class Network(NamedTuple):
    """Weights in units of 2^-16, positions of the pixels in the order, and degrees of the hidden units."""

    first: Rows
    first_bias: list[int]
    last: Rows
    last_bias: list[int]
    direct: Rows
    positions: list[int]
    degrees: list[int]

    def logit(self, pixel: int, x: list[int]) -> int:
        """The logit of a pixel given those before it, in units of 2^-8."""
        seen = [(2 * value - 1) * UNIT for value in x]
        hidden = []
        for row, bias, degree in zip(self.first, self.first_bias, self.degrees, strict=True):
            total = sum(w * s for w, s, p in zip(row, seen, self.positions, strict=True) if p <= degree)
            hidden.append(max(0, nearest(total, UNIT) + bias))
        here = self.positions[pixel]
        direct = sum(w * s for w, s, p in zip(self.direct[pixel], seen, self.positions, strict=True) if p < here)
        last = sum(w * h for w, h, d in zip(self.last[pixel], hidden, self.degrees, strict=True) if d < here)
        return nearest(nearest(direct, UNIT) + nearest(last, UNIT) + self.last_bias[pixel], UNIT >> 8)


def read(path: Path, network: Network) -> Rows:
    """All images of a file."""
    content = path.read_bytes()
    assert content[:8] == bytes.fromhex("89414E430D0A1A0A")
    at = 12 + _number(content, 8)
    header = json.loads(zlib.decompressobj(-15, DICTIONARY).decompress(content[12:at]))
    assert _number(content, at) == zlib.crc32(content[:at])
    assert header["code"] == "pixel by pixel, in the model's order" and header["borrowed"] == 0
    at += 4
    images: Rows = []
    for number in range(-(-header["images"] // header["block"])):
        end = at + 8 + 4 * _number(content, at)
        assert _number(content, end) == zlib.crc32(number.to_bytes(4, "little") + content[at:end])
        words = [_number(content, place) for place in range(at + 8, end, 4)]
        count = min(header["block"], header["images"] - number * header["block"])
        images += _block(Coder(words), count, network)
        at = end + 4
    assert at == len(content)
    assert sha256(b"".join(bytes(image) for image in images)).hexdigest() == header["content_sha256"]
    return images


def _number(content: bytes, at: int) -> int:
    return int.from_bytes(content[at : at + 4], "little")


def _block(coder: Coder, count: int, network: Network) -> Rows:
    pixels = len(network.positions)
    images = [[0] * pixels for _ in range(count)]
    for pixel in sorted(range(pixels), key=network.positions.__getitem__):
        for image in images:
            image[pixel] = coder.pop_bit(frequency_of_one(network.logit(pixel, image)))
    assert not coder.words and coder.state == 0
    return images


def network_of(model: MADE) -> Network:
    def rows(weight: torch.Tensor) -> Rows:
        return [[_unit(value) for value in row] for row in weight.tolist()]

    def row(bias: torch.Tensor) -> list[int]:
        return [_unit(value) for value in bias.tolist()]

    layer, last, direct = model.layers[0], model.last, model.direct
    assert last is not None and direct is not None
    degrees = layer.degrees[0].tolist()  # type: ignore[operator, union-attr]
    weights = rows(layer.weight), row(layer.bias), rows(last.weight), row(last.bias), rows(direct.weight)  # type: ignore[arg-type]
    return Network(*weights, model.positions[0].tolist(), degrees)


def _unit(value: float) -> int:
    """A number in units of 2^-16, ties upwards."""
    scaled = Fraction(value) * UNIT + Fraction(1, 2)
    return scaled.numerator // scaled.denominator


@pytest.mark.parametrize("block", [1, 25, 2500])
def test_a_reader_written_from_the_documentation_decodes_a_file(block: int, tmp_path: Path) -> None:
    torch.manual_seed(block)
    model = MADE((1, 3, 3), hidden=(7,), seed=3).eval()
    with torch.no_grad():
        for values in model.parameters():
            values.mul_(5)
    levels = torch.randint(2, (60, 1, 3, 3), dtype=torch.uint8)
    compress_levels(model, levels, tmp_path / "x.anc", "binary", block=block)
    assert read(tmp_path / "x.anc", network_of(model)) == levels.flatten(1).tolist()

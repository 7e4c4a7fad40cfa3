"""The drawn diagrams of the handbook: what they draw is right, all labels are inside, each is on a page."""

from __future__ import annotations

import importlib
import re
from itertools import pairwise
from types import ModuleType
from xml.etree import ElementTree

import pytest
import torch
from helpers import ROOT

from ancestral.families import MADE

DOCS = ROOT / "docs"
NAMES = ("latent-variable-model", "encoder-and-decoder", "masks", "coupling-layer", "gan", "dequantisation", "bracket")


@pytest.fixture
def drawings(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(DOCS)
    return importlib.import_module("building.drawings")


def test_all_of_them_are_listed(drawings: ModuleType) -> None:
    assert tuple(drawings.DIAGRAMS) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_it_is_described_follows_the_page_and_fits(name: str, drawings: ModuleType) -> None:
    svg = ElementTree.fromstring(drawings.drawn(name))
    title, description = svg[0], svg[1]
    assert svg.get("role") == "img" and svg.get("aria-labelledby") == f"{title.get('id')} {description.get('id')}"
    assert title.text and description.text and len(description.text) > 50
    width, height = (float(svg.get(side, "0")) for side in ("width", "height"))
    assert width <= 400, "labels are readable on a phone"
    for part in svg.iter():
        for colour in (part.get("fill", "none"), part.get("stroke", "none")):
            assert colour == "none" or re.fullmatch(r"var\(--diagram-\w+, #[0-9a-f]{6}\)", colour), colour
        if part.tag.endswith("text"):
            inside(part, width, height)


def inside(text: ElementTree.Element, width: float, height: float) -> None:
    """A label that would leave the drawing, by rough widths of its characters."""
    x, y, size = (float(text.get(key, "0")) for key in ("x", "y", "font-size"))
    label = "".join(text.itertext())
    narrow = sum(letter in " ,|().:il" for letter in label)  # digits are subscripts mostly
    long = (0.3 * narrow + 0.4 * len(re.findall(r"\d", label)) + 0.56 * len(re.findall(r"[^\W\d]", label))) * size
    before = {"start": 0.0, "middle": 0.5, "end": 1.0}[text.get("text-anchor", "start")]
    assert x - before * long > -5 and x + (1 - before) * long < width + 5, "".join(text.itertext())
    assert size <= y <= height


def test_labels_go_back_to_the_line_after_a_subscript(drawings: ModuleType) -> None:
    spans = importlib.import_module("building.svg").spans
    label = ElementTree.fromstring(f"<text>{spans('*p*(*x*_2 < *x*_1) e^s.')}</text>")
    assert "".join(label.itertext()) == "p(x2 < x1) es."
    heights, height = {}, 0.0
    for part in label:
        height += float(part.get("dy", "0"))
        heights[part.text] = height
    assert heights == {"p": 0, "(": 0, "x": 0, "2": 4, " < ": 0, "1": 4, ") e": 0, "s": -5, ".": 0}


def test_drawn_masks_are_those_of_made(drawings: ModuleType) -> None:
    """Output d is reached from the pixels before d only; the degrees are those that the model uses."""
    reach = torch.eye(4)
    for k, (before, after) in enumerate(pairwise(drawings.LAYERS)):
        layer = torch.zeros(len(after), len(before))
        for i, j in drawings.kept(before, after, last=k == 2):
            layer[j, i] = 1
        reach = layer @ reach
    assert torch.equal(reach > 0, torch.ones(4, 4).tril(-1) > 0)
    model = MADE([1, 2, 2], hidden=[5, 5])
    degrees = [tuple(layer.degrees[0].tolist()) for layer in model.layers]
    assert degrees == [drawings.HIDDEN] * 2 and tuple(model.positions[0].tolist()) in ((0, 1, 2, 3), (1, 2, 3, 4))


def test_the_density_of_the_bins_has_their_masses(drawings: ModuleType) -> None:
    steps = torch.arange(-2, 3, 0.001).tolist()
    assert abs(sum(drawings._bump(t) for t in steps) * 0.001 - 1) < 1e-3


@pytest.mark.parametrize("name", NAMES)
def test_it_is_on_one_page(name: str) -> None:
    pages = [page for page in DOCS.rglob("*.md") if f"```{{diagram}} {name}\n" in page.read_text()]
    assert len(pages) == 1

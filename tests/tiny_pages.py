"""Descriptions and pages of the tiny models of all families, as runs of these families would have them."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

from zoo import VECTORS, seeded

from ancestral.data.pixels import PixelSpace
from ancestral.explorer.describe import describe_model, in_half_precision
from ancestral.explorer.page import page
from ancestral.families.catalogue import BUILT_IN, find
from ancestral.models.base import Model

NOT_SHOWN = ("pixelcnn, zero flag, positions", "circuit of points")  # variants without a form in the browser
GREY = 256  # levels of a source whose pixels the model sees as binary or as fractions


def space_of(model: Model) -> PixelSpace:
    """The first pixel space that a model is a distribution over."""
    return PixelSpace(next(iter(model.spaces)), model.levels or GREY, model.event_shape[0])


def described(family: str, name: str, model: Model | None = None) -> dict[str, Any]:
    """A tiny model of a family, or the one given, as a page has it."""
    record = find(family)
    rounded = in_half_precision(model or seeded(record.code("tiny")[name]))
    return describe_model(name, record, rounded, space_of(rounded), "images of a test")


def by_shape() -> dict[str, list[tuple[str, str]]]:
    """(family, name) of all tiny models of the families that run in the browser, by the shape of their images."""
    groups = defaultdict(list)
    for family in (name for name in BUILT_IN if find(name).explorer):
        for name, make in find(family).code("tiny").items():
            if name not in (*NOT_SHOWN, *VECTORS):
                groups["x".join(map(str, make().event_shape))].append((family, name))
    return dict(groups)


def write_page(path: Path, models: list[dict[str, Any]], title: str = "Tiny models") -> Path:
    path.write_text(page(title, models, None), encoding="utf-8")
    return path

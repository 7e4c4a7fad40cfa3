"""Flows small enough to sum or integrate over all x."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ancestral.families.family import DataSpec
from ancestral.families.flow.points import build_flow
from ancestral.families.flow.settings import FlowSettings
from ancestral.families.tiny import perturbed
from ancestral.models.base import Model

VECTOR = ((3.0, 2.0), (-1.0, 0.5))  # mean and standard deviation of two entries


def tiny_flow(
    shape: tuple[int, ...], levels: int, space: str, shake: float = 0.3, vector: Any = (), **settings: object
) -> Model:
    """A small flow with perturbed weights, so that it is not the identity."""
    tiny: dict[str, object] = {"depth": 2, "hidden": (8,), "couplings": 2, "width": 4, "bins": 3, "scales": 1}
    spec = DataSpec(shape, levels, space, classes=2, conditions=vector)
    flow = build_flow(FlowSettings(**{**tiny, "activation": "tanh", **settings}), spec)  # type: ignore[arg-type]
    return perturbed(flow, shake)


TINY: dict[str, Callable[[], Model]] = {
    "flow, affine": lambda: tiny_flow((2,), 0, "points", layers="affine"),
    "flow, spline": lambda: tiny_flow((3,), 0, "points", mixing="linear"),
    "flow, autoregressive": lambda: tiny_flow((3,), 0, "points", layers="maf", mixing="permute", base_scale=0.5),
    "flow, spline, conditional": lambda: tiny_flow((3,), 0, "points", conditional=True),
    "flow, autoregressive, conditional": lambda: tiny_flow((2,), 0, "points", layers="maf", conditional=True),
    "flow of images, conditional": lambda: tiny_flow((1, 2, 2), 2, "levels", shake=0.15, conditional=True),
    "flow, given a vector": lambda: tiny_flow((3,), 0, "points", vector=VECTOR),
    "flow of images, given a vector": lambda: tiny_flow((1, 2, 2), 2, "levels", shake=0.15, vector=VECTOR),
    "flow of images": lambda: tiny_flow((1, 2, 2), 3, "levels", shake=0.15),
    "flow of images, variational": lambda: tiny_flow((1, 2, 2), 2, "levels", dequantisation="variational", shake=0.15),
    "flow of images, binary, affine": lambda: tiny_flow((1, 2, 2), 9, "threshold", layers="affine", shake=0.15),
}

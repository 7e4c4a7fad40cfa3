"""Flows as descriptions for the explorer's page."""

from __future__ import annotations

from typing import Any

from ancestral.core.errors import NotComputable
from ancestral.distributions.dequantisation import VariationalDequantisation
from ancestral.distributions.portable import bijection_of
from ancestral.families.conditional import described_by_class
from ancestral.families.flow.images import ImageFlow
from ancestral.families.flow.points import NormalizingFlow
from ancestral.networks.layers import layers_of

PLANE = (2,)  # shape of a point that a page can show


def flow(model: NormalizingFlow | ImageFlow) -> dict[str, Any]:
    """Kind `point-flow` or `image-flow`: see `explorer/engine/flow.js`.

    Raises:    NotComputable: points with more or fewer than two coordinates; a layer or network that the page does not
               know.
    """
    if isinstance(model, NormalizingFlow):
        return described_by_class(model, _of_points)
    return described_by_class(model, _of_images)


def _of_points(model: NormalizingFlow) -> dict[str, Any]:
    if model.event_shape != PLANE:
        raise NotComputable(f"the page shows points of the plane, and these have {model.event_shape[0]} coordinates")
    log_variance = float(model.log_variance.flatten()[0])
    bijection = bijection_of(model.bijection, model.condition)
    return {"kind": "point-flow", "bijection": bijection, "log_variance": log_variance}


def _of_images(model: ImageFlow) -> dict[str, Any]:
    noise = model.dequantisation
    described = None
    if isinstance(noise, VariationalDequantisation):
        described = {
            "network": layers_of(noise.network),
            "bijection": bijection_of(noise.bijection),
            "base_shape": list(noise.base_shape),
        }
    return {
        "kind": "image-flow",
        "levels": model.levels,
        "bijection": bijection_of(model.bijection, model.condition),
        "dequantisation": described,
    }

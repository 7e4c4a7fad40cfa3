"""Flows as descriptions for the explorer's page."""

from __future__ import annotations

from typing import Any

from ancestral.core.errors import NotComputable
from ancestral.distributions.dequantisation import VariationalDequantisation
from ancestral.distributions.portable import bijection_of
from ancestral.families.conditional import refuse_classes
from ancestral.families.flow.images import ImageFlow
from ancestral.families.flow.points import NormalizingFlow
from ancestral.networks.layers import layers_of

PLANE = (2,)  # shape of a point that a page can show


def flow(model: NormalizingFlow | ImageFlow) -> dict[str, Any]:
    """Kind `point-flow` or `image-flow`: see `explorer/engine/flow.js`.

    Raises:    NotComputable: points with more or fewer than two coordinates; a layer or network that the page does not
               know; classes.
    """
    refuse_classes(model)
    if isinstance(model, NormalizingFlow):
        if model.event_shape != PLANE:
            raise NotComputable(
                f"the page shows points of the plane, and these have {model.event_shape[0]} coordinates"
            )
        log_variance = float(model.log_variance.flatten()[0])
        return {"kind": "point-flow", "bijection": bijection_of(model.bijection), "log_variance": log_variance}
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
        "bijection": bijection_of(model.bijection),
        "dequantisation": described,
    }

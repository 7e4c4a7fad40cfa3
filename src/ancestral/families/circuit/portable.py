"""The circuit as a description for the explorer's page."""

from __future__ import annotations

from typing import Any

from ancestral.core.errors import NotComputable
from ancestral.families.circuit.leaves import BernoulliLeaves, CategoricalLeaves, LogisticLeaves, PixelLeaves
from ancestral.families.circuit.model import Circuit

MOST = 12_000_000  # parameters: about 20 MB in a page

LEAVES = {
    BernoulliLeaves: ("bernoulli", ("logits",)),
    CategoricalLeaves: ("categorical", ("logits",)),
    LogisticLeaves: ("logistic", ("means", "log_scales")),
    PixelLeaves: ("pixel", ()),
}


def circuit(model: Circuit) -> dict[str, Any]:
    """Kind `circuit`: see `explorer/engine/circuit.js`.

    Raises:    NotComputable: columns of a table, or too many parameters for a page.
    """
    if type(model.leaves) not in LEAVES:
        raise NotComputable("a circuit of points cannot be shown in the browser: the page has circuits of images only")
    count = sum(part.numel() for part in model.parameters())
    if count > MOST:
        raise NotComputable(
            f"a page has circuits of up to {MOST:,} parameters, and this has {count:,}: use fewer --states or "
            "--components"
        )
    name, tensors = LEAVES[type(model.leaves)]
    return {
        "kind": "circuit",
        "classes": model.classes,
        "levels": model.levels,
        "nodes": model.node_pixels.shape[1],
        "states": model.states,
        "log_weights": model.weights,
        "pixels": model.node_pixels,
        "parents": model.node_parents,
        "roots": model.roots,
        "transitions": model.transitions,
        "leaves": {"type": name, **{key: getattr(model.leaves, key) for key in tensors}},
    }

"""The mixture as a description for the explorer's page."""

from __future__ import annotations

from typing import Any

from ancestral.families.mixture.model import MixtureOfBernoullis


def mixture(model: MixtureOfBernoullis) -> dict[str, Any]:
    """Kind `mixture`: see `explorer/engine/mixture.js`."""
    return {"kind": "mixture", "log_weights": model.b, "logits": model.logits, "classes": model.classes}

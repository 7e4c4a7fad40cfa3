"""The GAN as a description for the explorer's page."""

from __future__ import annotations

from typing import Any

from ancestral.families.gan.model import GAN
from ancestral.networks.layers import layers_of


def gan(model: GAN) -> dict[str, Any]:
    """Kind `generator`: see `explorer/engine/generator.js`.

    Raises:    NotComputable: a network that the page does not know.
    """
    return {
        "kind": "generator",
        "latents": model.latents,
        "classes": model.classes,
        "images": model.draws_images,
        "generator": layers_of(model.generator),
    }

"""Belief nets as descriptions for the explorer's page."""

from __future__ import annotations

from typing import Any

from ancestral.core.errors import NotComputable
from ancestral.families.belief_net.exact import SigmoidBeliefNet
from ancestral.models.base import Model

MAX_LATENTS = 16  # 65,536 states: a sum over them takes a few milliseconds in a browser


def belief_net(model: Model) -> dict[str, Any]:
    """Kind `belief-net`: see `explorer/engine/beliefnet.js`.

    Raises:    NotComputable: a net with several layers, or with too many causes to sum over in a page.
    """
    if not isinstance(model, SigmoidBeliefNet):
        raise NotComputable("a belief net with a recognition network cannot be shown in the browser yet")
    if len(model.b) > MAX_LATENTS:
        raise NotComputable(f"a page sums over the states of {MAX_LATENTS} causes at most, not {len(model.b)}")
    return {"kind": "belief-net", "b": model.b, "c": model.c, "w": model.w}

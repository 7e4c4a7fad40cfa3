"""Belief nets as descriptions for the explorer's page."""

from __future__ import annotations

from typing import Any

from ancestral.core.errors import NotComputable
from ancestral.families.belief_net.exact import SigmoidBeliefNet
from ancestral.families.belief_net.helmholtz import Centred, HelmholtzMachine
from ancestral.networks.layers import Layer, layers_of

MAX_LATENTS = 16  # 65,536 states: a sum over them takes a few milliseconds in a browser


def belief_net(model: SigmoidBeliefNet | HelmholtzMachine) -> dict[str, Any]:
    """Kind `belief-net`: see `explorer/engine/beliefnet.js`; or `deep-belief-net`: see `explorer/engine/deepnet.js`.

    Raises:    NotComputable: an exact net with too many causes to sum over in a page.
    """
    if isinstance(model, HelmholtzMachine):
        return {
            "kind": "deep-belief-net",
            "widths": model.latents,
            "prior_logits": model.prior_logits,
            "generative": [layers_of(network) for network in model.generative],
            "recognition": [layers_of(network) for network in model.recognition],
            "likelihood": layers_of(model.likelihood.network),
        }
    if len(model.b) > MAX_LATENTS:
        raise NotComputable(f"a page sums over the states of {MAX_LATENTS} causes at most, not {len(model.b)}")
    return {"kind": "belief-net", "b": model.b, "c": model.c, "w": model.w}


@layers_of.register
def _centred(module: Centred) -> list[Layer]:
    return [{"op": "affine", "scale": 2.0, "shift": -1.0}, *layers_of(module.network)]

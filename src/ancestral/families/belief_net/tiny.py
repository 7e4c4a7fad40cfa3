"""Belief nets small enough to sum over all images."""

from __future__ import annotations

from collections.abc import Callable

import torch

from ancestral.families.belief_net.exact import SigmoidBeliefNet
from ancestral.families.belief_net.helmholtz import HelmholtzMachine
from ancestral.models.base import Model


def tiny_helmholtz(*latents: int, side: int = 3) -> HelmholtzMachine:
    """A deep belief net with large weights, so that x depends on the latents; its recognition network is untrained."""
    model = HelmholtzMachine([1, side, side], latents)
    with torch.no_grad():
        model.prior_logits.copy_(0.7 * torch.randn(latents[-1]))
        for network in (*model.generative, model.likelihood):
            for parameter in network.parameters():
                parameter.copy_(0.8 * torch.randn_like(parameter))
    return model


TINY: dict[str, Callable[[], Model]] = {
    "belief net": lambda: SigmoidBeliefNet([1, 3, 3], latents=4, weight_scale=1.5),
    "Helmholtz machine": lambda: tiny_helmholtz(3),
    "Helmholtz machine, two layers": lambda: tiny_helmholtz(2, 2),
}

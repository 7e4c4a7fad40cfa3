"""Circuits small enough to sum over all images."""

from __future__ import annotations

from collections.abc import Callable

import torch

from ancestral.families.circuit.gaussian_leaves import GaussianLeaves
from ancestral.families.circuit.model import Circuit
from ancestral.families.circuit.structure import Structure, rooted
from ancestral.models.base import Model


def tiny_circuit(
    components: int = 1, states: int = 3, leaves: str = "bernoulli", levels: int = 2, classes: int = 0
) -> Circuit:
    """A circuit with random trees and clearly dependent pixels: 9 binary pixels, or 4 with more levels."""
    side = 3 if levels == 2 else 2
    model = Circuit([1, side, side], states, components, leaves, levels, classes, weight_scale=1.5)
    for component in range(components):
        nodes = torch.randperm(side * side)
        edges = [(int(nodes[i]), int(nodes[torch.randint(i, ())])) for i in range(1, len(nodes))]
        model.set_structure(component, rooted(edges, len(nodes)))
    with torch.no_grad():
        model.weights.copy_(0.5 * torch.randn(components) if components > 1 else model.weights)
    return model


def tiny_point_circuit(components: int = 1) -> Circuit:
    """A circuit of two real columns, with clearly separate normal densities."""
    model = Circuit([2], 3, components, "gaussian", None, weight_scale=0.8)
    model.set_structure(components - 1, Structure(torch.tensor([1, 0]), torch.tensor([0, 0])))
    assert isinstance(model.leaves, GaussianLeaves)
    with torch.no_grad():
        model.leaves.centre.copy_(torch.tensor([1.0, -0.5]))
        model.leaves.spread.copy_(torch.tensor([0.5, 2.0]))
        model.weights.copy_(0.5 * torch.randn(components) if components > 1 else model.weights)
    return model


TINY: dict[str, Callable[[], Model]] = {
    "circuit": lambda: tiny_circuit(components=3),
    "circuit of one tree": tiny_circuit,
    "circuit, Chow-Liu tree": lambda: tiny_circuit(states=2, leaves="pixel"),
    "circuit, Chow-Liu tree, levels": lambda: tiny_circuit(states=4, leaves="pixel", levels=4),
    "circuit by class": lambda: tiny_circuit(components=4, classes=2),
    "circuit, categorical": lambda: tiny_circuit(leaves="categorical", levels=5),
    "circuit of points": lambda: tiny_point_circuit(components=2),
    "circuit, logistic": lambda: tiny_circuit(leaves="logistic", levels=6),
}

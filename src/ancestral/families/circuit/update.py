"""The M step: parameters of a tree from expected counts."""

from __future__ import annotations

import torch

from ancestral.families.circuit.gaussian_leaves import GaussianLeaves
from ancestral.families.circuit.messages import Counts, downward, leaf_probs, upward
from ancestral.families.circuit.model import Circuit


@torch.no_grad()
def set_from_counts(model: Circuit, component: int, counts: Counts, smoothing: float) -> None:
    """Set the parameters of a tree to those that maximise the expected log-probability.

        p(z = j | z of the parent = k) = (n_kj + a / K) / (n_k + a),   and equally for root and leaves

    Args:      counts: see `Counts`; those of the leaves may have a further row for missing pixels, which is not used.
               smoothing: a, the pseudo-count of each conditional distribution, in the unit of the counts.
    """
    states, levels, leaves = model.states, model.levels, model.leaves
    model.roots[component] = (counts.root + smoothing / states).log()
    smoothed = counts.transitions + smoothing / states
    torch.log(smoothed.div_(smoothed.sum(2, keepdim=True)), out=model.transitions.data[component])
    if isinstance(leaves, GaussianLeaves):
        leaves.fit(component, counts.leaves + smoothing * leaves.pseudo)
    elif levels is not None:
        leaves.fit(component, counts.leaves[:, :levels] + smoothing / levels)


@torch.no_grad()
def expected_counts(model: Circuit, component: int) -> Counts:
    """The expected counts of one image under the tree itself, with all pixels present."""
    tree, one = model.tree(component), torch.ones(1, dtype=model.dtype, device=model.node_pixels.device)
    missing = torch.full((model.node_pixels.shape[1], 1), model.levels or 0, device=model.node_pixels.device)
    counts = downward(tree, missing, upward(tree, missing), one)
    leaves = model.leaves
    each = leaves.expected(component) if isinstance(leaves, GaussianLeaves) else leaf_probs(tree)
    return counts._replace(leaves=each * counts.leaves[:, -1:])

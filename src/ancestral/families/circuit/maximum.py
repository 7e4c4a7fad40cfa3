"""The most probable completion of an image jointly with the hidden states, by max-product messages."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ancestral.families.circuit.messages import Tree

NUMBERS = 1 << 22  # numbers in one array of pairs of states


class Most(NamedTuple):
    """The most probable states of B images. log_prob: log max p(x, z), shape (B,). states: shape (D, B)."""

    log_prob: Tensor
    states: Tensor


def most_probable(tree: Tree, codes: Tensor, peaks: Tensor | None = None) -> Most:
    """The states z and missing pixels with the largest joint probability p(x, z), given the observed pixels.

    A missing pixel has its most probable value given its state. Sums over states are replaced by maxima, in the log
    domain.

    Args:      codes: shape (D, B), see `codes_of`. peaks: the largest log p(x | z) over x of each node, shape (D, K);
               None: that of the table of leaves.
    """
    log_leaves = tree.leaves.log() + tree.heights[..., None]
    log_leaves[:, -1] = log_leaves[:, :-1].amax(1) if peaks is None else peaks
    log_transitions, count = tree.transitions.log(), codes.shape[1]
    below, choices = tree.root.new_empty(0), []
    for level in reversed(tree.levels):
        nodes = torch.arange(level.first, level.last, device=codes.device)[:, None]
        here = log_leaves[nodes, codes[level.first : level.last]]  # (n, B, K)
        for places in level.children:
            here[: len(places)] += below.index_select(0, places)
        if not level.first:
            log_prob, root = (here[0] + tree.root.log()).max(1)
            break
        passed = [
            (here[:, some, None] + log_transitions[level.first - 1 : level.last - 1, None]).max(3)
            for some in torch.arange(count, device=codes.device).split(_at_once(len(nodes), here.shape[2]))
        ]
        below = torch.cat([part.values for part in passed], 1)
        choices.append(torch.cat([part.indices for part in passed], 1))  # the best state for each state of the parent
    found = [root[None]]
    for level, best in zip(tree.levels[1:], reversed(choices), strict=True):
        above = found[-1].index_select(0, level.parents)
        found.append(best.gather(2, above[..., None])[..., 0])
    return Most(log_prob, torch.cat(found))


def _at_once(nodes: int, states: int) -> int:
    """Images whose pairs of states of one level fit into one array."""
    return max(1, NUMBERS // (nodes * states * states))


def most_probable_pixels(tree: Tree, states: Tensor) -> Tensor:
    """The most probable level of each pixel given its state, shape (D, B)."""
    log_leaves = tree.leaves[:, :-1].log() + tree.heights[:, :-1, None]
    return log_leaves.argmax(1).gather(1, states)

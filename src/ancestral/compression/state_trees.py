"""Bits-back coding over the hidden states of a tree, with their exact posterior: an image costs -log p(x).

The tree of an image is popped with p(c | x), then its states from the root down with p(z_d | z_parent, x), from
messages of the leaves. The pixels are pushed given the states, then the states given their parents, then the tree.
Messages and transitions are multiples of 2^-23, so that sums of their products are exact in any order; see
`fixed_point`.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ancestral.compression.code import Code
from ancestral.compression.functions import exp, log
from ancestral.compression.grid import NotExact, on_grid
from ancestral.compression.pixels import BitTable, LevelTable, Table
from ancestral.compression.stack import Array, Stack
from ancestral.compression.tables import edges_of, edges_of_weights
from ancestral.models.base import HasStateTrees, Model, StateTree

MESSAGE_BITS = 23
UNIT = float(1 << MESSAGE_BITS)
MOST_STATES = 1 << (53 - 2 * MESSAGE_BITS)


class Level(NamedTuple):
    """The nodes of one depth. nodes: their numbers, shape (n,). parents: the places of their parents in the level
    above, shape (n,); empty for the root."""

    nodes: Tensor
    parents: Tensor


class Numbers(NamedTuple):
    """A tree with numbers.

    Args:      levels: from the root down. pixels: the pixel of each node, shape (D,). root, transitions: tables of
               edges of p(z), shapes (K + 1,) and (D - 1, K, K + 1). pushed: exact transitions, shape (D, K, K); the
               root's rows are its probabilities. leaves: log p(x | z) of each node, level and state, (D, L, K).
    """

    levels: list[Level]
    pixels: Tensor
    root: Array
    transitions: Array
    pushed: Tensor
    leaves: Tensor


class ByTrees(Code):
    """Bits-back coding over a tree and its hidden states."""

    method = "bits-back with the exact posterior over trees and hidden states"

    def __init__(self, model: Model, portable: bool = True) -> None:
        super().__init__(model, portable)
        assert isinstance(self.model, HasStateTrees)
        with self.exact():
            self.log_prior = self.model.log_prior_trees()
            trees = self.model.state_trees()
        if trees[0].log_root.shape[0] > MOST_STATES:
            raise NotExact(f"more than {MOST_STATES} hidden states: their sums are not exact")
        self.trees = [_numbers(tree) for tree in trees]
        self._prior = edges_of(self.log_prior.numpy())
        self.numbers = self.trees[0].pushed.shape[0] * self.trees[0].pushed.shape[1]

    def push(self, stack: Stack, x: Tensor) -> None:
        rows = x.flatten(1).long()
        chosen = stack.pop(self._posterior(rows))
        groups = self._groups(chosen)
        states = [_pop_posterior(stack, tree, rows[at]) for tree, at in groups]
        for (tree, at), z in reversed(list(zip(groups, states, strict=True))):
            _pixels(tree, z).push(stack, rows[at][:, tree.pixels].numpy())
            _push_prior(stack, tree, z)
        stack.push_symbols(chosen, np.broadcast_to(self._prior, (len(x), len(self._prior))))

    def pop(self, stack: Stack, n: int) -> Tensor:
        chosen = stack.pop(np.broadcast_to(self._prior, (n, len(self._prior))))
        groups = self._groups(chosen)
        rows = torch.zeros(n, len(self.trees[0].pixels), dtype=torch.long)
        states = []
        for tree, at in groups:
            z = _pop_prior(stack, tree, len(at))
            values = torch.from_numpy(_pixels(tree, z).pop(stack)).long()
            rows[at] = torch.zeros_like(values).index_copy_(1, tree.pixels, values)
            states.append(z)
        for (tree, at), z in reversed(list(zip(groups, states, strict=True))):
            _push_posterior(stack, tree, rows[at], z)
        stack.push_symbols(chosen, self._posterior(rows))
        return rows.double().view(n, *self.model.event_shape)

    def _groups(self, chosen: Array) -> list[tuple[Numbers, Tensor]]:
        """Each tree that has images, with the numbers of its images."""
        return [(self.trees[c], torch.from_numpy(np.flatnonzero(chosen == c))) for c in np.unique(chosen)]

    def _posterior(self, rows: Tensor) -> Array:
        """Tables of p(c | x), shape (n, C + 1)."""
        return edges_of(self._joint(rows).numpy())

    def _joint(self, rows: Tensor) -> Tensor:
        found = [_messages(tree, rows).log_prob for tree in self.trees]
        return torch.stack(found, 1) + self.log_prior

    def probe(self, x: Tensor) -> list[Array]:
        return [self._joint(x.flatten(1).long()).numpy()]


class Messages(NamedTuple):
    """evidence: p(pixels at and below a node | its state) up to a factor, with maximum 1, for the nodes of each level,
    shape (n, B, K). log_prob: log p(x), shape (B,), on the grid."""

    evidence: list[Tensor]
    log_prob: Tensor


def _numbers(tree: StateTree) -> Numbers:
    depth, parents = [0] * len(tree.parents), tree.parents.tolist()
    for node in range(1, len(parents)):
        depth[node] = depth[parents[node]] + 1
    by_depth = [[node for node, at in enumerate(depth) if at == d] for d in range(max(depth) + 1)]
    levels = [Level(torch.tensor(by_depth[0]), torch.empty(0, dtype=torch.long))]
    for above, here in pairwise(by_depth):
        place = {node: at for at, node in enumerate(above)}
        levels.append(Level(torch.tensor(here), torch.tensor([place[parents[node]] for node in here])))
    states = len(tree.log_root)
    root = tree.log_root.expand(1, states, states)
    return Numbers(
        levels,
        tree.pixels,
        edges_of(tree.log_root.numpy()),
        edges_of(tree.log_transitions.numpy()),
        _fine(exp(torch.cat([root, tree.log_transitions]))),
        tree.log_leaves,
    )


def _fine(x: Tensor) -> Tensor:
    """The nearest multiple of 2^-23 of numbers from 0 to 1."""
    return (x * UNIT + 0.5).floor_().div_(UNIT)


def _leaves(tree: Numbers, nodes: Tensor, rows: Tensor) -> Tensor:
    """log p(x | z) of nodes, shape (n, B, K). rows: (B, D)."""
    values = rows[:, tree.pixels[nodes]].T  # (n, B)
    return tree.leaves[nodes[:, None], values]


def _messages(tree: Numbers, rows: Tensor) -> Messages:
    """From the leaves to the root. Products are elementwise, child after child, and divided by their maximum."""
    evidence: list[Tensor] = []
    below: Tensor | None = None
    log_prob = torch.zeros(len(rows), dtype=torch.float64)
    for at in range(len(tree.levels) - 1, -1, -1):
        level = tree.levels[at]
        logs = _leaves(tree, level.nodes, rows)
        top = logs.amax(2, keepdim=True)
        here = exp(logs - top)
        scale = top[..., 0]
        if below is not None:
            for child, parent in enumerate(tree.levels[at + 1].parents.tolist()):
                product = here[parent] * below[child]
                most = product.amax(1, keepdim=True).clamp_min(2.0**-200)
                here[parent] = product / most
                scale[parent] += on_grid(log(most[:, 0]))
        here = _fine(here)
        evidence.append(here)
        log_prob += scale.sum(0)  # multiples of 2^-16: exact in any order
        below = torch.bmm(here, tree.pushed[level.nodes].mT)  # exact: p(pixels below | state of the parent)
    assert below is not None
    return Messages(evidence[::-1], log_prob + on_grid(log(below[0, :, 0].clamp_min(2.0**-200))))


def _pop_prior(stack: Stack, tree: Numbers, n: int) -> Tensor:
    """States with p(z), shape (n, D)."""
    z = torch.zeros(n, len(tree.pixels), dtype=torch.long)
    for level, parents in _with_parents(tree):
        edges = _prior_edges(tree, level, None if parents is None else z[:, parents], n)
        z[:, level.nodes] = torch.from_numpy(stack.pop(edges)).view(n, -1)
    return z


def _push_prior(stack: Stack, tree: Numbers, z: Tensor) -> None:
    for level, parents in reversed(list(_with_parents(tree))):
        edges = _prior_edges(tree, level, None if parents is None else z[:, parents], len(z))
        stack.push_symbols(z[:, level.nodes].flatten().numpy(), edges)


def _with_parents(tree: Numbers) -> list[tuple[Level, Tensor | None]]:
    """Each level with the numbers of the parents of its nodes."""
    found: list[tuple[Level, Tensor | None]] = [(tree.levels[0], None)]
    for above, level in pairwise(tree.levels):
        found.append((level, above.nodes[level.parents]))
    return found


def _prior_edges(tree: Numbers, level: Level, above: Tensor | None, n: int) -> Array:
    """Tables of p(z | z of the parent) of a level, shape (n * nodes, K + 1). above: states of the parents."""
    if above is None:
        return np.broadcast_to(tree.root, (n, len(tree.root)))
    return tree.transitions[level.nodes.numpy() - 1, above.numpy()].reshape(-1, tree.transitions.shape[-1])


def _posterior_edges(tree: Numbers, level: Level, evidence: Tensor, above: Tensor | None) -> Array:
    """Tables of p(z | z of the parent, x) of a level, shape (n * nodes, K + 1)."""
    prior = tree.pushed[0, 0].expand(evidence.shape[1], 1, -1)
    if above is not None:
        prior = tree.pushed[level.nodes, above]  # (n, nodes, K)
    return edges_of_weights((prior * evidence.transpose(0, 1)).flatten(0, 1).numpy())


def _pop_posterior(stack: Stack, tree: Numbers, rows: Tensor) -> Tensor:
    """States with p(z | x), shape (n, D)."""
    z = torch.zeros(len(rows), len(tree.pixels), dtype=torch.long)
    messages = _messages(tree, rows)
    for (level, parents), evidence in zip(_with_parents(tree), messages.evidence, strict=True):
        edges = _posterior_edges(tree, level, evidence, None if parents is None else z[:, parents])
        z[:, level.nodes] = torch.from_numpy(stack.pop(edges)).view(len(rows), -1)
    return z


def _push_posterior(stack: Stack, tree: Numbers, rows: Tensor, z: Tensor) -> None:
    messages = _messages(tree, rows)
    steps = list(zip(_with_parents(tree), messages.evidence, strict=True))
    for (level, parents), evidence in reversed(steps):
        edges = _posterior_edges(tree, level, evidence, None if parents is None else z[:, parents])
        stack.push_symbols(z[:, level.nodes].flatten().numpy(), edges)


def _pixels(tree: Numbers, z: Tensor) -> Table:
    """Tables of p(x | z) of all nodes, in the order of the nodes, shape (n, D)."""
    nodes = torch.arange(z.shape[1])
    logs = tree.leaves.mT[nodes, z]  # (n, D, L)
    if logs.shape[-1] == 2:
        return BitTable.of(logs[..., 1] - logs[..., 0])
    return LevelTable.of(logs)

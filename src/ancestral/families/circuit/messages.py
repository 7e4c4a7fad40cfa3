"""Messages between the nodes of a tree: log p(x), expected counts, and posteriors, in time linear in the pixels.

Messages are probabilities, rescaled at each node. Where a product of messages could underflow, the level is computed
again from logarithms. A message below the smallest positive number of the format (1e-38 in single precision) is
replaced by this number, so every image has a finite log p(x). Pseudo-counts keep trained parameters far above it.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ancestral.families.circuit.layout import Level

SMALL = 0.65  # products below tiny^SMALL (1e-25 in single precision) are computed again from logarithms


class Tree(NamedTuple):
    """One tree with numbers: D nodes, K states, L levels of a pixel.

    Args:      levels: from the root down. root: p(z of the root), shape (K,). transitions: p(z of a node | z of its
               parent) for the nodes 1 to D - 1, shape (D - 1, K, K), rows for the parent's state. leaves: p(x | z),
               shape (D, L + 1, K); row L is for a missing pixel. Each row is divided by its maximum. heights: the log
               of these maxima, shape (D, L + 1).
    """

    levels: list[Level]
    root: Tensor
    transitions: Tensor
    leaves: Tensor
    heights: Tensor

    @classmethod
    def of(cls, levels: list[Level], log_root: Tensor, log_transitions: Tensor, log_leaves: Tensor) -> Tree:
        """From log-probabilities of shape (K,), (D - 1, K, K) and (D, L, K)."""
        tiny = torch.finfo(log_root.dtype).tiny
        bare = log_root.new_empty(0)
        tree = cls(levels, log_root.exp().clamp_min(tiny), log_transitions.exp().clamp_min_(tiny), bare, bare)
        return tree.with_leaves(log_leaves)

    def with_leaves(self, log_leaves: Tensor) -> Tree:
        """The same tree with other leaves: log p(x | z) of R values of each node, shape (D, R, K)."""
        heights = log_leaves.amax(2)
        nodes, _, states = log_leaves.shape
        scaled = torch.cat([(log_leaves - heights[..., None]).exp(), log_leaves.new_ones(nodes, 1, states)], 1)
        return self._replace(leaves=scaled, heights=torch.cat([heights, heights.new_zeros(nodes, 1)], 1))

    def into(self, first: int, last: int) -> Tensor:
        """p(z | z of the parent) of the nodes first to last - 1, none of which is the root."""
        return self.transitions[first - 1 : last - 1]


class Counts(NamedTuple):
    """Expected counts, summed over images: of the root's state (K,), of the pairs of states of parent and node
    (D - 1, K, K), and of level (or missing) and state of each node (D, L + 1, K)."""

    root: Tensor
    transitions: Tensor
    leaves: Tensor


class Upward(NamedTuple):
    """The messages from the leaves to the root for B images; the lists have an entry for each level below the root.

    Args:      log_prob: log p(observed pixels), shape (B,), nats. top: p(all pixels | z of the root), up to a factor
               for each image, shape (1, B, K). value: its mean over z, shape (B,). inside: p(pixels below | z) of the
               inner nodes, up to a factor for each node and image, shape (n, B, K). passed: the same for the state of
               the parent. bare: the messages of the nodes without children, for each value of their pixel, shape
               (n, L + 1, K).
    """

    log_prob: Tensor
    top: Tensor
    value: Tensor
    inside: list[Tensor]
    passed: list[Tensor]
    bare: list[Tensor]


def codes_of(x: Tensor, order: Tensor, levels: int, observed: Tensor | None = None) -> Tensor:
    """The row of the table of leaves for each node and image, shape (D, B): the level, or L for a missing pixel.

    Args:      x: whole levels, shape (B, D). observed: boolean, shape (B, D); None: all.
    """
    values = x.long() if observed is None else torch.where(observed, x, levels).long()
    return values.T.index_select(0, order)


def upward(tree: Tree, codes: Tensor, keep: bool = True) -> Upward:
    """The messages from the leaves to the root.

    Args:      codes: see `codes_of`. keep: False saves the memory of the messages, if only `log_prob` is needed.
    """
    count, tiny = codes.shape[1], torch.finfo(tree.root.dtype).tiny
    log_prob = tree.heights.gather(1, codes).sum(0)
    inside, passed, bare = [], [], []
    below = tree.root.new_empty(0)
    for level in reversed(tree.levels):
        inner = max(level.inner, 1)  # the root is treated as an inner node even if it has no children
        here, log_scale = _product(tree, level, inner, codes, below)
        log_prob += log_scale
        if not level.first:
            value = (here[0] @ tree.root).clamp_min(tiny)
            return Upward(log_prob + value.log(), here, value, inside[::-1], passed[::-1], bare[::-1])
        below = tree.root.new_empty(level.last - level.first, count, len(tree.root))
        split = level.inner - level.first
        if split:
            torch.bmm(here, tree.into(level.first, inner).mT, out=below[:split]).clamp_min_(tiny)
        table = (tree.leaves[inner : level.last] @ tree.into(inner, level.last).mT).clamp_min_(tiny)
        below[split:] = _rows(table, codes[inner : level.last])
        if keep:
            inside.append(here)
            passed.append(below[:split])
            bare.append(table)
    raise AssertionError("a tree has a root")


def _rows(table: Tensor, codes: Tensor) -> Tensor:
    """The rows of a table (n, R, K) at codes (n, B), shape (n, B, K)."""
    nodes, rows, width = table.shape
    flat = codes + rows * torch.arange(nodes, device=codes.device)[:, None]
    return table.flatten(0, 1).index_select(0, flat.flatten()).view(nodes, codes.shape[1], width)


def _product(tree: Tree, level: Level, inner: int, codes: Tensor, below: Tensor) -> tuple[Tensor, Tensor]:
    """The products of a level's leaves and the messages of its children, with maximum 1, and the log of the scale.

    Returns:   shapes (n, B, K) and (B,).
    """
    leaves = _rows(tree.leaves[level.first : inner], codes[level.first : inner])
    here = leaves
    for places in level.children:
        here[: len(places)].mul_(below.index_select(0, places))
    top = here.amax(2, keepdim=True)
    if bool((top < torch.finfo(top.dtype).tiny ** SMALL).any()):
        here = _rows(tree.leaves[level.first : inner], codes[level.first : inner]).log()
        for places in level.children:
            here[: len(places)] += below.index_select(0, places).log()
        top = here.amax(2, keepdim=True)
        return (here - top).exp_(), top.sum((0, 2))
    return here.div_(top), top.log_().sum((0, 2))


def downward(tree: Tree, codes: Tensor, up: Upward, weights: Tensor) -> Counts:
    """Expected counts of states and pairs of states, summed over images with their weights, shape (B,).

    They are also the gradient of sum_b w_b log p(x_b) in the log-probabilities of the tree.

    Returns:   counts; those of the leaves with a further row, for missing pixels: shape (D, L + 1, K).
    """
    root = up.top * tree.root * (weights / up.value)[:, None]
    transitions, leaves = torch.empty_like(tree.transitions), torch.empty_like(tree.leaves)
    leaves[:1] = _by_value(codes[:1], root, tree)
    here = root
    for level, inside, passed, bare in zip(tree.levels[1:], up.inside, up.passed, up.bare, strict=True):
        first, inner, last = level.first, level.inner, level.last
        above = here.index_select(0, level.parents)
        ratio, table = above[: inner - first].div_(passed), tree.into(first, inner)
        torch.mul(torch.bmm(ratio.mT, inside), table, out=transitions[first - 1 : inner - 1])
        here = torch.bmm(ratio, table).mul_(inside)
        leaves[first:inner] = _by_value(codes[first:inner], here, tree)
        # a node without children has one message for each value of its pixel, so images with this value are summed
        sums, table = _by_value(codes[inner:last], above[inner - first :], tree).div_(bare), tree.into(inner, last)
        torch.mul(torch.bmm(sums.mT, tree.leaves[inner:last]), table, out=transitions[inner - 1 : last - 1])
        torch.mul(torch.bmm(sums, table), tree.leaves[inner:last], out=leaves[inner:last])
    return Counts(root[0].sum(0), transitions, leaves)


def _by_value(codes: Tensor, posteriors: Tensor, tree: Tree) -> Tensor:
    """Posteriors (n, B, K) summed over the images with each value of the pixel, codes (n, B); returns (n, L + 1, K)."""
    values = torch.arange(tree.leaves.shape[1], device=codes.device)[:, None]
    return torch.bmm((codes[:, None] == values).to(posteriors.dtype), posteriors)


def posteriors(tree: Tree, codes: Tensor, up: Upward) -> Tensor:
    """p(z_d | observed pixels) of every node and image, shape (D, B, K)."""
    found = [up.top * tree.root / up.value[:, None]]
    for level, inside, passed, bare in zip(tree.levels[1:], up.inside, up.passed, up.bare, strict=True):
        split = level.inner - level.first
        ratio = found[-1].index_select(0, level.parents)
        ratio[:split].div_(passed)
        ratio[split:].div_(_rows(bare, codes[level.inner : level.last]))
        here = torch.bmm(ratio, tree.into(level.first, level.last))
        here[:split].mul_(inside)
        here[split:].mul_(_rows(tree.leaves[level.inner : level.last], codes[level.inner : level.last]))
        found.append(here)
    return torch.cat(found)


def draw_states(tree: Tree, codes: Tensor, up: Upward, count: int) -> Tensor:
    """Exact samples of all hidden states given the observed pixels, shape (D, B), int64.

    Args:      count: B; the messages may be those of a single image, of which B samples are drawn.
    """
    found = [_draw((up.top * tree.root).expand(1, count, -1))]
    for level, inside in zip(tree.levels[1:], up.inside, strict=True):
        parents = found[-1].index_select(0, level.parents)
        below = _rows(tree.leaves[level.inner : level.last], codes[level.inner : level.last])
        evidence = torch.cat([inside, below])  # (n, 1 or B, K)
        found.append(_draw(_rows(tree.into(level.first, level.last), parents) * evidence))
    return torch.cat(found)


def _draw(weights: Tensor) -> Tensor:
    """Samples in proportion to weights along the last axis, by the inverse cumulative distribution."""
    cumulative = weights.cumsum(-1)
    below_one = 1 - 2 * torch.finfo(weights.dtype).eps  # so that rounding cannot select a state after the last one
    noise = torch.rand(weights.shape[:-1], dtype=weights.dtype, device=weights.device) * below_one
    return (cumulative <= (noise * cumulative[..., -1])[..., None]).sum(-1)


def leaf_probs(tree: Tree) -> Tensor:
    """p(x | z) of each node, shape (D, L, K)."""
    return tree.leaves[:, :-1] * tree.heights[:, :-1, None].exp()


def draw_pixels(tree: Tree, states: Tensor) -> Tensor:
    """Samples of the pixel of each node given its state, shape (D, B), int64."""
    return _draw(_rows(leaf_probs(tree).mT, states))


def leaf_means(tree: Tree) -> Tensor:
    """E[x | z] of each node, shape (D, K)."""
    probs = leaf_probs(tree)
    return torch.arange(probs.shape[1], dtype=probs.dtype, device=probs.device) @ probs


def means_given_root(tree: Tree, means: Tensor) -> Tensor:
    """E[x of each node | state of the root], shape (D, K). means: E[x | z] of each node, shape (D, K)."""
    states = [torch.eye(len(tree.root), dtype=tree.root.dtype, device=tree.root.device)[None]]  # (n, K of the root, K)
    for level in tree.levels[1:]:
        states.append(states[-1].index_select(0, level.parents) @ tree.into(level.first, level.last))
    return (torch.cat(states) @ means[..., None])[..., 0]

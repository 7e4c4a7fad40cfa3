"""The levels of a tree as index tensors, with which all nodes of a level are computed together."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from ancestral.core.errors import InputError


class Level(NamedTuple):
    """The nodes of one depth: `first` to `last` - 1.

    Args:      first, inner, last: nodes first to inner - 1 have children, nodes inner to last - 1 have none.
               parents: for each node, the place of its parent in the level above, shape (n,); empty for the root.
               children: for r = 0, 1, ...: the place in the level below of child r of each node that has one.
    """

    first: int
    inner: int
    last: int
    parents: Tensor
    children: tuple[Tensor, ...]


def levels_of(order: Tensor, parents: Tensor) -> list[Level]:
    """The levels of a tree, from the root down.

    Args:      order, parents: see `Structure`.
    Raises:    InputError: they do not describe a tree in the required order.
    """
    above, pixels = parents.tolist(), order.tolist()
    count = len(above)
    if sorted(pixels) != list(range(count)) or above[0] != 0 or any(not 0 <= p < i for i, p in _children(above)):
        raise InputError("the circuit's tree is not valid: every node needs one earlier parent and one pixel")
    depth, degree = [0] * count, [0] * count
    for node, parent in _children(above):
        depth[node] = depth[parent] + 1
        degree[parent] += 1
    ranks = list(zip(depth, (-d for d in degree), strict=True))
    if ranks != sorted(ranks):
        raise InputError("the circuit's tree is not valid: its nodes are not in the order of levels and children")
    bounds = [0, *(node for node in range(1, count) if depth[node] > depth[node - 1]), count]
    return [
        _level(above, degree, bounds[at - 1] if at else 0, first, last, parents.device)
        for at, (first, last) in enumerate(pairwise(bounds))
    ]


def _children(above: list[int]) -> list[tuple[int, int]]:
    """Pairs (node, parent) of all nodes except the root."""
    return list(enumerate(above))[1:]


def _level(above: list[int], degree: list[int], before: int, first: int, last: int, device: torch.device) -> Level:
    """The level of the nodes first to last - 1; `before` is the first node of the level above."""
    inner = first + sum(degree[node] > 0 for node in range(first, last))
    below: list[list[int]] = [[] for _ in range(last - first)]
    for node in range(last, len(above)):
        if first <= above[node] < last:
            below[above[node] - first].append(node - last)
    ranks = [[places[r] for places in below if len(places) > r] for r in range(max(map(len, below)))]
    parents = [above[node] - before for node in range(first, last)] if first else []
    return Level(
        first,
        inner,
        last,
        torch.tensor(parents, dtype=torch.long, device=device),
        tuple(torch.tensor(rank, device=device) for rank in ranks),
    )

"""The structure of a tree, learned from data: pairwise mutual information, and the maximum spanning tree."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ancestral.core.errors import InputError
from ancestral.core.free_memory import available_memory

MOST_BINS = 4  # pixels with more levels are cut into this number of bins
BLOCK = 2000  # images in one matrix product
HALF = 0.5  # pseudo-count of each pair of values


class Structure(NamedTuple):
    """A rooted tree over D pixels, whose nodes are numbered level by level from the root.

    Within a level, nodes with more children come first, so the nodes without children are the last.

    Args:      order: the pixel of each node, shape (D,). parents: the number of each node's parent, shape (D,); 0 for
               the root, which is node 0.
    """

    order: Tensor
    parents: Tensor


def chow_liu(values: Tensor, levels: int | None, seen: Tensor | None = None) -> Structure:
    """The maximum spanning tree of the pairwise mutual information, rooted at its centre.

    Among all trees over the pixels themselves, this one has the highest likelihood.

    Args:      values: whole levels or real numbers, shape (N, D). levels: number L of levels; more than 4, or real
               numbers (None), are cut into 4 bins for each pixel, at the quartiles of its values. seen: boolean, shape
               (N, D): the information of two pixels comes from the images in which both are seen; None: all.
    Reference: Chow and Liu, 1968; Liu and Van den Broeck, 2021, arXiv 2106.02264, for trees with hidden states.
    """
    bins = MOST_BINS if levels is None else min(levels, MOST_BINS)
    information = mutual_information(binned(values, levels, seen), bins)
    return rooted(spanning_tree(information), values.shape[1])


def binned(values: Tensor, levels: int | None, seen: Tensor | None = None) -> Tensor:
    """Values as the numbers of at most 4 bins, shape (N, D), int64, -1 where they are not seen.

    Values of at most 4 levels are not changed.
    """
    if levels is not None and levels <= MOST_BINS:
        return values.long() if seen is None else values.long().where(seen, -1)
    values = values if seen is None else values.where(seen, torch.inf)
    there = torch.full(values.shape[1:], len(values)) if seen is None else seen.sum(0)
    found, ordered = torch.zeros_like(values, dtype=torch.long), values.sort(0).values
    for part in range(1, MOST_BINS):
        rank = (there.to(values.device) * part // MOST_BINS).clamp_max(len(values) - 1)
        found += values >= ordered.gather(0, rank[None])
    return found if seen is None else found.where(seen, -1)


def mutual_information(values: Tensor, bins: int) -> Tensor:
    """I(X_d; X_e) = sum_ab p(a, b) log [p(a, b) / (p(a) p(b))] of all pairs of columns, shape (D, D), nats.

    The counts of all pairs of values come from one matrix product of one-hot vectors. Each pair of values has a
    pseudo-count of 1/2.

    Args:      values: whole numbers 0 to bins - 1, shape (N, D). -1 is missing: the image does not count for the
               pairs of this pixel.
    Raises:    InputError: the pairs need too much memory.
    """
    pixels = values.shape[1]
    needed, free = 4 * 8 * (pixels * bins) ** 2, available_memory()
    if needed > free:
        raise InputError(
            f"not enough memory: the mutual information of all pairs of {pixels:,} pixels needs {needed / 1e9:.1f} GB, "
            f"and {free / 1e9:.1f} GB are available: use smaller images (--resize)"
        )
    pairs = torch.zeros(bins * pixels, bins * pixels, dtype=torch.float64, device=values.device)
    for block in values.split(BLOCK):
        one_hot = torch.cat([(block == value).float() for value in range(bins)], 1)
        pairs += one_hot.T @ one_hot
    joint = pairs.view(bins, pixels, bins, pixels).transpose(1, 2) + HALF  # (a, b, d, e)
    joint = joint / joint.sum((0, 1))  # the images in which both are seen, and the pseudo-counts
    first, second = joint.sum(1, keepdim=True), joint.sum(0, keepdim=True)
    return (joint * (joint.log() - first.log() - second.log())).sum((0, 1))


def spanning_tree(information: Tensor) -> list[list[int]]:
    """The D - 1 edges of a maximum spanning tree, as pairs of pixels.

    Args:      information: symmetric, shape (D, D); the diagonal is ignored.
    """
    from scipy.sparse.csgraph import minimum_spanning_tree

    gain = information.cpu().double().numpy()
    # every cost is positive, because the spanning tree of scipy takes 0 for a missing edge
    cost = gain.max() + 1 - gain
    np.fill_diagonal(cost, 0)
    return np.stack(minimum_spanning_tree(cost).nonzero(), 1).tolist()


def rooted(edges: Iterable[Iterable[int]], pixels: int) -> Structure:
    """A tree with its centre as the root, so that it has the smallest number of levels.

    Args:      edges: D - 1 pairs of the pixels 0 to D - 1 that form a tree. pixels: D.
    """
    neighbours: list[list[int]] = [[] for _ in range(pixels)]
    for one, other in edges:
        neighbours[one].append(other)
        neighbours[other].append(one)
    last = _walk(neighbours, 0)[0][-1]  # a pixel that is far from any other is an end of a longest path
    visited, above, _ = _walk(neighbours, last)
    path = [visited[-1]]
    while path[-1] != last:
        path.append(above[path[-1]])
    visited, above, depth = _walk(neighbours, path[len(path) // 2])
    children = [len(near) - (pixel != visited[0]) for pixel, near in enumerate(neighbours)]
    order = sorted(visited, key=lambda pixel: (depth[pixel], -children[pixel]))
    number = {pixel: node for node, pixel in enumerate(order)}
    parents = [0, *(number[above[pixel]] for pixel in order[1:])]
    return Structure(torch.tensor(order), torch.tensor(parents))


def _walk(neighbours: list[list[int]], root: int) -> tuple[list[int], list[int], list[int]]:
    """Breadth-first search from a root: the pixels in order, and parent and depth of each pixel."""
    visited, above, depth = [root], [-1] * len(neighbours), [0] * len(neighbours)
    for pixel in visited:  # the list grows while it is read
        for near in neighbours[pixel]:
            if near != above[pixel]:
                above[near], depth[near] = pixel, depth[pixel] + 1
                visited.append(near)
    return visited, above, depth


def balanced(pixels: int) -> Structure:
    """A balanced binary tree over the pixels in reading order, for a model that was not fitted to data."""
    above = [max(0, node - 1) // 2 for node in range(pixels)]
    return Structure(torch.tensor(list(range(pixels))), torch.tensor(above))

"""Samples of a model that depend on its weights and on a seed only, not on how the model itself samples.

Every choice compares one number of a stream that never changes with probabilities in double precision. So a later
version of this package, another number of threads or another machine gives the same samples, unless a number of the
stream lies within a rounding error of a limit between two choices. This error is about 1e-16 for trees and 1e-15 for
a network, so even for 60,000 images the probability of another choice is below 1e-6.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch

from ancestral.models.autoregressive import AutoregressiveModel
from ancestral.models.base import HasStateTrees, StateTree

Array = np.ndarray
Uniform = Callable[[int], Array]  # the next numbers of a stream in [0, 1), multiples of 2^-53, shape (n,)

AT_ONCE = 1000  # images that an autoregressive model samples together; it changes no sample


def uniform_stream(seed: int) -> Uniform:
    """A stream of uniform numbers. NumPy guarantees that the raw numbers of Philox never change."""
    bits = np.random.Philox(key=seed)
    return lambda count: (bits.random_raw(count) >> np.uint64(11)) * 2.0**-53


def chosen(uniform: Array, sums: Array) -> Array:
    """The item of each row by inversion. uniform: (n,); sums: see `cumulative`, (n, K) or (K,); returns (n,)."""
    return (uniform[:, None] >= sums[..., :-1]).sum(-1)


def cumulative(log_probs: Array) -> Array:
    """Cumulative sums of probabilities, along the last axis, with the last exactly 1."""
    sums = np.exp(log_probs).cumsum(-1)
    return sums / sums[..., -1:]


def sample_trees(model: HasStateTrees, uniform: Uniform, count: int) -> tuple[Array, Array]:
    """Images of a mixture of trees of hidden states: a tree, its states from the root down, then the pixels.

    Returns:   the number of the tree of each image, shape (count,), and the values of the pixels, shape (count, D).
    """
    trees = chosen(uniform(count), cumulative(model.log_prior_trees().double().numpy()))
    states = model.state_trees()
    pixels = np.empty((count, len(states[0].pixels)), dtype=np.uint8)
    for number in np.unique(trees).tolist():
        rows = np.flatnonzero(trees == number)
        pixels[rows] = _of_tree(states[number], uniform, len(rows))
    return trees, pixels


def _of_tree(tree: StateTree, uniform: Uniform, count: int) -> Array:
    """Values of the pixels, in the order of the pixels, shape (count, D)."""
    transitions = cumulative(tree.log_transitions.double().numpy())
    leaves = cumulative(tree.log_leaves.double().numpy().swapaxes(1, 2))  # (D, K, L)
    parents, at = tree.parents.tolist(), tree.pixels.tolist()
    states = np.empty((len(at), count), dtype=np.int64)
    values = np.empty((count, len(at)), dtype=np.uint8)
    for node, pixel in enumerate(at):
        table = transitions[node - 1, states[parents[node]]] if node else cumulative(tree.log_root.double().numpy())
        states[node] = chosen(uniform(count), table)
        values[:, pixel] = chosen(uniform(count), leaves[node, states[node]])
    return values


def sample_in_order(model: AutoregressiveModel, uniform: Uniform, count: int) -> tuple[Array, Array]:
    """Images of an autoregressive model in double precision: a class from p(y), then pixel after pixel.

    Returns:   the class of each image, shape (count,), and the values of the pixels, shape (count, D).
    """
    labels = torch.from_numpy(chosen(uniform(count), cumulative(model.log_class_probs().numpy())))
    blocks = []
    for some in labels.split(AT_ONCE):
        size = (len(some), *model.event_shape)
        noise = torch.from_numpy(uniform(math.prod(size))).view(size)
        blocks.append(model.given(some).draw(noise).flatten(1).to(torch.uint8))
    return labels.numpy(), torch.cat(blocks).numpy()

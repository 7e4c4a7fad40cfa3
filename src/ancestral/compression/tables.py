"""Tables of integer frequencies, computed from rounded logits with integers only.

The sum of the frequencies of one table is `TOTAL`, and each is at least `LEAST`, so that every symbol can be coded.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from ancestral.compression.stack import TOTAL, Array

LOGIT_BITS = 8  # logits are multiples of 2^-8
REACH = 16  # binary logits are limited to -16..16: a probability of 1e-7 is the least that frequencies can express
DEPTH = 24  # a level whose logit is more than this below the largest has the least frequency
LEAST = 2
WEIGHT_BITS = 32  # e^0 in the table of exponentials
GUARD = 96  # further bits while the tables are made


def rounded(logits: Array) -> Array:
    """Logits as whole multiples of 2^-8, ties upwards; infinite ones become very small or large."""
    limit = float(1 << 40)
    return np.floor(np.clip(logits, -limit, limit) * (1 << LOGIT_BITS) + 0.5).astype(np.int64)


def frequency_of_one(logits: Array) -> Array:
    """Frequency of the value 1 for binary logits, same shape: TOTAL times sigmoid(logit), rounded."""
    at = np.clip(rounded(logits), -(REACH << LOGIT_BITS), REACH << LOGIT_BITS)
    return _sigmoids()[at + (REACH << LOGIT_BITS)]


def edges_of(logits: Array) -> Array:
    """Edges of the intervals of L levels with the probabilities softmax(logits), shape (..., L) to (..., L + 1).

    The remainder of the rounding goes to the first level with the largest logit.
    """
    whole = rounded(logits)
    best = whole.argmax(-1, keepdims=True)
    below = np.take_along_axis(whole, best, -1) - whole
    return _edges(_exponentials()[np.minimum(below, DEPTH << LOGIT_BITS)], best)


def edges_of_weights(weights: Array) -> Array:
    """Edges of the intervals of L levels with probabilities in proportion to weights, which are not negative, shape
    (..., L) to (..., L + 1). The same everywhere: each weight is divided by the largest, and becomes a whole number.
    """
    best = weights.argmax(-1, keepdims=True)
    top = np.take_along_axis(weights, best, -1)
    shares = np.where(top > 0, weights / np.where(top > 0, top, 1), 1)
    return _edges(np.floor(shares * (1 << WEIGHT_BITS)).astype(np.int64), best)


def _edges(weights: Array, best: Array) -> Array:
    """Edges for whole weights of at most 2^32; the remainder of the rounding goes to the level `best`."""
    levels = weights.shape[-1]
    sizes = LEAST + weights * (TOTAL - LEAST * levels) // weights.sum(-1, keepdims=True)
    rest = TOTAL - sizes.sum(-1, keepdims=True)
    np.put_along_axis(sizes, best, np.take_along_axis(sizes, best, -1) + rest, -1)
    edges = np.zeros((*weights.shape[:-1], levels + 1), dtype=np.int64)
    np.cumsum(sizes, -1, out=edges[..., 1:])
    return edges


def edges_from_cumulative(cumulative: Array) -> Array:
    """Edges of the intervals for a cumulative distribution function at the L + 1 edges, from 0 to 1, last axis."""
    levels = cumulative.shape[-1] - 1
    shares = np.floor(np.clip(cumulative, 0, 1) * (TOTAL - LEAST * levels))
    edges = np.maximum.accumulate(shares, -1).astype(np.int64) + LEAST * np.arange(levels + 1)
    edges[..., 0], edges[..., -1] = 0, TOTAL
    return edges


@cache
def _exponentials() -> Array:
    """floor(2^32 e^(-i / 256)) for i up to the depth; 0 at the end."""
    one = 1 << (WEIGHT_BITS + GUARD)
    step, value, table = _exponential_of_step(one), one, []
    for _ in range(DEPTH << LOGIT_BITS):
        table.append(value >> GUARD)
        value = value * step // one
    return np.array([*table, 0], dtype=np.int64)


@cache
def _sigmoids() -> Array:
    """TOTAL sigmoid(i / 256), rounded, for i from -16 * 256 to 16 * 256; at least LEAST, at most TOTAL - LEAST."""
    one = 1 << (WEIGHT_BITS + GUARD)
    step, value, upper = _exponential_of_step(one), one, []
    for _ in range((REACH << LOGIT_BITS) + 1):  # value is e^(-i / 256)
        share = TOTAL * one * 2 // (one + value)
        upper.append(min(max((share + 1) // 2, LEAST), TOTAL - LEAST))
        value = value * step // one
    lower = [TOTAL - ones for ones in upper[:0:-1]]
    return np.array([*lower, *upper], dtype=np.int64)


def _exponential_of_step(one: int) -> int:
    """e^(-1/256) in units of 1 / one, by its series."""
    total, term, n = 0, one, 0
    while term:
        total += term if n % 2 == 0 else -term
        n += 1
        term = term // (n << LOGIT_BITS)
    return total

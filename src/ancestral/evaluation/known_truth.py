"""Comparison of a model with a known distribution: divergences, coverage of intervals, and rank correlation.

All functions take values per image. p is the true distribution, q that of the model.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from ancestral.core.errors import InputError
from ancestral.core.maths import mean_and_error
from ancestral.evaluation.proportions import NORMAL_95, Proportion

MOST_PERMUTED = 8  # with more values, permutations are sampled
PERMUTATIONS = 20_000
BLOCK = 5040  # permutations that are compared together


@dataclass(frozen=True)
class Divergence:
    """An estimate of KL(a || b) = E_a[log a(x) - log b(x)] from samples of a, with its parts.

        KL = missing - excess,   missing = E_a max(0, log a - log b),   excess = E_a max(0, log b - log a)

    Args:      nats: the estimate. stderr: its standard error over images. missing: mean of the positive differences:
               b gives these images too little. excess: mean of the negative differences without their sign: b gives
               these images too much. shared: sum_x min(a(x), b(x)), between 0 and 1: the part of the probability that
               both have in common, 1 minus the total variation distance. shared_stderr: its standard error.
               count: number of images. side: "upper" or "lower" if log a or log b is a bound, so that the divergence
               is at most or at least this value; None if both are exact.
    """

    nats: float
    stderr: float
    missing: float
    excess: float
    shared: float
    shared_stderr: float
    count: int
    side: Literal["upper", "lower"] | None = None

    def to_json(self) -> dict[str, Any]:
        return dict(vars(self))


def divergence(of: Tensor, from_: Tensor, side: Literal["upper", "lower"] | None = None) -> Divergence:
    """KL(a || b) from samples of a, unbiased.

    Args:      of: log a(x) of each sample, shape (N,), nats. from_: log b(x) of the same samples; -inf is allowed.
               side: see `Divergence`.
    Raises:    InputError: shapes differ, there are fewer than two samples, or log a is not finite.
    Example:
        >>> log_p = torch.tensor([-1.0, -2.0, -3.0])
        >>> divergence(log_p, log_p).nats
        0.0
    """
    if of.shape != from_.shape or of.dim() != 1 or len(of) < 2:
        raise InputError(
            f"a divergence needs two values for each of at least two images, not {of.shape}, {from_.shape}"
        )
    if not bool(of.isfinite().all()) or bool(from_.isnan().any()):
        raise InputError("a divergence needs finite log-probabilities of its own samples, and no NaN")
    gaps = of.double() - from_.double()
    common = (-gaps).clamp(max=0).exp()
    return Divergence(
        *mean_and_error(gaps),
        gaps.clamp(min=0).mean().item(),
        (-gaps).clamp(min=0).mean().item(),
        *mean_and_error(common),
        len(gaps),
        side,
    )


def interval_coverage(values: Tensor, size: int, exact: Tensor | None = None) -> Proportion:
    """How often the 95 % interval of a mean over `size` images covers the mean over all other images.

        |m - m'| <= 1.96 sqrt(s^2 / n + s'^2 / (N - n))

    The values are divided into N // n disjoint subsets in their order. The interval allows for the error of the mean of
    the others, which has more images.

    Args:      values: of N images, shape (N,). size: n, at least 2, at most N / 2. exact: values whose mean should be
               covered, if `values` are bounds on them or estimates of them, shape (N,); None: `values` themselves.
    Returns:   the proportion of subsets whose interval covers; near 0.95 if n is large enough for a normal mean.
    Raises:    InputError: other sizes.
    """
    total, trials = len(values), len(values) // max(size, 1)
    if size < 2 or trials < 2:
        raise InputError(f"subsets of {size} of {total} values: give at least 2 and at most half of them")
    values = values.double()
    target = values if exact is None else exact.double()
    covered = 0
    for number in range(trials):
        rows = slice(number * size, (number + 1) * size)
        some, others = values[rows], torch.cat([target[: rows.start], target[rows.stop :]])
        (mean, error), (other, other_error) = mean_and_error(some), mean_and_error(others)
        covered += abs(mean - other) <= NORMAL_95 * math.hypot(error, other_error)
    return Proportion(covered, trials)


@dataclass(frozen=True)
class RankCorrelation:
    """Kendall's tau-b of two rankings, and the probability of a value at least as large in size by chance.

    Args:      tau: from -1 (opposite orders) to 1 (equal orders). p_value: share of the permutations with |tau| at
               least as large, two-sided. count: number of models.
    """

    tau: float
    p_value: float
    count: int


def rank_correlation(first: Sequence[float], second: Sequence[float], seed: int = 0) -> RankCorrelation:
    """Kendall's tau-b, with a permutation test: exact for at most 8 values, else with sampled permutations.

    Args:      first, second: values of the same models. seed: of sampled permutations.
    Raises:    InputError: fewer than three values, different numbers, or equal values only.
    Reference: Kendall, 1945, "The treatment of ties in ranking problems".
    Example:
        >>> rank_correlation([1, 2, 3, 4], [10, 20, 30, 40])
        RankCorrelation(tau=1.0, p_value=0.08333333333333333, count=4)
    """
    a, b = (np.asarray(one, dtype=np.float64) for one in (first, second))
    if a.shape != b.shape or len(a) < 3 or len(set(a)) < 2 or len(set(b)) < 2:
        raise InputError("a rank correlation needs at least three pairs of values that are not all equal")
    signs = [np.sign(one[:, None] - one[None, :]) for one in (a, b)]
    scale = math.sqrt(float((signs[0] ** 2).sum() * (signs[1] ** 2).sum()))
    found = float((signs[0] * signs[1]).sum()) / scale
    extreme = total = 0
    for orders in _orders(len(a), seed):
        shuffled = signs[1][orders[:, :, None], orders[:, None, :]]
        taus = (signs[0] * shuffled).sum((1, 2)) / scale
        extreme += int((np.abs(taus) >= abs(found) - 1e-12).sum())
        total += len(orders)
    exact = len(a) <= MOST_PERMUTED
    return RankCorrelation(found, extreme / total if exact else (1 + extreme) / (1 + total), len(a))


def _orders(count: int, seed: int) -> list[np.ndarray]:
    """All permutations of `count` items, or a sample of them, in blocks of shape (n, count)."""
    if count <= MOST_PERMUTED:
        orders = np.array(list(itertools.permutations(range(count))))
    else:
        generator = np.random.Generator(np.random.PCG64(seed))
        orders = generator.permuted(np.tile(np.arange(count), (PERMUTATIONS, 1)), axis=1)
    return [orders[first : first + BLOCK] for first in range(0, len(orders), BLOCK)]

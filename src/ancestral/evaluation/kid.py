"""KID: the kernel distance between two sets of features."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ancestral.core.errors import InputError
from ancestral.core.random import seed_for, seeded_noise
from ancestral.evaluation.neighbours import check_vectors

SUBSETS, SUBSET_SIZE = 100, 1000
ROWS = 250  # of a block of kernel values, which then stays in the cache


def kernel_distance(
    reference: Tensor, samples: Tensor, subsets: int = SUBSETS, subset_size: int | None = None, seed: int = 0
) -> float:
    """KID: the squared maximum mean discrepancy with the kernel (x.y / F + 1)^3, mean over random subsets.

    Args:      reference, samples: features, shapes (N, F) and (M, F). subsets: number of subsets. subset_size: images
               of each set in a subset; default 1000, or half of the smaller set if that is less. seed: of the subsets.
    Returns:   an unbiased estimate: for two sets of one distribution it is near 0 and may be negative.
    Raises:    InputError: as `check_vectors`, or subsets larger than a set.
    Reference: Binkowski et al., 2018, section 4, arXiv 1801.01401.
    """
    check_vectors(reference=reference, samples=samples)
    smaller = min(len(reference), len(samples))
    size = min(SUBSET_SIZE, smaller // 2) if subset_size is None else subset_size
    if not 2 <= size <= smaller:
        raise InputError(f"KID with subsets of {size} images: give 2 to {smaller}, the size of the smaller set")
    sets, found = [_with_constant(x) for x in (reference, samples)], []
    with seeded_noise(seed_for(seed, "kid")):
        for _ in range(subsets):
            x, y = (all_of_them[torch.randperm(len(all_of_them))[:size]] for all_of_them in sets)
            within = (_sum_of_pairs(x) + _sum_of_pairs(y)) / (size * (size - 1))
            found.append(within - 2 * sum(_sum(rows, y) for rows in x.split(ROWS)) / size**2)
    return torch.stack(found).mean().item()


def _with_constant(x: Tensor) -> Tensor:
    """Vectors of length F + 1 in float64 whose products are x.y / F + 1."""
    return torch.cat([x.detach().double() / math.sqrt(x.shape[1]), torch.ones(len(x), 1, dtype=torch.float64)], 1)


def _sum(x: Tensor, y: Tensor) -> Tensor:
    """The sum of the kernel over all pairs of a vector of x and one of y."""
    products = (x @ y.T).flatten()
    return products.square().dot(products)


def _sum_of_pairs(x: Tensor) -> Tensor:
    """The sum of the kernel over all pairs of different vectors of x; each block of a pair is computed once."""
    total = -x.square().sum(1).pow(3).sum()
    for first in range(0, len(x), ROWS):
        rows, rest = x[first : first + ROWS], x[first + ROWS :]
        total = total + _sum(rows, rows) + 2 * _sum(rows, rest)
    return total

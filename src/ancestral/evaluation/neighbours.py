"""Who lies near whom: precision and recall, density and coverage, the nearest training image.

Distances come from matrix products in float64, a block of rows at a time, so that memory is flat. Rounding makes two
equal distances differ in the last digits; a distance counts as within a radius if it is so but for that.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from ancestral.core.errors import InputError

BLOCK = 1024  # rows of distances at once
ROUNDING = 1e-10  # of the mean squared length: far below any distance that means something


def check_vectors(**named: Tensor) -> None:
    """Refuse what cannot be sets of feature vectors in one space.

    Args:      named: tensors that should have shapes (N, F), (M, F), ...
    Raises:    InputError: not a matrix, not finite, fewer vectors than features (swapped axes look so too), or
               different numbers of features.
    """
    for name, x in named.items():
        if x.dim() != 2:
            raise InputError(f"{name} must be one vector per image, shape (N, F), not {tuple(x.shape)}")
        if not bool(x.isfinite().all()):
            raise InputError(f"{name} hold values that are not finite (NaN or infinite)")
        if len(x) <= x.shape[1]:
            raise InputError(
                f"{name}: {len(x)} images of {x.shape[1]} features each are too few to compare (are the axes swapped?)"
            )
    if len({x.shape[1] for x in named.values()}) > 1:
        shapes = ", ".join(f"{name} {tuple(x.shape)}" for name, x in named.items())
        raise InputError(f"features of different networks do not compare: {shapes}")


def precision_recall(reference: Tensor, samples: Tensor, k: int = 3) -> tuple[float, float]:
    """How many samples lie among the data, and how much of the data lies among the samples.

    A point lies among a set if it is no farther from some member of it than that member's own k-th nearest other
    member is.

    Args:      reference, samples: features of real and of drawn images, shapes (N, F) and (M, F).
    Returns:   precision, the share of samples among the data; recall, the share of the data among the samples.
    Raises:    InputError: as `check_vectors`, or k or fewer images.
    Reference: Kynkäänniemi et al., 2019, eqs. 1-2, arXiv 1904.06991; k = 3 as there.
    """
    margin = _margin(reference, samples)
    real_radii, drawn_radii = _radii(reference, k), _radii(samples, k)
    inside = torch.zeros(len(samples), dtype=torch.bool)
    recalled = []
    for first, distances in _blocks(reference, samples):
        inside |= (distances <= real_radii[first : first + len(distances), None] + margin).any(0)
        recalled.append((distances <= drawn_radii + margin).any(1))
    return inside.double().mean().item(), torch.cat(recalled).double().mean().item()


def density_coverage(reference: Tensor, samples: Tensor, k: int = 5) -> tuple[float, float]:
    """How crowded the data are around the samples, and how much of the data has a sample near.

    Unlike precision and recall they do not trust the neighbourhoods of samples, where one stray sample has a large one.

    Args:      reference, samples: features of real and of drawn images, shapes (N, F) and (M, F).
    Returns:   density: in how many real neighbourhoods a sample lies, over k; near 1 for real images, and more where
               samples keep to the crowded places. Coverage: the share of real neighbourhoods with a sample in them.
    Raises:    InputError: as `check_vectors`, or k or fewer images.
    Reference: Naeem et al., 2020, eqs. 2-3, arXiv 2002.09797; k = 5 as there.
    """
    margin = _margin(reference, samples)
    radii = _radii(reference, k)
    covered, pairs = 0, 0
    for first, distances in _blocks(reference, samples):
        within = distances <= radii[first : first + len(distances), None] + margin
        covered += int(within.any(1).sum())
        pairs += int(within.sum())
    return pairs / (k * len(samples)), covered / len(reference)


def nearest(images: Tensor, pool: Tensor) -> tuple[Tensor, Tensor]:
    """The nearest image of a pool to each image, by Euclidean distance of pixels.

    Args:      images: shape (N, C, H, W). pool: shape (M, C, H, W).
    Returns:   distances, shape (N,), and indices into the pool, shape (N,).
    Raises:    InputError: images of different shapes, or none.
    Deviation: the search is in float32, which cannot tell images apart that differ by less than about a grey
               level in one pixel; the distance to the one found is exact.
    """
    if images.shape[1:] != pool.shape[1:] or not len(images) or not len(pool):
        raise InputError(f"images {tuple(images.shape)} and pool {tuple(pool.shape)} must have one shape, and be some")
    rows, others = images.flatten(1).float(), pool.flatten(1).float()
    lengths = others.square().sum(1)
    found = torch.cat([(lengths - 2 * block @ others.T).argmin(1) for block in rows.split(BLOCK)])
    distances = torch.cat(
        [
            (block - others[at]).double().norm(dim=1)
            for block, at in zip(rows.split(BLOCK), found.split(BLOCK), strict=True)
        ]
    )
    return distances, found


def _blocks(rows: Tensor, others: Tensor) -> Iterator[tuple[int, Tensor]]:
    """(number of the first row, squared distances (b, M) of a block of rows to all others)."""
    centre = others.double().mean(0)  # lengths are taken from there: the products then lose fewest digits
    rows, others = rows.double() - centre, others.double() - centre
    lengths = others.square().sum(1)
    for first in range(0, len(rows), BLOCK):
        block = rows[first : first + BLOCK]
        yield first, torch.addmm(lengths, block, others.T, alpha=-2).add_(block.square().sum(1, keepdim=True)).clamp_(0)


def _radii(x: Tensor, k: int) -> Tensor:
    """Squared distance of each point to its k-th nearest other point, shape (N,)."""
    if k < 1 or len(x) <= k:
        raise InputError(f"{len(x)} images are too few for neighbourhoods of {k}")
    radii = []
    for first, distances in _blocks(x, x):
        own = torch.arange(len(distances))
        distances[own, first + own] = torch.inf
        radii.append(distances.topk(k, largest=False).values[:, -1])
    return torch.cat(radii)


def _margin(reference: Tensor, samples: Tensor) -> float:
    """What rounding can do to squared distances between two sets that can be compared at all."""
    check_vectors(reference=reference, samples=samples)
    return ROUNDING * (reference.double() - reference.double().mean(0)).square().sum(1).mean().item()

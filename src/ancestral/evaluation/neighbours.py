"""Nearest neighbours: precision and recall, density and coverage, the nearest training image.

Distances come from matrix products in float64, in blocks of rows, so that memory stays small. Because of rounding,
equal distances may differ in the last digits, so comparisons with a radius allow for this error.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from ancestral.core.errors import InputError
from ancestral.evaluation.closest import BLOCK, Rows, Search

REGION, AROUND = 3, 5  # neighbours: of precision and recall; of density and coverage
MEASURES = ("precision", "recall", "density", "coverage")
ROUNDING = 1e-10  # relative to the mean squared length; meaningful distances are much larger


def check_vectors(**named: Tensor) -> None:
    """Check that tensors are sets of feature vectors in one space.

    Args:      named: tensors with shapes (N, F), (M, F), ...
    Raises:    InputError: not a matrix, not finite, fewer vectors than features (perhaps the axes are swapped), or
               different numbers of features.
    """
    for name, x in named.items():
        if x.dim() != 2:
            raise InputError(f"{name} has shape {tuple(x.shape)}: give one vector per image, shape (N, F)")
        if not bool(x.isfinite().all()):
            raise InputError(f"{name} has values that are not finite (NaN or infinite)")
        if len(x) <= x.shape[1]:
            raise InputError(
                f"{name}: {len(x)} images are too few for {x.shape[1]} features: give more images than features (are "
                "the axes swapped?)"
            )
    if len({x.shape[1] for x in named.values()}) > 1:
        shapes = ", ".join(f"{name} {tuple(x.shape)}" for name, x in named.items())
        raise InputError(f"features must be of the same network, but their numbers differ: {shapes}")


def precision_recall(reference: Tensor, samples: Tensor, k: int = REGION) -> tuple[float, float]:
    """Precision: the share of samples in the region of the data. Recall: the share of data in the region of the
    samples.

    The region of a set is the union of balls around its points. The radius of a ball is the distance to the k-th
    nearest neighbour in the set.

    Args:      reference, samples: features of real images and of samples, shapes (N, F) and (M, F).
    Returns:   precision and recall, both in [0, 1].
    Raises:    InputError: as `check_vectors`, or k or fewer images.
    Reference: Kynkäänniemi et al., 2019, eqs. 1-2, arXiv 1904.06991; k = 3 as there.
    """
    margin = _margin(reference, samples)
    counts = _Regions(_radii(reference, k)[0], _radii(samples, k)[0], margin)
    _count(reference, samples, counts)
    return counts.shares()


def density_coverage(reference: Tensor, samples: Tensor, k: int = AROUND) -> tuple[float, float]:
    """Density: how densely the data surround the samples. Coverage: the share of data with a sample nearby.

    Unlike precision and recall, they use neighbourhoods of real images only, so one outlier among the samples, which
    has a large neighbourhood, has no effect.

    Args:      reference, samples: features of real images and of samples, shapes (N, F) and (M, F).
    Returns:   density: mean number of real neighbourhoods that contain a sample, divided by k; near 1 for real images,
               larger if samples are mostly in dense regions. Coverage: share of real neighbourhoods with a sample.
    Raises:    InputError: as `check_vectors`, or k or fewer images.
    Reference: Naeem et al., 2020, eqs. 2-3, arXiv 2002.09797; k = 5 as there.
    """
    margin = _margin(reference, samples)
    counts = _Neighbourhoods(_radii(reference, k)[0], k, margin)
    _count(reference, samples, counts)
    return counts.shares()


class Neighbours:
    """Nearest neighbours in the features of real images, for several sets of samples.

    The distances between real images, and those to samples, are computed once for all measures.

    Args:      reference: features of real images, shape (N, F).
    Raises:    InputError: as `check_vectors`, or too few images.
    """

    def __init__(self, reference: Tensor) -> None:
        check_vectors(reference=reference)
        self._reference = reference
        self._region, self._around = _radii(reference, REGION, AROUND)

    def of(self, samples: Tensor) -> dict[str, float]:
        """Precision, recall, density and coverage of samples; as `precision_recall` and `density_coverage`.

        Args:      samples: features, shape (M, F).
        """
        margin = _margin(self._reference, samples)
        regions = _Regions(self._region, _radii(samples, REGION)[0], margin)
        neighbourhoods = _Neighbourhoods(self._around, AROUND, margin)
        _count(self._reference, samples, regions, neighbourhoods)
        return dict(zip(MEASURES, (*regions.shares(), *neighbourhoods.shares()), strict=True))


class _Regions:
    """Counts of samples in the region of the data, and the reverse. The radii are squared distances."""

    def __init__(self, real_radii: Tensor, drawn_radii: Tensor, margin: float) -> None:
        self._real, self._drawn, self._margin = real_radii, drawn_radii, margin
        self._inside = torch.zeros(len(drawn_radii), dtype=torch.bool)
        self._recalled = 0

    def add(self, rows: slice, distances: Tensor) -> None:
        """Distances of some real images to all samples."""
        self._inside |= _any(distances <= self._real[rows, None] + self._margin, 0)
        self._recalled += int(_any(distances <= self._drawn + self._margin, 1).sum())

    def shares(self) -> tuple[float, float]:
        """Precision and recall."""
        return self._inside.double().mean().item(), self._recalled / len(self._real)


class _Neighbourhoods:
    """Counts of samples in the neighbourhoods of `k` real images. The radii are squared distances."""

    def __init__(self, radii: Tensor, k: int, margin: float) -> None:
        self._radii, self._k, self._margin = radii, k, margin
        self._covered, self._pairs, self._samples = 0, 0, 0

    def add(self, rows: slice, distances: Tensor) -> None:
        """Distances of some real images to all samples."""
        within = distances <= self._radii[rows, None] + self._margin
        self._covered += int(_any(within, 1).sum())
        self._pairs += int(within.count_nonzero())
        self._samples = distances.shape[1]

    def shares(self) -> tuple[float, float]:
        """Density and coverage."""
        return self._pairs / (self._k * self._samples), self._covered / len(self._radii)


def _count(reference: Tensor, samples: Tensor, *counts: _Regions | _Neighbourhoods) -> None:
    for first, distances in _blocks(reference, samples):
        for one in counts:
            one.add(slice(first, first + len(distances)), distances)


class Nearest:
    """The nearest image of a pool to each image, by Euclidean distance of pixels. The pool may come in parts.

    Args:      images: shape (N, C, H, W).
    Raises:    InputError: no images.
    Deviation: the search may use float32, see `closest`. The distance to the image that is found is exact.
    """

    def __init__(self, images: Tensor) -> None:
        if not len(images):
            raise InputError("there is no image whose nearest image could be found: give at least one")
        self._shape, self._searched = images.shape[1:], 0
        self._rows = [Rows(block) for block in images.flatten(1).float().split(BLOCK)]
        self._distances = torch.full((len(images),), torch.inf, dtype=torch.float64)
        self._found = torch.zeros(len(images), dtype=torch.int64)

    def among(self, pool: Tensor) -> Nearest:
        """Search a part of the pool, shape (M, C, H, W), too.

        Raises:    InputError: images of another shape, or none.
        """
        if pool.shape[1:] != self._shape or not len(pool):
            raise InputError(
                f"images {tuple(self._shape)} and pool {tuple(pool.shape)}: give images of the same shape, at least one"
            )
        others = pool.flatten(1).float()
        search = Search(others)
        for rows, known, found in zip(self._rows, self._distances.split(BLOCK), self._found.split(BLOCK), strict=True):
            at = search.of(rows, known)
            able = (at >= 0).nonzero()[:, 0]
            distances = (rows.values[able] - others[at[able]]).double().norm(dim=1)
            nearer = distances < known[able]
            changed = able[nearer]
            known[changed], found[changed] = distances[nearer], self._searched + at[changed]
        self._searched += len(pool)
        return self

    @property
    def distances(self) -> Tensor:
        """Shape (N,), float64; infinite before a search."""
        return self._distances

    @property
    def found(self) -> Tensor:
        """Index of the nearest image in the whole pool, shape (N,); the first of several at the same distance."""
        return self._found


def nearest(images: Tensor, pool: Tensor) -> tuple[Tensor, Tensor]:
    """The nearest image of a pool to each image, as `Nearest` finds it.

    Args:      images: shape (N, C, H, W). pool: shape (M, C, H, W).
    Returns:   distances, shape (N,), and indices into the pool, shape (N,).
    Raises:    InputError: images of different shapes, or none.
    """
    search = Nearest(images).among(pool)
    return search.distances, search.found


def _blocks(rows: Tensor, others: Tensor) -> Iterator[tuple[int, Tensor]]:
    """Blocks of squared distances: (number of the first row, distances of b rows to all others, shape (b, M)).

    A distance near 0 may be negative by rounding. All blocks use the same memory: a block is valid until the next one.
    """
    rows, others = rows.detach().double(), others.detach().double()
    centre = others.mean(0)  # subtracting the mean reduces rounding errors of the products
    rows, others = rows - centre, others - centre
    # two more columns add both squared lengths in the product: |x|^2 + |y|^2 - 2 x.y in one pass over the memory
    left = torch.cat([-2 * rows, rows.square().sum(1, keepdim=True), rows.new_ones(len(rows), 1)], 1)
    right = torch.cat([others, others.new_ones(len(others), 1), others.square().sum(1, keepdim=True)], 1)
    memory = rows.new_empty(min(BLOCK, len(rows)), len(others))
    for first in range(0, len(rows), BLOCK):
        block = left[first : first + BLOCK]
        yield first, torch.mm(block, right.T, out=memory[: len(block)])


def _any(inside: Tensor, dim: int) -> Tensor:
    """`inside.any(dim)` of a boolean matrix; the largest of bytes is found ten times as fast."""
    return inside.view(torch.uint8).amax(dim).bool()


def _radii(x: Tensor, *neighbours: int) -> tuple[Tensor, ...]:
    """Squared distance of each point to its k-th nearest other point, shape (N,), for each k in `neighbours`."""
    most = max(neighbours)
    if min(neighbours) < 1 or len(x) <= most:
        raise InputError(f"{len(x)} images are too few for neighbourhoods of {most}")
    nearest_ones = []
    for first, distances in _blocks(x, x):
        own = torch.arange(len(distances))
        distances[own, first + own] = torch.inf
        nearest_ones.append(distances.topk(most, largest=False).values)
    ascending = torch.cat(nearest_ones).clamp_(0)
    return tuple(ascending[:, k - 1].contiguous() for k in neighbours)


def _margin(reference: Tensor, samples: Tensor) -> float:
    """Bound of the rounding error of squared distances between two sets. Raises as `check_vectors`."""
    check_vectors(reference=reference, samples=samples)
    return ROUNDING * (reference.double() - reference.double().mean(0)).square().sum(1).mean().item()

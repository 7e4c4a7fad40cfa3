"""k-means, for the initial hidden states and for the clusters of images."""

from __future__ import annotations

import torch
from torch import Tensor

from ancestral.core.random import seed_for, seeded_noise
from ancestral.data.pixels import PixelBatches

LOOKED_AT = 10_000  # images from which structure, clusters and initial states are computed
ROUNDS = 20


def k_means(points: Tensor, count: int, rounds: int) -> tuple[Tensor, Tensor]:
    """Lloyd's algorithm from random points; a cluster without points restarts at a random point.

    Args:      points: shape (N, F). count: K clusters; with K > N, some centres are equal. rounds: number of updates.
    Returns:   the centres, shape (K, F), and the cluster of each point, shape (N,).
    """
    start = torch.randperm(len(points), device=points.device).repeat(-(-count // len(points)))[:count]
    centres = points[start]
    for _ in range(rounds):
        nearest = nearest_centre(points, centres)
        sizes = torch.bincount(nearest, minlength=count).to(points)
        sums = torch.zeros_like(centres).index_add_(0, nearest, points)
        again = points[torch.randint(len(points), (count,), device=points.device)]
        centres = torch.where(sizes[:, None] > 0, sums / sizes.clamp_min(1)[:, None], again)
    return centres, nearest_centre(points, centres)


def nearest_centre(points: Tensor, centres: Tensor, seen: Tensor | None = None) -> Tensor:
    """The index of the centre with the smallest Euclidean distance to each point, shape (N,).

    Args:      seen: boolean, shape of `points`: only these coordinates are compared; None: all.
    """
    if seen is not None:
        mask = seen.to(points)
        return torch.addmm(mask @ centres.square().T, points * mask, centres.T, alpha=-2).argmin(1)
    return torch.addmm(centres.square().sum(1), points, centres.T, alpha=-2).argmin(1)


def cluster_centres(train: PixelBatches, count: int) -> Tensor:
    """The centres of clusters of training images, shape (C, D): a function of the data and C only."""
    with seeded_noise(seed_for("circuit", "clusters")):
        batch = train.first_batch(LOOKED_AT)
        images = batch.x.flatten(1)
        if batch.seen is not None:
            images = filled_with_means(images, batch.seen.flatten(1))
        if train.space.name != "points":
            return k_means(images, count, ROUNDS)[0]
        spread = images.std(0).clamp_min(torch.finfo(images.dtype).tiny)
        return k_means(images / spread, count, ROUNDS)[0] * spread


def filled_with_means(x: Tensor, seen: Tensor) -> Tensor:
    """Rows with the mean of the seen values of their column where they are not seen, shape (N, D)."""
    means = x.where(seen, 0).sum(0) / seen.sum(0).clamp_min(1)
    return x.where(seen, means)

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


def nearest_centre(points: Tensor, centres: Tensor) -> Tensor:
    """The index of the centre with the smallest Euclidean distance to each point, shape (N,)."""
    return torch.addmm(centres.square().sum(1), points, centres.T, alpha=-2).argmin(1)


def cluster_centres(train: PixelBatches, count: int) -> Tensor:
    """The centres of clusters of training images, shape (C, D): a function of the data and C only."""
    with seeded_noise(seed_for("circuit", "clusters")):
        images = train.first(LOOKED_AT).flatten(1)
        return k_means(images, count, ROUNDS)[0]

"""Diversity of samples compared with held-out data, by pixel distances. Fast enough for every epoch."""

from __future__ import annotations

import torch
from torch import Tensor

NEIGHBOURS = 5


def mean_distance(x: Tensor) -> Tensor:
    """Mean Euclidean distance between two different rows of x. x: (N, D); returns ()."""
    return torch.pdist(x).mean()


def spread_ratio(draws: Tensor, data: Tensor) -> float:
    """Mean distance between two samples, divided by that between two data. 1: as diverse as the data; 0: all equal.

    Args:      draws, data: samples and data of any event shape, at least two of each.
    """
    return (mean_distance(draws.flatten(1)) / mean_distance(data.flatten(1))).item()


def covered_share(draws: Tensor, data: Tensor, neighbours: int = NEIGHBOURS) -> float:
    """Share of the data with a sample at least as close as their `neighbours`-th nearest neighbour in the data.

    Args:      draws, data: samples and data of any event shape. neighbours: rank of the neighbour; at most the number
               of other data is used.
    Reference: coverage of Naeem et al., 2020, eq. 9, arXiv 2002.09797, in the space of pixels.
    """
    draws, data = draws.flatten(1).double(), data.flatten(1).double()  # reduces rounding errors of distances
    rank = min(neighbours + 1, len(data))  # the nearest is the datum itself
    radii = torch.cdist(data, data).kthvalue(rank, dim=1).values
    return (torch.cdist(data, draws).min(1).values <= radii).float().mean().item()


def brightness_shift(draws: Tensor, data: Tensor) -> float:
    """Mean pixel of the samples minus that of the data, in standard deviations of the data's pixels."""
    return ((draws.mean() - data.mean()) / data.std()).item()


def effective_dimensions(x: Tensor) -> Tensor:
    """Effective number of directions in which x varies: (sum l)^2 / sum l^2, l the eigenvalues of its covariance.

    It is D if D directions have equal variance, and 1 if all x are on a line. No eigenvalues are computed. It detects a
    collapse onto faint and bold copies of one image, which have large distances.

    Args:      x: shape (N, D).
    Returns:   shape ().
    Reference: the participation ratio; Gao et al., 2017, bioRxiv 214262.
    """
    centred = x - x.mean(0)
    gram = centred @ centred.T  # its eigenvalues are N times those of the covariance
    return gram.trace().square() / gram.square().sum().clamp_min(torch.finfo(x.dtype).tiny)  # 0 if nothing varies


def dimension_ratio(draws: Tensor, data: Tensor) -> float:
    """Effective dimensions of the samples divided by those of the data: 1 if they vary in equally many directions.

    Args:      draws, data: samples and data of any event shape, equally many, because the measure grows with the
               number.
    """
    return (effective_dimensions(draws.flatten(1)) / effective_dimensions(data.flatten(1))).item()

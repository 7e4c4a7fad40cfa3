"""How varied draws are beside held-out data, in the plain distance of pixels: a look cheap enough for each epoch."""

from __future__ import annotations

import torch
from torch import Tensor

NEIGHBOURS = 5


def mean_distance(x: Tensor) -> Tensor:
    """Mean Euclidean distance between two different rows of x. x: (N, D); returns ()."""
    return torch.pdist(x).mean()


def spread_ratio(draws: Tensor, data: Tensor) -> float:
    """Mean distance between two draws, in units of that between two data: 1 if as varied, 0 if all alike.

    Args:      draws, data: of any event shape, at least two of each.
    """
    return (mean_distance(draws.flatten(1)) / mean_distance(data.flatten(1))).item()


def covered_share(draws: Tensor, data: Tensor, neighbours: int = NEIGHBOURS) -> float:
    """Proportion of the data that have a draw nearer than their own `neighbours`-th nearest of the other data.

    Args:      draws, data: of any event shape. neighbours: fewer where there are fewer data.
    Reference: coverage of Naeem et al., 2020, eq. 9, arXiv 2002.09797, in the space of pixels.
    """
    draws, data = draws.flatten(1).double(), data.flatten(1).double()  # distances are found by products of matrices
    rank = min(neighbours + 1, len(data))  # the nearest is the datum itself
    radii = torch.cdist(data, data).kthvalue(rank, dim=1).values
    return (torch.cdist(data, draws).min(1).values <= radii).float().mean().item()


def brightness_shift(draws: Tensor, data: Tensor) -> float:
    """Mean pixel of the draws minus that of the data, in standard deviations of the data's pixels."""
    return ((draws.mean() - data.mean()) / data.std()).item()


def effective_dimensions(x: Tensor) -> Tensor:
    """In how many directions x varies: (sum l)^2 / sum l^2 over the eigenvalues l of its covariance; returns ().

    It is D where D directions vary alike, and 1 where all of x lies on a line; no eigenvalue is computed. Collapse
    onto a curve of faint and bold copies of one image, whose distances are wide, shows here.

    Args:      x: shape (N, D).
    Reference: the participation ratio; Gao et al., 2017, bioRxiv 214262.
    """
    centred = x - x.mean(0)
    gram = centred @ centred.T  # its eigenvalues are the covariance's, N times
    return gram.trace().square() / gram.square().sum().clamp_min(torch.finfo(x.dtype).tiny)  # 0 where nothing varies


def dimension_ratio(draws: Tensor, data: Tensor) -> float:
    """Effective dimensions of the draws over those of the data: 1 if they vary in as many directions.

    Args:      draws, data: of any event shape, as many of each: the measure grows with the number.
    """
    return (effective_dimensions(draws.flatten(1)) / effective_dimensions(data.flatten(1))).item()

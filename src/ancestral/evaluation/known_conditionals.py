"""Comparison of completions with a known conditional distribution: calibration of pixels, and the energy score."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ancestral.core.errors import InputError
from ancestral.core.maths import mean_and_error

BINS = 10


@dataclass(frozen=True)
class PixelCalibration:
    """How predicted probabilities of pixels agree with the true ones.

    Args:      error: expected calibration error, sum_b share_b |mean prediction - mean true probability|, over bins of
               the prediction. distance: root of the mean squared difference of the two probabilities of a pixel; 0 if
               they are equal. predicted, true: means of each bin, NaN for an empty bin. shares: of the pixels.
    Reference: Naeini et al., 2015 (calibration error).
    """

    error: float
    distance: float
    predicted: tuple[float, ...]
    true: tuple[float, ...]
    shares: tuple[float, ...]


def pixel_calibration(predicted: Tensor, true: Tensor, draws: int | None = None) -> PixelCalibration:
    """Compare predicted probabilities of pixels with the true conditional probabilities.

    With the true probabilities in place of 0 or 1, the result has no noise of outcomes.

    Args:      predicted, true: probabilities that a hidden pixel is 1, any equal shape. draws: K, if the prediction is
               a mean of K samples: the variance of that mean is then subtracted from the squared difference.
    Raises:    InputError: shapes differ, or values are outside [0, 1].
    """
    if predicted.shape != true.shape or not predicted.numel():
        raise InputError(f"predicted and true probabilities differ in shape: {predicted.shape}, {true.shape}")
    p, t = predicted.flatten().double(), true.flatten().double()
    if not bool(((p >= 0) & (p <= 1) & (t >= -1e-9) & (t <= 1 + 1e-9)).all()):
        raise InputError("probabilities must be between 0 and 1")
    places = (p * BINS).long().clamp(max=BINS - 1)
    counts = torch.bincount(places, minlength=BINS).double()
    means = [torch.zeros(BINS, dtype=torch.float64).index_add_(0, places, one) / counts for one in (p, t)]
    shares = counts / len(p)
    squared = (p - t).square()
    if draws is not None and draws > 1:
        squared = squared - p * (1 - p) / (draws - 1)
    return PixelCalibration(
        (shares * (means[0] - means[1]).abs()).nansum().item(),
        squared.mean().clamp(min=0).sqrt().item(),
        tuple(means[0].tolist()),
        tuple(means[1].tolist()),
        tuple(shares.tolist()),
    )


def energy_scores(drawn: Tensor, x: Tensor) -> Tensor:
    """The energy score of the completions of each image, an unbiased estimate; lower is better.

        E |X - x| - 1/2 E |X - X'|,   X and X' independent completions, |.| the Euclidean distance

    In expectation over x, it is lowest for completions from the true conditional distribution.

    Args:      drawn: K completions of each image, shape (K, N, ...), K at least 2. x: true images, shape (N, ...).
    Returns:   shape (N,), float64.
    Raises:    InputError: fewer than two completions, or shapes that do not fit.
    Reference: Gneiting and Raftery, 2007, section 4.2.
    """
    if len(drawn) < 2 or drawn.shape[1:] != x.shape:
        raise InputError(f"an energy score needs at least two completions of each image, not {tuple(drawn.shape)}")
    rows, truth = drawn.flatten(2).double().transpose(0, 1), x.flatten(1).double()  # (N, K, D), (N, D)
    count = rows.shape[1]
    near = (rows - truth[:, None]).norm(dim=2).mean(1)
    apart = torch.cdist(rows, rows, compute_mode="donot_use_mm_for_euclid_dist").sum((1, 2)) / (count * (count - 1))
    return near - 0.5 * apart


def mean_energy_score(drawn: Tensor, x: Tensor) -> tuple[float, float]:
    """The mean of `energy_scores` and its standard error over images."""
    return mean_and_error(energy_scores(drawn, x))

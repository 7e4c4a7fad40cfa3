"""Proportions with confidence intervals, also for batches that share images and so are not independent."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

NORMAL_95 = 1.959964
NODES = 200  # number of nodes of the integral over angles


@dataclass(frozen=True)
class Proportion:
    """A proportion of trials, with a 95 % confidence interval.

    Args:      count: number of successes. trials: number of trials. alike: correlation between the outcomes of any two
               trials; 0 if they are independent.
    Reference: Wilson, 1927; Kish, 1965 (correlated trials count as fewer independent ones).
    Example:
        >>> Proportion(50, 1000).value, [round(side, 4) for side in Proportion(50, 1000).interval]
        (0.05, [0.0381, 0.0653])
    """

    count: int
    trials: int
    alike: float = 0.0

    @property
    def value(self) -> float:
        return self.count / self.trials

    @property
    def independent(self) -> float:
        """Effective number of independent trials."""
        return self.trials / (1 + (self.trials - 1) * self.alike)

    @property
    def band(self) -> tuple[float, float]:
        """The range of 95 % of measured proportions, if this value is the true probability."""
        half = NORMAL_95 * math.sqrt(self.value * (1 - self.value) / self.independent)
        return max(0.0, self.value - half), min(1.0, self.value + half)

    @property
    def interval(self) -> tuple[float, float]:
        """Lower and upper end of the 95 % confidence interval."""
        n, p, z = self.independent, self.value, NORMAL_95
        centre = (p + z * z / (2 * n)) / (1 + z * z / n)
        half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
        return max(0.0, centre - half), min(1.0, centre + half)


def proportion_of_batches(
    count: int, trials: int, size: int, pools: Sequence[int], two_sided: bool = False
) -> Proportion:
    """A proportion of random batches, with an interval that allows for images that batches share.

    Two batches of n out of N images share n^2 / N images on average. With j shared images, the means of two batches
    have correlation j / n, and their outcomes are correlated like two normal variables with the same threshold. The m
    natural images that calibrate a test influence its outcomes in the same way: they are a second pool.

    Args:      count: number of rejected batches. trials: number of batches. size: n. pools: N, and m if the interval
               should hold for other calibration images. two_sided: batches are rejected on both sides equally, as
               natural ones; otherwise on one side, as anomalous ones.
    Returns:   the proportion; its interval holds for batches of other images.
    Example:
        >>> [round(side, 3) for side in proportion_of_batches(50, 1000, 100, (1000, 1000), two_sided=True).interval]
        [0.014, 0.163]
    """
    p = (count + 0.5) / (trials + 1)
    height = NormalDist().inv_cdf(p / 2 if two_sided else p)
    common = np.arange(size + 1)
    mean = size * size * sum(1 / pool for pool in pools)
    chance = np.exp(common * math.log(mean) - mean - np.array([math.lgamma(j + 1) for j in common]))
    chance[-1] += 1 - chance.sum()  # at most all images are shared
    overlap = common / size
    both = _above(height, overlap)
    if two_sided:
        both = 2 * (both + _above(height, -overlap))
    return Proportion(count, trials, min(1.0, max(0.0, float((chance * both).sum() / (p * (1 - p))))))


def _above(height: float, correlation: np.ndarray) -> np.ndarray:
    """P(X > h, Y > h) - P(X > h) P(Y > h) for standard normal X and Y with correlation r, shape (n,).

        (1 / 2 pi) int_0^{arcsin r} exp(-h^2 / (1 + sin t)) dt

    Reference: Plackett, 1954.
    """
    end = np.arcsin(correlation)
    angle = end[:, None] * (np.arange(NODES) + 0.5) / NODES
    return np.exp(-(height**2) / (1 + np.sin(angle))).mean(1) * end / (2 * math.pi)

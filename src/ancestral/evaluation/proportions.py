"""Shares of trials with their intervals, also where the trials are batches of common images and so not independent."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

NORMAL_95 = 1.959964
NODES = 200  # of the integral over angles


@dataclass(frozen=True)
class Proportion:
    """So many of so many trials, with an interval that holds the true probability with 95 % confidence.

    Args:      alike: correlation between the outcomes of any two trials; 0 where they are independent.
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
        """How many independent trials would say as much."""
        return self.trials / (1 + (self.trials - 1) * self.alike)

    @property
    def band(self) -> tuple[float, float]:
        """Where 95 % of measured shares fall, if this one is the true probability."""
        half = NORMAL_95 * math.sqrt(self.value * (1 - self.value) / self.independent)
        return max(0.0, self.value - half), min(1.0, self.value + half)

    @property
    def interval(self) -> tuple[float, float]:
        """Lower and upper end."""
        n, p, z = self.independent, self.value, NORMAL_95
        centre = (p + z * z / (2 * n)) / (1 + z * z / n)
        half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
        return max(0.0, centre - half), min(1.0, centre + half)


def proportion_of_batches(
    count: int, trials: int, size: int, pools: Sequence[int], two_sided: bool = False
) -> Proportion:
    """So many of so many random batches, whose interval knows that they hold common images.

    Two batches of n out of N images have n^2 / N of them in common on average. With j in common the means of two
    batches correlate by j / n, and their verdicts as two normal variables do that are cut at the same height. Natural
    images that calibrate a test change its verdicts on others as much as those do: m of them are a second pool.

    Args:      size: n. pools: N, and m where the interval is to hold for another calibration as well. two_sided:
               batches are rejected on both sides alike, as natural ones are; else on one side, as anomalous ones are.
    Returns:   the share; its interval is for batches of other images.
    Example:
        >>> [round(side, 3) for side in proportion_of_batches(50, 1000, 100, (1000, 1000), two_sided=True).interval]
        [0.014, 0.163]
    """
    p = (count + 0.5) / (trials + 1)
    height = NormalDist().inv_cdf(p / 2 if two_sided else p)
    common = np.arange(size + 1)
    mean = size * size * sum(1 / pool for pool in pools)
    chance = np.exp(common * math.log(mean) - mean - np.array([math.lgamma(j + 1) for j in common]))
    chance[-1] += 1 - chance.sum()  # more than all cannot be in common
    overlap = common / size
    both = _above(height, overlap)
    if two_sided:
        both = 2 * (both + _above(height, -overlap))
    return Proportion(count, trials, min(1.0, max(0.0, float((chance * both).sum() / (p * (1 - p))))))


def _above(height: float, correlation: np.ndarray) -> np.ndarray:
    """P(X > h, Y > h) - P(X > h) P(Y > h) of standard normal X and Y with a correlation, shape (n,).

        (1 / 2 pi) int_0^{arcsin r} exp(-h^2 / (1 + sin t)) dt

    Reference: Plackett, 1954.
    """
    end = np.arcsin(correlation)
    angle = end[:, None] * (np.arange(NODES) + 0.5) / NODES
    return np.exp(-(height**2) / (1 + np.sin(angle))).mean(1) * end / (2 * math.pi)

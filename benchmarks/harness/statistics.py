"""Medians, ranges and ratios of measurements that were made in the same rounds."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Summary:
    """Median, minimum and maximum of some values."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Summary:
        return cls(statistics.median(values), min(values), max(values))


def paired_ratio(numerators: Sequence[float], denominators: Sequence[float]) -> Summary:
    """Median and range of the ratio in each round.

    Slow phases of the machine affect both values of a round, so they mostly cancel.

    Raises:    ValueError: the two have different numbers of rounds.
    Example:
        >>> paired_ratio([2.0, 40.0, 3.0], [1.0, 10.0, 2.0])
        Summary(median=2.0, least=1.5, most=4.0)
    """
    return Summary.of([a / b for a, b in zip(numerators, denominators, strict=True)])


def turns(contestants: Sequence[str], rounds: int) -> list[list[str]]:
    """The order of the contestants in each round, rotated by one from a round to the next.

    Example:
        >>> turns(["a", "b", "c"], 2)
        [['a', 'b', 'c'], ['b', 'c', 'a']]
    """
    count = len(contestants)
    return [[contestants[(first + place) % count] for place in range(count)] for first in range(rounds)]


def relative_spread(values: Sequence[float]) -> float:
    """(9th decile - 1st decile) / median."""
    deciles = statistics.quantiles(values, n=10)
    return (deciles[-1] - deciles[0]) / statistics.median(values)

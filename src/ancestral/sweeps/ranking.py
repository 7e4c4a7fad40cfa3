"""The runs of a sweep, gathered by combination and ranked by their validation, never by the test set."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from ancestral.core.errors import NotComputable
from ancestral.health.curves import CRITERIA
from ancestral.reports.pictures.training import training_curves
from ancestral.runs.run import Run
from ancestral.sweeps.plan import Plan, in_words

CONFIDENT = 0.975  # of a normal variable's or Student's distribution: two sides of 2.5 %


@dataclass(frozen=True)
class Combination:
    """Runs that differ in their seed only.

    Args:      values: of the settings that vary. runs: one for each seed, trained or not.
    """

    values: dict[str, Any]
    runs: tuple[Run, ...]

    @property
    def name(self) -> str:
        return in_words(self.values)

    @cached_property
    def finished(self) -> tuple[Run, ...]:
        return tuple(run for run in self.runs if run.finished)

    @cached_property
    def diverged(self) -> int:
        return sum(run.outcome["reason"] == "diverged" for run in self.finished)

    @cached_property
    def bests(self) -> tuple[float, ...]:
        """The best validation value of each run that has one, nats."""
        found = (run.outcome.get("best_value") for run in self.finished)
        return tuple(value for value in found if value is not None)

    @property
    def mean(self) -> float | None:
        return statistics.fmean(self.bests) if self.bests else None

    @property
    def deviation(self) -> float | None:
        """The standard deviation over seeds; None of fewer than two."""
        return statistics.stdev(self.bests) if len(self.bests) > 1 else None

    @property
    def objective(self) -> float | None:
        """What a search minimises: the mean, infinite where a seed diverged; None where there is no value."""
        return math.inf if self.diverged else self.mean

    @property
    def verdicts(self) -> list[str]:
        """What is wrong with the trainings, by name, with how many of them where it is not all."""
        names = [name for run in self.finished for name in dict.fromkeys(v.name for v in run.verdicts())]
        counts = {name: names.count(name) for name in dict.fromkeys(names)}
        runs = len(self.finished)
        return [name if count == runs else f"{name} ({count} of {runs})" for name, count in counts.items()]

    @property
    def state(self) -> str:
        """How many of its runs are finished, where that is not all; else empty."""
        missing = len(self.runs) - len(self.finished)
        return f"{len(self.finished)} of {len(self.runs)} trained" if missing else ""

    def to_json(self) -> dict[str, Any]:
        return {
            "values": self.values,
            "criterion": criterion(self.finished),
            "validation": self.mean,
            "standard_deviation": self.deviation,
            "runs": [str(run.path) for run in self.finished],
            "missing": len(self.runs) - len(self.finished),
            "diverged": self.diverged,
            "verdicts": self.verdicts,
        }


def ranked(plan: Plan, combinations: Sequence[dict[str, Any]]) -> list[Combination]:
    """Best first: by their mean those of which no seed diverged, then the others, then those without a value."""
    rows = [Combination(values, tuple(plan.run(values, seed) for seed in plan.seed_numbers)) for values in combinations]
    return sorted(rows, key=lambda row: (row.mean is None, row.diverged > 0, row.mean or 0.0))


class Gap(NamedTuple):
    """How far the mean of a combination lies above that of the first, with its standard error over seeds, nats.

    Args:      certain: 0 lies outside the 95 % interval of the gap.
    """

    nats: float
    error: float
    certain: bool


def gap_between(first: Combination, other: Combination) -> Gap | None:
    """The gap between two combinations, by Welch's test; None where one has fewer than two seeds.

    Few seeds tell little about their own spread, so the interval is wide: of two seeds each, 4.3 standard errors.

    Reference: Welch, 1947.
    """
    if first.mean is None or other.mean is None or first.deviation is None or other.deviation is None:
        return None
    from scipy.stats import t

    parts = [(row.deviation**2 / len(row.bests), len(row.bests)) for row in (first, other) if row.deviation is not None]
    variance, nats = sum(part for part, _ in parts), other.mean - first.mean
    if variance == 0:
        return Gap(nats, 0.0, nats > 0)
    freedom = variance**2 / sum(part**2 / (count - 1) for part, count in parts)
    error = math.sqrt(variance)
    return Gap(nats, error, nats > float(t.ppf(CONFIDENT, freedom)) * error)


def criterion(runs: Sequence[Run]) -> str | None:
    """The name in the log of the validation value that selects weights; None where there is none."""
    for run in runs:
        try:
            known = training_curves(run).known
        except NotComputable:
            continue
        for name in CRITERIA:
            if ("valid", name) in known:
                return name
    return None

"""The runs of a sweep, grouped by combination and ranked by validation values, never by the test set."""

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

CONFIDENT = 0.975  # quantile of Student's distribution for a 95 % interval


@dataclass(frozen=True)
class Combination:
    """Runs that differ only in their seed.

    Args:      values: of the settings that vary. runs: one per seed, trained or not.
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
        """The standard deviation over seeds; None for fewer than two."""
        return statistics.stdev(self.bests) if len(self.bests) > 1 else None

    @property
    def objective(self) -> float | None:
        """The value that a search minimises: the mean, infinite if a seed diverged, None without a value."""
        return math.inf if self.diverged else self.mean

    @property
    def verdicts(self) -> list[str]:
        """The names of the problems of the trainings, with the number of affected runs if it is not all."""
        names = [name for run in self.finished for name in dict.fromkeys(v.name for v in run.verdicts())]
        counts = {name: names.count(name) for name in dict.fromkeys(names)}
        runs = len(self.finished)
        return [name if count == runs else f"{name} ({count} of {runs})" for name, count in counts.items()]

    @property
    def state(self) -> str:
        """The number of finished runs in words if some are missing, else ""."""
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
    """Combinations, best first: without divergence by their mean, then with a diverged seed, then without a value."""
    rows = [Combination(values, tuple(plan.run(values, seed) for seed in plan.seed_numbers)) for values in combinations]
    return sorted(rows, key=lambda row: (row.mean is None, row.diverged > 0, row.mean or 0.0))


class Gap(NamedTuple):
    """The difference between the mean of a combination and that of the first, in nats.

    Args:      nats: the difference. error: its standard error over seeds. certain: whether the 95 % interval of the
               difference excludes 0.
    """

    nats: float
    error: float
    certain: bool


def gap_between(first: Combination, other: Combination) -> Gap | None:
    """The difference between two combinations, by Welch's test; None if one has fewer than two seeds.

    With few seeds the interval is wide: 4.3 standard errors for two seeds each.

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
    """The name of the validation quantity that selects weights, as in the log; None without one."""
    for run in runs:
        try:
            known = training_curves(run).known
        except NotComputable:
            continue
        for name in CRITERIA:
            if ("valid", name) in known:
                return name
    return None

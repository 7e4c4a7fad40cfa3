"""Health checks of a training: named verdicts, computed from its log and a few facts.

Each rule documents its criterion: `likelihood_rules` for trainings that minimise a likelihood, bound or distortion,
`settling_rules` for the end of such trainings, `baseline_rules` for models that are worse than the uniform
distribution, `gan_rules` for adversarial trainings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ancestral.core.errors import InputError
from ancestral.core.notebook import as_html
from ancestral.health import baseline_rules, gan_rules, likelihood_rules, settling_rules
from ancestral.health.curves import Case, Facts, Verdict
from ancestral.health.history import History, Line

RULES = (*gan_rules.RULES, *likelihood_rules.RULES, *settling_rules.RULES, *baseline_rules.RULES)


@dataclass(frozen=True)
class Examination:
    """The result of all checks.

    Attributes: verdicts: problems that were found. healthy: names of checks that passed. unjudged: names of checks for
                which the log is too short.
    """

    verdicts: tuple[Verdict, ...]
    healthy: tuple[str, ...]
    unjudged: tuple[str, ...]
    _repr_html_ = as_html

    @property
    def failures(self) -> tuple[Verdict, ...]:
        return tuple(verdict for verdict in self.verdicts if verdict.severity == "failure")

    def to_json(self) -> dict[str, Any]:
        """The record in the format of `health.json`."""
        return {
            "verdicts": [verdict.to_json() for verdict in self.verdicts],
            "healthy": list(self.healthy),
            "unjudged": list(self.unjudged),
        }

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> Examination:
        """The examination of a stored record.

        Raises:    InputError: the record has a wrong format.
        """
        try:
            verdicts = tuple(Verdict(**verdict) for verdict in record["verdicts"])
            return cls(verdicts, tuple(record["healthy"]), tuple(record["unjudged"]))
        except (KeyError, TypeError) as error:
            raise InputError(f"not a valid health record: {error}") from error

    @property
    def summary(self) -> str:
        """The result in one sentence: `healthy: all checks passed (divergence, ...)`, or the names of the problems."""
        found = ", ".join(f"{verdict.name} ({verdict.severity})" for verdict in self.verdicts)
        unsaid = f"; log too short to check: {', '.join(self.unjudged)}" if self.unjudged else ""
        if found:
            return found + unsaid
        return (f"healthy: all checks passed ({', '.join(self.healthy)})" if self.healthy else "not checked") + unsaid


def examine(log: Sequence[Line], facts: Facts) -> Examination:
    """Apply every health check that fits a training.

    Args:      log: readings in the order of the training, which may still be running. facts: see `Facts`.
    Returns:   the examination, failures first. While a training is running, all verdicts are warnings, because early
               problems (a VAE that does not use its latents yet, a generator whose samples are all similar) may
               disappear.
    """
    return examine_history(History(log), facts)


def examine_history(history: History, facts: Facts) -> Examination:
    """As `examine`, for readings that were collected before."""
    case = Case(history, facts)
    verdicts: list[Verdict] = []
    healthy, unjudged = [], []
    for rule in RULES:
        if not rule.applies(case):
            continue
        if not rule.ready(case):
            unjudged.append(rule.name)
        elif (verdict := rule.find(case)) is None:
            healthy.append(rule.name)
        else:
            verdicts.append(verdict if facts.finished else verdict._replace(severity="warning"))
    verdicts.sort(key=lambda verdict: verdict.severity != "failure")
    return Examination(tuple(verdicts), tuple(healthy), tuple(unjudged))


def diagnose(log: Sequence[Line], facts: Facts) -> list[Verdict]:
    """The verdicts of `examine`, without the checks that passed.

    Example:
        >>> from ancestral.training.log import LogLine
        >>> log = [LogLine(10 * t, t, "train", "loss", 100.0 + t * t) for t in range(1, 20)]
        >>> [(verdict.name, verdict.severity) for verdict in diagnose(log, Facts(1000, 10, 190))]
        [('divergence', 'failure')]
    """
    return list(examine(log, facts).verdicts)

"""The health of a training: named verdicts, from its log and a few facts.

Each rule documents what it looks for and how: `likelihood_rules` for trainings that minimise a meaningful loss,
`settling_rules` for how they end, `baseline_rules` for models that are worse than none, `gan_rules` for trainings of
two networks against each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ancestral.core.errors import InputError
from ancestral.core.notebook import as_html
from ancestral.health import baseline_rules, gan_rules, likelihood_rules, settling_rules
from ancestral.health.curves import Case, Facts, Line, Verdict

RULES = (*gan_rules.RULES, *likelihood_rules.RULES, *settling_rules.RULES, *baseline_rules.RULES)


@dataclass(frozen=True)
class Examination:
    """What was found, what was looked for in vain, and what the log says too little about, the latter by name."""

    verdicts: tuple[Verdict, ...]
    healthy: tuple[str, ...]
    unjudged: tuple[str, ...]
    _repr_html_ = as_html

    @property
    def failures(self) -> tuple[Verdict, ...]:
        return tuple(verdict for verdict in self.verdicts if verdict.severity == "failure")

    def to_json(self) -> dict[str, Any]:
        """The record as it stands in `health.json`."""
        return {
            "verdicts": [verdict.to_json() for verdict in self.verdicts],
            "healthy": list(self.healthy),
            "unjudged": list(self.unjudged),
        }

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> Examination:
        """Read a record back.

        Raises:    InputError: it is none.
        """
        try:
            verdicts = tuple(Verdict(**verdict) for verdict in record["verdicts"])
            return cls(verdicts, tuple(record["healthy"]), tuple(record["unjudged"]))
        except (KeyError, TypeError) as error:
            raise InputError(f"not a record of a training's health: {error}") from error

    @property
    def summary(self) -> str:
        """All of it in one sentence: `healthy: no divergence, ...`, or the names of what was found."""
        found = ", ".join(f"{verdict.name} ({verdict.severity})" for verdict in self.verdicts)
        unsaid = f"; too short a log to judge: {', '.join(self.unjudged)}" if self.unjudged else ""
        if found:
            return found + unsaid
        return (f"healthy: no sign of {', '.join(self.healthy)}" if self.healthy else "not judged") + unsaid


def examine(log: Sequence[Line], facts: Facts) -> Examination:
    """Hold a training's log against every rule that applies to it.

    Args:      log: its readings, in the order they were taken; also of a training under way. facts: see there.
    Returns:   failures first. Of a training under way all are warnings: what looks wrong early (a VAE that uses no
               latent yet, a generator whose draws are all alike) may still come right.
    """
    case = Case(log, facts)
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
    """The verdicts alone; see `examine`.

    Example:
        >>> from ancestral.training.log import LogLine
        >>> log = [LogLine(10 * t, t, "train", "loss", 100.0 + t * t) for t in range(1, 20)]
        >>> [(verdict.name, verdict.severity) for verdict in diagnose(log, Facts(1000, 10, 190))]
        [('divergence', 'failure')]
    """
    return list(examine(log, facts).verdicts)

"""The stored record of a bracket around log p(x): its bounds and how they were computed."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from ancestral.core.errors import InputError
from ancestral.core.notebook import as_html
from ancestral.evaluation.annealing import Annealing
from ancestral.evaluation.score import Score


@dataclass(frozen=True)
class BracketScore:
    """A score, and the annealed lower bound of the same images minus this score.

    Args:      score: of these images. gap: mean difference over images, nats; negative for the upper bound.
               gap_stderr: its standard error, from differences per image, so it is much smaller than that of the
               scores.
    """

    score: Score
    gap: float
    gap_stderr: float

    def to_json(self) -> dict[str, Any]:
        return {**self.score.to_json(), "gap": self.gap, "gap_stderr": self.gap_stderr}


@dataclass(frozen=True)
class Bracket:
    """The bracket of a run.

    Args:      scores: of simulated images, the upper bound first, then of test images, best first. plan: settings of
               the annealing. acceptance: acceptance rates on simulated and on test images. seed: random seed.
    """

    scores: tuple[BracketScore, ...]
    plan: Annealing
    acceptance: tuple[float, float]
    seed: int
    _repr_html_ = as_html

    @property
    def width(self) -> tuple[float, float]:
        """Upper minus lower bound on simulated images: mean and standard error, nats."""
        upper = next(one for one in self.scores if one.score.side == "upper")
        return -upper.gap, upper.gap_stderr

    @property
    def summary(self) -> str:
        """The width of the bracket and the settings of the annealing, on one line."""
        plan = self.plan
        return (
            f"bracket on simulated images: {self.width[0]:.3f} ± {self.width[1]:.3f} nats wide; {plan.temperatures} "
            f"temperatures, {plan.chains} chains of {plan.leapfrogs} leapfrog steps from the {plan.start}; accepted "
            f"{self.acceptance[0]:.0%} on simulated, {self.acceptance[1]:.0%} on test images"
        )

    def to_json(self) -> dict[str, Any]:
        """The record as stored in `bracket.json`."""
        return {
            "scores": [one.to_json() for one in self.scores],
            "plan": asdict(self.plan),
            "acceptance": list(self.acceptance),
            "seed": self.seed,
        }

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> Bracket:
        """Read a stored record.

        Raises:    InputError: fields are missing or unknown.
        """
        try:
            stored = record["scores"] if "scores" in record else record["rungs"]  # the earlier name
            scores = [dict(one) for one in stored]
            gaps = [(one.pop("gap"), one.pop("gap_stderr")) for one in scores]
            found = tuple(BracketScore(Score.from_json(one), *gap) for one, gap in zip(scores, gaps, strict=True))
            first, second = record["acceptance"]
            return cls(found, Annealing(**record["plan"]), (first, second), record["seed"])
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"not the record of a bracket: {error}; run `ancestral bracket` again") from error

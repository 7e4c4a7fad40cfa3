"""The ranking of the families of binary pixels by score: the best one, those level with it, and the others."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass

from ancestral.evaluation.score import Score, best_of, rank
from ancestral.runs.run import Run
from ancestral.studies.demonstrations.paired_scores import Difference, paired_difference
from ancestral.studies.parts import listed
from ancestral.studies.workshop import Workshop

CLEAR = 3.0  # standard errors
NEAR = 10.0  # standard errors: what lies further off need not be looked at image by image


@dataclass(frozen=True)
class Ranking:
    """Attributes: scores: of the families of drawn pixels, best first. close: how far the best lies above each that is
    near it, with the standard error of the differences image by image. looked_at: images these errors were found on."""

    scores: dict[str, Score]
    close: dict[str, Difference]
    looked_at: int

    @property
    def best(self) -> str:
        return next(iter(self.scores))

    @property
    def level(self) -> list[str]:
        """Families that the best is not clearly better than."""
        return [name for name, found in self.close.items() if not found.clear]

    def behind(self, name: str) -> float:
        """Nats below the best, by all test images."""
        return self.scores[self.best].nats - self.scores[name].nats


def ranking_of(workshop: Workshop) -> Ranking:
    """The ranking by all test images; standard errors of differences are computed from a subset of them."""
    drawn = [name for name, run in workshop.runs.items() if run.data.space.name == "binary"]
    found = [best_of(workshop.runs[name].scores(), name) for name in drawn]
    scores = {drawn[i]: found[i] for i in rank(found)}
    best, *others = scores
    near = [
        name
        for name in others
        if scores[best].nats - scores[name].nats < NEAR * math.hypot(scores[best].stderr, scores[name].stderr)
    ]
    samples, count = max(score.samples for score in scores.values()), workshop.size(1000, 50)

    def compute() -> dict[str, dict[str, object]]:
        close = {}
        for name in near:
            with workshop.progress.counter_for(f"{workshop.titles[best]} beside {workshop.titles[name]}") as progress:
                pair = workshop.runs[best], workshop.runs[name]
                close[name] = asdict(paired_difference(*pair, samples, count, progress))
        return close

    kept = workshop.remember("close scores", compute, near=near, samples=samples, count=count)
    close = {}
    for name, values in kept.items():
        some, whole = Difference(**values), scores[best].count
        stderr = some.stderr * math.sqrt(some.count / whole)
        close[name] = Difference(scores[best].nats - scores[name].nats, stderr, some.method, whole)
    return Ranking(scores, close, count)


def in_words(workshop: Workshop) -> str:
    """The best score, and which families are level with it."""
    found, titles = ranking_of(workshop), workshop.titles
    score = found.scores[found.best]
    text = (
        f"Among the {len(found.scores)} of drawn binary pixels the {titles[found.best]} has the highest score, "
        f"{score.nats:.2f} ± {score.stderr:.2f} nats an image ({score.kind_in_words})"
    )
    if not found.level:
        return f"{text}, clearly above the others."
    gaps = listed([f"{found.close[name].nats:.2f} ± {found.close[name].stderr:.2f}" for name in found.level])
    return (
        f"{text}; but {listed([titles[name] for name in found.level])} {_are(found.level)} level with it: on the same "
        f"{score.count:,} test images the difference is {gaps} nats, which is not clear of zero (standard errors from "
        f"the differences of {found.looked_at:,} of them)."
    )


def spans(workshop: Workshop) -> str:
    """How unequal the conditions were."""
    runs: Iterable[Run] = workshop.runs.values()
    images = _span([len(run.data.dataset.train) for run in runs])
    epochs = _span([run.outcome["epochs"] for run in runs])
    unequal = "to" in images + epochs
    return (
        f"The families were trained on {images} images for {epochs} epochs"
        + (", not all on equal terms" if unequal else "")
        + ": every order among them is one of this budget, and more training could change it."
    )


def _span(values: list[int]) -> str:
    low, high = min(values), max(values)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def _are(names: list[str]) -> str:
    return "is" if len(names) == 1 else "are"

"""The ranking of the families with binary pixels by score: the best, those not clearly behind it, and the others."""

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
NEAR = 10.0  # standard errors: families further behind are not compared image by image


@dataclass(frozen=True)
class Ranking:
    """Scores of the families with sampled binary pixels.

    Attributes: scores: best first. close: difference between the best and each family near it, with the standard error
                of the paired differences. looked_at: number of images from which these errors were computed.
    """

    scores: dict[str, Score]
    close: dict[str, Difference]
    looked_at: int

    @property
    def best(self) -> str:
        return next(iter(self.scores))

    @property
    def level(self) -> list[str]:
        """Families that are not clearly behind the best."""
        return [name for name, found in self.close.items() if not found.clear]

    def behind(self, name: str) -> float:
        """Nats below the best, on all test images."""
        return self.scores[self.best].nats - self.scores[name].nats


def ranking_of(workshop: Workshop) -> Ranking:
    """The ranking on all test images; standard errors of differences are computed from a subset of them."""
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
            with workshop.progress.counter_for(f"{workshop.titles[best]} minus {workshop.titles[name]}") as progress:
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
    """The best score, and the families that are not clearly behind it, as sentences."""
    found, titles = ranking_of(workshop), workshop.titles
    score = found.scores[found.best]
    text = (
        f"Among the {len(found.scores)} families with sampled binary pixels, the {titles[found.best]} has the highest "
        f"score: {score.nats:.2f} ± {score.stderr:.2f} nats per image ({score.kind_in_words})"
    )
    if not found.level:
        return f"{text}, clearly above the others."
    gaps = listed([f"{found.close[name].nats:.2f} ± {found.close[name].stderr:.2f}" for name in found.level])
    return (
        f"{text}. {listed([titles[name] for name in found.level])} {_are(found.level)} not clearly behind: on the same "
        f"{score.count:,} test images the difference is {gaps} nats (standard error from the paired differences of "
        f"{found.looked_at:,} of them)."
    )


def spans(workshop: Workshop) -> str:
    """The ranges of training images and epochs, as a sentence."""
    runs: Iterable[Run] = workshop.runs.values()
    images = _span([len(run.data.dataset.train) for run in runs])
    epochs = _span([run.outcome["epochs"] for run in runs])
    noun = "epoch" if epochs == "1" else "epochs"
    unequal = "to" in images + epochs
    return (
        f"The families were trained on {images} images for {epochs} {noun}"
        + (", so the conditions were not equal" if unequal else "")
        + ". The ranking holds for this budget; more training could change it."
    )


def _span(values: list[int]) -> str:
    low, high = min(values), max(values)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def _are(names: list[str]) -> str:
    return "is" if len(names) == 1 else "are"

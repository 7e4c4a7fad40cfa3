"""Completions of pixels under strokes by each family, with log p(hidden | seen) and its kind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ancestral.evaluation.score import Score
from ancestral.runs.complete import Completion, complete_runs
from ancestral.runs.run import Run
from ancestral.studies.parts import listed
from ancestral.studies.workshop import Workshop

SCORED = 100  # images whose pixels under strokes are scored
CAPTION = (
    "Test images with pixels hidden under thick strokes, and one completion by each family. Beside each row: the mean "
    "log-probability of the true hidden pixels given the others, with its kind, which the text describes."
)


def under_strokes(workshop: Workshop, named: Sequence[tuple[str, Run]]) -> list[Completion]:
    """Completions of pixels under strokes by each run, and log p(hidden | seen) of equally many images."""
    scored = workshop.size(SCORED, 10)
    shown = complete_runs(named, "drawn", count=workshop.size(8, 4))

    def compute() -> list[dict[str, Any]]:
        with workshop.progress.counter_for("scoring pixels under strokes") as progress:
            found = complete_runs(named, "drawn", count=1, scored=scored, progress=progress)
        return [one.to_json() for one in found]

    kept = workshop.remember("strokes", compute, scored=scored)
    scores = [None if one["score"] is None else Score.from_json(one["score"]) for one in kept]
    return [
        replace(one, score=score, reason=record["reason"])
        for one, score, record in zip(shown, scores, kept, strict=True)
    ]


def strokes_in_words(titles: Sequence[str], found: Sequence[Completion]) -> str:
    """Which families have an exact probability of the pixels under strokes, a bound, an estimate, or none."""
    kinds: dict[str, list[str]] = {}
    for title, one in zip(titles, found, strict=True):
        kinds.setdefault(one.score.kind if one.score else "none", []).append(title)
    words = {
        "exact": "Exact values",
        "bound": "Upper bounds, because log p(seen) is estimated with particles, and this is too low on average",
        "estimate": "Estimates, each the difference of two importance-weighted bounds",
        "none": "Not available",
    }
    told = [f"{what}: {listed(kinds[kind])}" for kind, what in words.items() if kind in kinds]
    text = f"The second figure hides pixels under strokes. Values of log p(hidden | seen). {'. '.join(told)}."
    scored = [(one.score, title) for title, one in zip(titles, found, strict=True) if one.score]
    if exact := [(score, title) for score, title in scored if score.kind == "exact"]:
        score, title = max(exact, key=lambda pair: pair[0].nats)
        text += f" The {title} has the highest exact value: {score.nats:.1f} \u00b1 {score.stderr:.1f} nats per image."
    return text

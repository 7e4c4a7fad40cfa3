"""The chapter of `tue2024` on learning rates: their curves, and the findings of the health checks."""

from __future__ import annotations

import math
from collections.abc import Mapping
from decimal import Decimal

from ancestral.core.errors import NotComputable
from ancestral.figures.curves import small_multiples
from ancestral.figures.series import Curve
from ancestral.reports.html import Table
from ancestral.reports.pictures.training import training_curves
from ancestral.runs.run import Run
from ancestral.studies.parts import listed
from ancestral.studies.recipe import ChapterContent
from ancestral.studies.workshop import Workshop

PREFIX = "rate-"
PANELS = {"validation, nats per image": ("valid", "negative_elbo"), "training minibatches": ("train", "loss")}
OVERSHOOTS = " (steps of this size overshoot)"
MEANING = {
    **dict.fromkeys(("divergence", "spikes", "oscillation", "late rise"), OVERSHOOTS),
    "learning rate too low": " (the loss is still falling when training ends)",
}
"""the meaning of a finding where only the rates differ"""


def rate_name(rate: float) -> str:
    """The folder of the run at a rate."""
    return f"{PREFIX}{rate:g}"


def learning_rates(workshop: Workshop) -> ChapterContent:
    names = [name for name in workshop.runs if name.startswith(PREFIX)]
    runs = {plain(name.removeprefix(PREFIX)): workshop.runs[name] for name in names}
    panels = {title: _curves(runs, *key) for title, key in PANELS.items()}
    drawn = small_multiples(
        [panel for panel in panels.items() if panel[1]], columns=1, title="VAE at several learning rates"
    )
    cross = "; a cross marks where a training diverged" if any(map(diverged, runs.values())) else ""
    caption = f"Negative ELBO at each learning rate{cross}."
    return ChapterContent(
        _in_words(runs), [_table(runs)], [workshop.figure("learning-rates", drawn, caption, of=names)]
    )


def plain(rate: str) -> str:
    """A small rate without an exponent, so that it is not broken across lines: `0.00001`."""
    return f"{Decimal(rate):f}" if float(rate) < 1 else rate


def _curves(runs: Mapping[str, Run], split: str, name: str) -> list[Curve]:
    """A curve for each rate with readings; the curve of a diverged run ends with the value that is not finite."""
    curves = []
    for rate, run in runs.items():
        readings = _readings(run, split, name, rate)
        if readings is None:
            continue
        steps, values = ([float(one) for one in side] for side in (readings.steps, readings.values))
        if diverged(run):
            steps, values = [*steps, steps[-1]], [*values, math.nan]
        curves.append(Curve(rate, steps, values))
    return curves


def _readings(run: Run, split: str, name: str, label: str = "") -> Curve | None:
    """One quantity of a training over epochs; None if it was never logged."""
    try:
        course = training_curves(run)
    except NotComputable:  # it diverged before its first reading
        return None
    return course.curve(split, name, label) if (split, name) in course.known else None


def diverged(run: Run) -> bool:
    return run.outcome["reason"] == "diverged"


def _table(runs: Mapping[str, Run]) -> Table:
    rows = []
    for rate, run in runs.items():
        values = _validation(run)
        rows.append(
            [
                rate,
                f"{len(values)}" + (", then diverged" if diverged(run) else ""),
                f"{min(values):.2f}" if values else "none",
                f"{values[-1]:.2f}" if values else "none",
                ", ".join(verdict.name for verdict in run.verdicts()) or "none",
            ]
        )
    caption = (
        "Negative ELBO of the validation images, in nats, and the findings of the health checks; their evidence is in "
        "the text above."
    )
    return Table(["rate", "epochs", "best", "last", "findings"], rows, caption, {1, 2, 3})


def _validation(run: Run) -> list[float]:
    held = _readings(run, "valid", "negative_elbo")
    return [float(value) for value in held.values] if held else []


def _in_words(runs: Mapping[str, Run]) -> str:
    """The comparison, a sentence for each rate, and the health checks that were made."""
    best = {rate: run.outcome["best_value"] for rate, run in runs.items() if run.outcome.get("best_value") is not None}
    told = [
        "The figure and the table compare learning rates. All runs start from the same weights and use the same images "
        "in the same order; only the rate differs."
    ]
    if best:
        ranked = ", ".join(f"{rate} ({best[rate]:.2f} nats)" for rate in sorted(best, key=lambda rate: best[rate]))
        told[0] += f" Best validation values, best first: {ranked}."
    told += [f"Rate {rate}. {_rate_in_words(rate, run, best)}" for rate, run in runs.items()]
    looked = [set(run.health.healthy) | {v.name for v in run.verdicts()} for run in runs.values() if run.health]
    if judged := sorted(set.intersection(*looked)) if looked else []:
        told.append(f"Each training was checked for {listed(judged)}. Only the findings named above were made.")
    return "\n\n".join(told)


def _rate_in_words(rate: str, run: Run, best: Mapping[str, float]) -> str:
    """A rate compared with the best one, and the findings of the health checks, as sentences."""
    if diverged(run):
        return f"The training diverged: {run.outcome['detail']}."
    told = [_beside(rate, best)] if rate in best else []
    for verdict in run.verdicts():
        told.append(f"{verdict.name.capitalize()}{MEANING.get(verdict.name, '')}: {verdict.evidence}.")
    if not run.verdicts():
        judged = run.health is not None and run.health.healthy
        told.append("Health checks: no problem found." if judged else "The log is too short for the health checks.")
    return " ".join(told)


def _beside(rate: str, best: Mapping[str, float]) -> str:
    """A rate compared with the best one, as a sentence."""
    first = min(best, key=lambda name: best[name])
    if rate == first:
        return "The best of the rates tried."
    size = "too large" if float(rate) > float(first) else "too small"
    return f"Its best value is {best[rate] - best[first]:.2f} nats above that of rate {first}: the rate is {size}."

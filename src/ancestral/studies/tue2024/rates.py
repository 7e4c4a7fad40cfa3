"""The chapter of `tue2024` on learning rates: their curves side by side, and what the examination names in each."""

from __future__ import annotations

import math
from collections.abc import Mapping

from ancestral.courses import Course
from ancestral.errors import NotComputable
from ancestral.figures.curves import small_multiples
from ancestral.figures.series import Curve
from ancestral.report import Table
from ancestral.run import Run
from ancestral.studies.recipe import Told
from ancestral.studies.workshop import Workshop

PREFIX = "rate-"
PANELS = {"validation, nats per image": ("valid", "negative_elbo"), "training minibatches": ("train", "loss")}
UNSTEADY, TOO_LOW = ("divergence", "spikes", "oscillation"), "learning rate too low"
"""names that the examination of a training gives"""


def rate_name(rate: float) -> str:
    """The folder of the run at a rate."""
    return f"{PREFIX}{rate:g}"


def learning_rates(workshop: Workshop) -> Told:
    runs = {name.removeprefix(PREFIX): run for name, run in workshop.runs.items() if name.startswith(PREFIX)}
    panels = {title: _curves(runs, *key) for title, key in PANELS.items()}
    drawn = small_multiples([panel for panel in panels.items() if panel[1]], columns=1)
    caption = "Negative ELBO at each learning rate; a cross marks where a training diverged."
    return Told(_in_words(runs), [_table(runs)], [workshop.figure("learning-rates", drawn, caption)])


def _curves(runs: Mapping[str, Run], split: str, name: str) -> list[Curve]:
    """A curve for each rate that has readings; one that diverged ends in the reading that was not finite."""
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
    """One quantity of a training over epochs; None where it was never read."""
    try:
        course = Course(run)
    except NotComputable:  # it diverged before its first reading
        return None
    return course.curve(split, name, label) if (split, name) in course.known else None


def diverged(run: Run) -> bool:
    return run.outcome["reason"] == "diverged"


def _table(runs: Mapping[str, Run]) -> Table:
    rows = []
    for rate, run in runs.items():
        held = _readings(run, "valid", "negative_elbo")
        values = [float(value) for value in held.values] if held else []
        found = "; ".join(f"{verdict.name}: {verdict.evidence}" for verdict in run.verdicts())
        rows.append(
            [
                rate,
                f"{len(values)}" + (", then diverged" if diverged(run) else ""),
                f"{min(values):.2f}" if values else "none",
                f"{values[-1]:.2f}" if values else "none",
                run.outcome["detail"] if diverged(run) else found or "nothing",
            ]
        )
    caption = "Negative ELBO of the validation images, nats, and what the examination of each training found."
    return Table(["rate", "epochs", "best", "last", "found"], rows, caption, {1, 2, 3})


def _in_words(runs: Mapping[str, Run]) -> str:
    best = {rate: run.outcome["best_value"] for rate, run in runs.items() if run.outcome.get("best_value") is not None}
    told = ["Each run sees the same images in the same order from the same weights; only the rate differs."]
    if best:
        ranked = ", ".join(f"{rate} ({best[rate]:.2f} nats)" for rate in sorted(best, key=lambda rate: best[rate]))
        told.append(f"From best to worst by their best validation value: {ranked}.")
        first = min(best, key=lambda rate: best[rate])
        told += [_beside(rate, first, value - best[first]) for rate, value in best.items() if value > best[first]]
    return " ".join([*told, *(_rate_in_words(rate, run) for rate, run in runs.items())])


def _beside(rate: str, first: str, behind: float) -> str:
    """What a rate that ends behind the best one, after equally many epochs, is said to be."""
    too = "too large: its steps do not settle as low" if float(rate) > float(first) else "too small for so many epochs"
    return f"In as many epochs {rate} stays {behind:.2f} nats above {first}; beside it, it is {too}."


def _unsettled(run: Run) -> str:
    """How far the last validation value lies above the best, where that is more than a nat."""
    held = _readings(run, "valid", "negative_elbo")
    lost = float(held.values[-1]) - min(map(float, held.values)) if held and not diverged(run) else 0.0
    return f" It has not settled: its last value lies {lost:.2f} nats above its best." if lost > 1 else ""


def _rate_in_words(rate: str, run: Run) -> str:
    """What became of one rate, as the examination has it."""
    if diverged(run):
        return f"At {rate} the training diverged: {run.outcome['detail']}."
    named = [verdict.name for verdict in run.verdicts()]
    if not named:
        judged = run.health.healthy if run.health else ()
        sign = f"shows no sign of {', '.join(judged)}" if judged else "has too short a log to judge by"
        return f"At {rate} the training {sign}.{_unsettled(run)}"
    told = []
    if unsteady := [name for name in named if name in UNSTEADY]:
        told.append(f"{' and '.join(unsteady)} (steps of that size overshoot)")
    if TOO_LOW in named:
        told.append(f"{TOO_LOW} (the curve is still on its way down when the epochs end)")
    told += [name for name in named if name not in (*UNSTEADY, TOO_LOW)]
    return f"At {rate} the examination names {', and '.join(told)}.{_unsettled(run)}"

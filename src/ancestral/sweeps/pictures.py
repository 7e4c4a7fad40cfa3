"""Figures of a sweep: learning curves, and results along each axis."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ancestral.core.errors import NotComputable
from ancestral.figures.curves import learning_curves, small_multiples
from ancestral.figures.series import Curve
from ancestral.figures.style import PALETTE, save_figure
from ancestral.health.training_curves import IN_WORDS
from ancestral.reports.pictures.training import training_curves
from ancestral.runs.run import Run
from ancestral.sweeps.plan import Plan, is_number
from ancestral.sweeps.ranking import Combination, criterion
from ancestral.sweeps.sweep_axes import Range, in_text

MOST_CURVES = len(PALETTE)
MOST_PANELS = 12
GAME = ("diversity", "coverage", "recognised")  # quantities of the samples of a GAN
FEWEST = 3  # smallest number of values along an axis for a figure


def compared(plan: Plan, rows: Sequence[Combination]) -> Path | None:
    """The held-out curves of the combinations in one plot; for a GAN, the coverage of its samples."""
    name = _shown(rows)
    key = ("samples", "coverage") if name is None else ("valid", name)
    found = [mean_curve(_label(plan, row), row.finished, *key) for row in rows[:MOST_CURVES]]
    curves = [curve for curve in found if curve]
    if not curves:
        return None
    title = "coverage of held-out data by samples" if name is None else f"validation {IN_WORDS[name]}, nats"
    if len(plan.axes) == 1:
        title += f", by {next(iter(plan.axes)).replace('_', ' ')}"
    return _saved(plan, "curves", learning_curves(curves, title=f"{plan.family}: {title}"))


def panels(plan: Plan, rows: Sequence[Combination]) -> Path | None:
    """One panel per combination: training and held-out curves, or for a GAN quantities of its samples."""
    name = _shown(rows)
    if name is None:
        keys = [(quantity, "samples", quantity) for quantity in GAME]
    else:
        keys = [("train", "train", name), ("train", "train", "loss"), ("valid", "valid", name)]
    drawn = []
    for row in rows[:MOST_PANELS]:
        found = {key[0]: curve for key in keys if (curve := mean_curve(key[0], row.finished, *key[1:]))}
        if "train" in found:
            found["train"].band = None  # minibatches vary more than seeds
        if found:
            drawn.append((row.name, list(found.values())))
    title = "samples compared with held-out data" if name is None else f"{IN_WORDS[name]}, nats"
    return _saved(plan, "panels", small_multiples(drawn, title=f"{plan.family}: {title}")) if len(drawn) > 1 else None


def by_axis(plan: Plan, rows: Sequence[Combination]) -> dict[str, Path]:
    """For each numeric axis, a figure of the best validation value of every run."""
    name = _shown(rows)
    if name is None:
        return {}
    drawn = {}
    for axis in plan.axes:
        curves = _along(plan, axis, rows)
        if not curves:
            continue
        low, high = curves[0].steps[0], curves[0].steps[-1]
        log = bool(low > 0 and high >= 10 * low)
        title = f"best validation {IN_WORDS[name]}, nats"
        figure = learning_curves(curves, xlabel=axis.replace("_", " "), title=f"{plan.family}: {title}", log_x=log)
        drawn[axis] = _saved(plan, f"by-{axis.replace('_', '-')}", figure)
    return drawn


def _along(plan: Plan, axis: str, rows: Sequence[Combination]) -> list[Curve]:
    """The results along an axis: a point per run and a line through the best; empty for too few values."""
    numbers = [row for row in rows if is_number(row.values[axis])]
    points = sorted((row.values[axis], _best_value(run)) for row in numbers for run in row.finished)
    places = sorted({x for x, _ in points})
    if len(places) < FEWEST or not any(math.isfinite(y) for _, y in points):
        return []
    runs = Curve("runs", [x for x, _ in points], [y for _, y in points], style="points")
    return [runs] if isinstance(plan.axes[axis], Range) else [runs, _best_along(axis, places, numbers)]


def _best_value(run: Run) -> float:
    value = run.outcome.get("best_value")
    return math.nan if value is None else value


def _best_along(axis: str, places: Sequence[float], rows: Sequence[Combination]) -> Curve:
    """The best mean over seeds at each value of an axis; NaN if every combination diverged."""
    best = [next((row for row in rows if row.values[axis] == x and not row.diverged), None) for x in places]
    means = [math.nan if row is None or row.mean is None else row.mean for row in best]
    return Curve("best", places, means)


def _label(plan: Plan, row: Combination) -> str:
    return in_text(next(iter(row.values.values()))) if len(plan.axes) == 1 else row.name


def mean_curve(label: str, runs: Sequence[Run], split: str, name: str) -> Curve | None:
    """The mean of one quantity over seeds with a band of one standard deviation, up to the end of the shortest run.

    Diverged runs are omitted if others did not diverge; if all did, the curve ends with NaN.
    """
    sound = [run for run in runs if run.outcome["reason"] != "diverged"]
    found = [curve for run in sound or runs if (curve := _read(run, label, split, name))]
    if not found:
        return Curve(label, [0.0], [math.nan]) if runs and not sound else None
    length = min(len(curve.steps) for curve in found)
    steps = np.asarray(found[0].steps)[:length]
    values = np.array([list(curve.values)[:length] for curve in found])
    mean = values.mean(0)
    if sound:
        return Curve(label, steps, mean, _spread(values))
    return Curve(label, np.append(steps, steps[-1]), np.append(mean, math.nan))


def _spread(values: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """The mean minus and plus one standard deviation over seeds; values have shape (seeds, n)."""
    if len(values) < 2:
        return None
    mean, deviation = values.mean(0), values.std(0, ddof=1)
    return mean - deviation, mean + deviation


def _read(run: Run, label: str, split: str, name: str) -> Curve | None:
    try:
        course = training_curves(run)
    except NotComputable:  # the run diverged in its first steps
        return None
    return course.curve(split, name, label) if (split, name) in course.known else None


def _shown(rows: Sequence[Combination]) -> str | None:
    """The validation quantity of the curves: that of the best combination."""
    return next((name for row in rows if (name := criterion(row.finished))), None)


def _saved(plan: Plan, stem: str, figure: object) -> Path:
    path = plan.out / "figures" / f"{stem}.png"
    save_figure(figure, path)  # type: ignore[arg-type]
    return path

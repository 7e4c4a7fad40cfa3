"""Trainings that were too short for their pictures to be results, and how a page says so."""

from __future__ import annotations

from collections.abc import Collection

from ancestral.core.text import plural
from ancestral.runs.run import Run

ENOUGH_STEPS, ENOUGH_EPOCHS = 100, 10  # either suffices: EM takes few steps, and each sees much of the data


def brief_in_words(run: Run) -> str:
    """A sentence about a training of few steps; an empty text for a longer one, or for weights from elsewhere."""
    outcome = run.outcome
    steps, epochs = outcome.get("steps"), outcome.get("epochs")
    if steps is None or epochs is None or steps >= ENOUGH_STEPS or epochs >= ENOUGH_EPOCHS:
        return ""
    return f"Not a result: the model was trained for {plural(steps, 'step')} only ({outcome['seconds']:.1f} s)."


def any_brief_in_words(runs: Collection[Run]) -> str:
    """The same for a picture of several runs, or of none."""
    if len(runs) == 1:
        return brief_in_words(*runs)
    brief = sum(bool(brief_in_words(run)) for run in runs)
    if not brief:
        return ""
    which = f"all {brief}" if brief == len(runs) else f"{brief} of the {len(runs)}"
    return f"Not a result: {which} models were trained for fewer than {ENOUGH_STEPS} steps."

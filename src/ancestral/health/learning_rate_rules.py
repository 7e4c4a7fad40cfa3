"""Trainings whose learning rate is too low: the loss hardly moves, or is still falling at the end.

Notation: v_0 is the reading before anything was learned, `end` the last median of three readings, s the noise of a
reading (`LogCurve.noise`).
"""

from __future__ import annotations

import numpy as np

from ancestral.health.curves import (
    CERTAIN,
    MIN_READINGS,
    MIN_STEPS,
    WINDOW,
    WORSE,
    Case,
    LogCurve,
    Verdict,
)

UNMOVED = 0.01
"""learning rate too low: a gain below this share of the loss's size is none"""
STRAIGHT = 0.7
"""learning rate too low: a straight line falls by 1/4 of its whole fall in its last quarter; a curve that falls
there by 0.7 of that is far from flat; healthy: 0.65, with a plateau, mostly below 0.3"""
UNDIMINISHED = 0.025
"""learning rate too low: share of the gain that a last quarter at a constant rate may still bring, where it brings
`AS_BEFORE` of what the quarter before brought; healthy and done: 0.007. Where most is gained at once (by the mean
image, say), a slow course after it is no straight line of the whole."""
AS_BEFORE = 0.9


def hardly_moved(case: Case) -> bool:
    """Whether a training has learned next to nothing: after `MIN_STEPS` updates, on minibatches,

    max(v_0, first readings) - end < max(CERTAIN s, UNMOVED |v_0|), and end no higher than that above v_0.
    """
    loss = case.loss
    if case.step < MIN_STEPS or len(loss) < MIN_READINGS:
        return False
    least = max(CERTAIN * loss.noise, UNMOVED * abs(case.beginning))
    highest = max(case.beginning, float(loss.smooth[WINDOW - 1]))
    return highest - loss.end < least and loss.end - case.beginning < max(least, WORSE * abs(case.beginning))


def too_low_a_rate(case: Case) -> Verdict | None:
    """Learning rate too low: it hardly moved (a failure; see `hardly_moved`), or it ends far from flat (a warning):

        level(q) - end > STRAIGHT / 4 (v_0 - end)  and  > CERTAIN s,

    q where three quarters of the learning rate's sum are spent; or, at a constant rate, it falls on undiminished:

        level(q) - end > AS_BEFORE (level(h) - level(q))  and  > UNDIMINISHED (v_0 - end)  and  > CERTAIN s,

    h where half of it is. Judged on the held-out curve where it has `MIN_READINGS`, and only once the training is over.
    """
    if hardly_moved(case):
        return _not_moving(case)
    return _far_from_flat(case) if case.facts.finished else None


def _not_moving(case: Case) -> Verdict:
    fall = case.beginning - case.loss.end
    return Verdict(
        "learning rate too low",
        "failure",
        f"after {case.step} updates at rate {case.facts.learning_rate:g} the training loss went from "
        f"{case.beginning:.4g} to {case.loss.end:.4g} nats: it hardly moved ({fall:.2g})",
        "Raise --learning-rate; if that does not help, no gradient reaches the model",
        case.step,
    )


def _far_from_flat(case: Case) -> Verdict | None:
    """The warning of `too_low_a_rate`, for a training that is over."""
    facts = case.facts
    name, curve, start = next(course for course in case.courses()[::-1] if len(course[1]) >= MIN_READINGS)
    half, quarter = _updates_at(case, curve, 0.5), _updates_at(case, curve, 0.75)
    before, fall = curve.level(half) - curve.level(quarter), curve.level(quarter) - curve.end
    whole = start - curve.end
    steady = fall >= STRAIGHT / 4 * whole
    undiminished = not facts.cosine and fall > max(AS_BEFORE * before, UNDIMINISHED * whole)
    if whole <= 0 or fall < CERTAIN * curve.noise or not (steady or undiminished):
        return None
    beside = (
        f"{'more than' if fall > before else 'hardly less than'} the {before:.3g} of the quarter before: it is not done"
        if undiminished
        else f"where a straight line would have fallen by {whole / 4:.3g}: it is far from flat"
    )
    return Verdict(
        "learning rate too low",
        "warning",
        f"{name} fell by {fall:.3g} nats in the last quarter of the {'way' if facts.cosine else 'training'}, {beside}",
        "Raise --learning-rate, or train for more --epochs",
        int(quarter),
    )


def _updates_at(case: Case, curve: LogCurve, share: float) -> float:
    """The update by which this share of the sum of the learning rate until the curve's last reading was spent."""
    ways = np.array([case.facts.way(step) for step in curve.steps])
    return float(np.interp(share * ways[-1], ways, curve.steps))

"""Check for a learning rate that is too low: the loss hardly changes, or is still decreasing at the end.

Notation: v_0 is the reading of the untrained model, `end` the median of the last three readings, s the noise of a
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
"""an improvement below this share of the size of the loss does not count"""
STRAIGHT = 0.7
"""decrease in the last quarter, relative to a straight line (1/4 of the total decrease), above which a curve is far
from flat; largest value in healthy runs: 0.65, after a plateau; mostly below 0.3"""
UNDIMINISHED = 0.025
"""with a constant rate, share of the total improvement in the last quarter above which a training is not finished, if
the quarter also has `AS_BEFORE` of the improvement of the quarter before; healthy finished runs: 0.007. It detects slow
progress after a fast start (the mean image, for example), which is not a straight line."""
AS_BEFORE = 0.9


def hardly_moved(case: Case) -> bool:
    """Whether the loss on minibatches hardly changed in at least `MIN_STEPS` updates:

    max(v_0, first readings) - end < max(CERTAIN s, UNMOVED |v_0|), and end exceeds v_0 by no more than that.
    """
    loss = case.loss
    if case.step < MIN_STEPS or len(loss) < MIN_READINGS:
        return False
    least = max(CERTAIN * loss.noise, UNMOVED * abs(case.beginning))
    highest = max(case.beginning, float(loss.smooth[WINDOW - 1]))
    return highest - loss.end < least and loss.end - case.beginning < max(least, WORSE * abs(case.beginning))


def too_low_a_rate(case: Case) -> Verdict | None:
    """Learning rate too low: the loss hardly changed (a failure, see `hardly_moved`), or ends far from flat (a
    warning):

        level(q) - end > STRAIGHT / 4 (v_0 - end)  and  > CERTAIN s,

    at q, three quarters of the sum of the learning rate are used; or, at a constant rate, the decrease does not slow
    down:

        level(q) - end > AS_BEFORE (level(h) - level(q))  and  > UNDIMINISHED (v_0 - end)  and  > CERTAIN s,

    at h, half of the sum is used. The warning uses the held-out curve if it has `MIN_READINGS`, and only after the
    training.
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
        f"{case.beginning:.4g} to {case.loss.end:.4g} nats: it hardly changed ({fall:.2g})",
        "Raise --learning-rate; if that does not help, check that the model has gradients",
        case.step,
    )


def _far_from_flat(case: Case) -> Verdict | None:
    """The warning of `too_low_a_rate`, for a finished training."""
    facts = case.facts
    name, curve, start = next(course for course in case.courses()[::-1] if len(course[1]) >= MIN_READINGS)
    half, quarter = _updates_at(case, curve, 0.5), _updates_at(case, curve, 0.75)
    before, fall = curve.level(half) - curve.level(quarter), curve.level(quarter) - curve.end
    whole = start - curve.end
    steady = fall >= STRAIGHT / 4 * whole
    rose = before < -CERTAIN * curve.noise  # recovery from a jump: the quarters cannot be compared
    undiminished = not facts.cosine and not rose and fall > max(AS_BEFORE * before, UNDIMINISHED * whole)
    if whole <= 0 or fall < CERTAIN * curve.noise or not (steady or undiminished):
        return None
    beside = (
        f"{'more than' if fall > before else 'hardly less than'} the {max(before, 0):.3g} of the quarter before: "
        "not converged"
        if undiminished
        else f"and a straight line would have fallen by {whole / 4:.3g}: it is far from flat"
    )
    part = "sum of the learning rate" if facts.cosine else "training"
    return Verdict(
        "learning rate too low",
        "warning",
        f"{name} fell by {fall:.3g} nats in the last quarter of the {part}, {beside}",
        "Raise --learning-rate, or train for more --epochs",
        int(quarter),
    )


def _updates_at(case: Case, curve: LogCurve, share: float) -> float:
    """The update at which this share of the sum of the learning rate, up to the last reading of the curve, is used."""
    sums = np.array([case.facts.rate_sum(step) for step in curve.steps])
    return float(np.interp(share * sums[-1], sums, curve.steps))

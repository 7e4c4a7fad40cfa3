"""Check of the end of a held-out curve: whether the training has settled.

`likelihood_rules` uses shares of the total improvement, which are too coarse for the end: most of the improvement may
come in the first epoch (from the mean image alone), and several nats at the end are then less than a hundredth of it.
The check here uses the noise of the readings and the improvement in the second half.
"""

from __future__ import annotations

import numpy as np

from ancestral.health.advice import SETTLED, advice
from ancestral.health.curves import CERTAIN, MIN_SWINGS, WINDOW, Case, Rule, Verdict, words
from ancestral.health.likelihood_rules import divergence, holds_out, over_fitting, still_learning

UNDONE = 0.5
"""share of the improvement of the second half that is lost again. In about forty healthy runs, cut after each of their
readings, a loss above `CERTAIN` noise levels was never this large."""


def late_rise(case: Case) -> Verdict | None:
    """Late rise: the held-out curve ends above its earlier values, in the last reading alone or permanently.

        J = v_n - max(v_{n-3..n-1}) - max(0, median of the last three steps before)
        L = end - best, or 0 if the training loss still decreases (that is `over_fitting`, or a small amount of it)
        max(J, L) > CERTAIN s  and  > UNDONE (level(half of the updates) - best)

    Checked after the training only, because a high reading may decrease again. Not reported together with `divergence`
    or `over_fitting`. Always a warning: with a validation split, the weights of the best validation are kept.
    """
    held = case.held
    assert held is not None and case.criterion is not None
    if not case.facts.finished or divergence(case) is not None or over_fitting(case) is not None:
        return None
    v = held.values
    jump = v[-1] - v[-1 - WINDOW : -1].max() - max(0.0, float(np.median(np.diff(v[:-1])[-WINDOW:])))
    lasting = 0.0 if still_learning(case, held) else held.end - held.best
    gained = held.level(held.steps[-1] / 2) - held.best
    if max(jump, lasting) <= max(CERTAIN * held.noise, UNDONE * gained):
        return None
    above = "the three readings before" if jump >= lasting else f"its best, at {case.at(held.best_step)}"
    return Verdict(
        "late rise",
        "warning",
        f"the held-out {words(case.criterion[1])} ends at {v[-1]:.4g} nats, {max(jump, lasting):.3g} above {above}; "
        f"the noise of its readings is ± {held.noise:.2g}, and the second half improved it by {gained:.3g}",
        advice(case.facts, *SETTLED),
        int(held.steps[-1]),
    )


RULES = (Rule("late rise", holds_out, lambda case: case.held is not None and len(case.held) >= MIN_SWINGS, late_rise),)

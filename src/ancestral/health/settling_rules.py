"""Whether a training that minimises a meaningful loss has come to rest: the end of its held-out curve.

Shares of the whole gain, by which `likelihood_rules` judges, do not show the end: where nearly all is gained in the
first epoch (by the mean image alone), a loss of several nats in the last is hardly a hundredth of it. What is lost here
is compared with the noise of the readings and with what the second half of the training gained.
"""

from __future__ import annotations

import numpy as np

from ancestral.health.curves import CERTAIN, MIN_SWINGS, WINDOW, Case, Rule, Verdict, words
from ancestral.health.likelihood_rules import divergence, holds_out, over_fitting, still_learning

UNDONE = 0.5
"""share of what the second half gained, lost again. Some forty healthy runs, each broken off after every one of its
readings, never lost so much by more than `CERTAIN` noise levels."""


def late_rise(case: Case) -> Verdict | None:
    """Late rise, of a training that has not settled: the held-out curve ends above where it had been, be it in its
    last reading alone or to stay.

        J = v_n - max(v_{n-3..n-1}) - max(0, median of the last three steps before)
        L = end - best, unless the training loss goes on falling (that is `over_fitting`, or too little of it)
        max(J, L) > CERTAIN s  and  > UNDONE (level(half of the updates) - best)

    Judged once the training is over, for a reading that is up may come down; not said where `divergence` or
    `over_fitting` is. Always a warning: the weights kept are those of the best validation, where there is one.
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
        f"its readings swing by ± {held.noise:.2g}, and all of the second half had gained {gained:.3g}",
        "Lower --learning-rate, or let it fall: --schedule cosine",
        int(held.steps[-1]),
    )


RULES = (Rule("late rise", holds_out, lambda case: case.held is not None and len(case.held) >= MIN_SWINGS, late_rise),)

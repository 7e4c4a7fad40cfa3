"""Health checks of trainings that minimise a negative log-likelihood, a bound or a distortion.

Notation: v_0 is the reading of the untrained model, `best` the smallest and `end` the last median of three readings, G
= v_0 - best the improvement of the training, s the noise of a reading (`LogCurve.noise`). Thresholds are shares of G,
so that they apply to all data and pixel spaces. They were set with about fifty healthy runs of all families; "healthy"
states the largest share in these runs.
"""

from __future__ import annotations

import numpy as np

from ancestral.health.advice import CALMER, STEADIER, advice
from ancestral.health.curves import (
    CERTAIN,
    MIN_HELD,
    MIN_READINGS,
    MIN_STEPS,
    MIN_SWINGS,
    WINDOW,
    WORSE,
    Case,
    LogCurve,
    Rule,
    Verdict,
    trailing_medians,
    words,
)
from ancestral.health.learning_rate_rules import hardly_moved, too_low_a_rate

LOST_WARNING, LOST_FAILURE = 0.1, 0.5
"""divergence: share of the improvement that is lost again; healthy: 0.01"""
RISE = 0.03
"""over-fitting: rise of the held-out curve as a share of the improvement; healthy: 0.015"""
SPIKE = 0.05
"""spikes: height as a share of the improvement; healthy: 0.04"""
SPIKE_NOISE = 6.0
"""spikes: height in noise levels"""
SWING = 0.03
"""oscillation: noise of the held-out curve as a share of the improvement; healthy: 0.008. Every reading uses the same
images and the same random numbers, so the noise comes from changes of the weights."""
ACTIVE = 0.01
"""nats: a latent is active if its mean KL divergence over images exceeds this"""
NONE_ACTIVE = (
    ("lower --beta", "set --free-bits", "lower --learning-rate", "make the decoder smaller (--hidden)"),
    ("lower --learning-rate", "make the decoder smaller (--hidden)"),
)
SOME_ACTIVE = (
    ("use fewer --latents; to make the model use more of them, set --free-bits or lower --beta",),
    ("use fewer --latents",),
)
"""posterior collapse: advice if no latent is active, and if some are"""
FEW_ACTIVE = 0.1
"""posterior collapse: share of active latents below which there is a warning"""


def divergence(case: Case) -> Verdict | None:
    """Divergence of the training loss or of the held-out curve. A failure if a reading is not finite, or if

        end - v_0 > WORSE |v_0|,  unless it hardly changed     (worse than untrained), or
        end - best > LOST_FAILURE G  and  > CERTAIN s          (half of the improvement is lost);

    a warning from LOST_WARNING G on. A held-out curve that rises while the training loss decreases is `over_fitting`
    instead. In a training with fewer than `WINDOW` readings, only the held-out curve is compared with v_0, because the
    loss is then a mean that includes early updates.
    """
    verdicts = (_diverged(case, *course) for course in case.courses())
    return next((verdict for verdict in verdicts if verdict is not None), None)


def _diverged(case: Case, name: str, curve: LogCurve, start: float) -> Verdict | None:
    """The verdict of `divergence` on one curve."""
    if curve.first_infinite is not None:
        evidence = f"{name} is not finite at {case.at(curve.first_infinite)}"
        return Verdict("divergence", "failure", evidence, advice(case.facts, *CALMER), curve.first_infinite)
    if curve is case.held and still_learning(case, curve):
        return None
    gain, rise = start - curve.best, curve.end - curve.best
    judged = len(curve) >= WINDOW or (curve is case.held and case.facts.finished)
    if judged and curve.end - start > WORSE * abs(start) and not hardly_moved(case):
        evidence = f"{name} ends at {curve.end:.4g} nats, above {start:.4g} of the untrained model"
        return Verdict("divergence", "failure", evidence, advice(case.facts, *CALMER), case.step)
    if len(curve) < MIN_HELD or rise <= max(LOST_WARNING * gain, CERTAIN * curve.noise):
        return None
    return Verdict(
        "divergence",
        "failure" if rise > LOST_FAILURE * gain else "warning",
        f"{name} rose from {curve.best:.4g} at {case.at(curve.best_step)} to {curve.end:.4g} nats, "
        f"{rise / gain:.0%} of its improvement",
        advice(case.facts, *CALMER),
        curve.best_step,
    )


def still_learning(case: Case, held: LogCurve) -> bool:
    """Whether the training loss decreased after the best held-out reading, to a value below its initial one."""
    loss = case.loss
    return len(loss) >= WINDOW and loss.end < loss.level(held.best_step) and loss.end < case.beginning


def over_fitting(case: Case) -> Verdict | None:
    """Over-fitting: the held-out curve rises while the training loss decreases.

        end - best > RISE G  and  > CERTAIN s,  and the training loss ends below its value at the best epoch.

    Always a warning: with a validation split, the weights of the best validation are kept.
    """
    held = case.held
    assert held is not None and case.criterion is not None
    gain, rise = case.held_beginning - held.best, held.end - held.best
    if rise <= max(RISE * gain, CERTAIN * held.noise) or not still_learning(case, held):
        return None
    kept = case.criterion[0] == "valid"
    return Verdict(
        "over-fitting",
        "warning",
        f"the held-out {words(case.criterion[1])} is best at {case.at(held.best_step)} ({held.best:.4g} nats) and "
        f"then rises by {rise:.3g}, while the training loss falls from {case.loss.level(held.best_step):.4g} to "
        f"{case.loss.end:.4g} ({case.facts.train_images} training images)",
        "The weights of the best validation are kept; --patience stops the training earlier"
        if kept
        else "Without a validation split the last weights are kept: give --valid-size, or train for fewer --epochs",
        held.best_step,
    )


def spikes(case: Case) -> Verdict | None:
    """Spikes: single readings far above the readings before and after.

        h_i = v_i - max(median(v_{i-3..i-1}), median(v_{i+1..i+3})) > SPIKE G  and  > SPIKE_NOISE s

    If v_0 is among the readings before, the height must also exceed WORSE |v_0|, because v_0 is of a single batch. A
    decrease is not a spike, and a rise that stays is `divergence`.
    """
    found: list[tuple[float, int, str, float]] = []
    for name, curve, start in case.courses():
        if len(curve) < MIN_READINGS or (gain := start - curve.best) <= 0:
            continue
        v, steps = np.append(start, curve.values), np.append(0, curve.steps)
        before, after = trailing_medians(v)[:-2], trailing_medians(v[::-1])[-3::-1]
        heights = v[1:-1] - np.maximum(before, after)
        least = np.full(len(heights), max(SPIKE * gain, SPIKE_NOISE * curve.noise))
        least[:WINDOW] = np.maximum(least[:WINDOW], WORSE * abs(start))
        found += [(heights[i] / gain, int(steps[i + 1]), name, heights[i]) for i in np.flatnonzero(heights > least)]
    if not found:
        return None
    share, step, name, height = max(found)
    return Verdict(
        "spikes",
        "warning",
        f"{len(found)} in the curves; the highest, of {name} at {case.at(step)}, is {height:.3g} nats, "
        f"{share:.0%} of the total improvement",
        advice(case.facts, *CALMER),
        step,
    )


def oscillation(case: Case) -> Verdict | None:
    """Oscillation: the noise of the held-out curve is large, s > SWING G."""
    held = case.held
    assert held is not None
    gain = case.held_beginning - held.best
    if gain <= 0 or held.noise <= SWING * gain:
        return None
    return Verdict(
        "oscillation",
        "warning",
        f"the held-out curve changes by ± {held.noise:.3g} nats from reading to reading, "
        f"{held.noise / gain:.1%} of the total improvement",
        advice(case.facts, *STEADIER),
        int(held.steps[-1]),
    )


def posterior_collapse(case: Case) -> Verdict | None:
    """Posterior collapse: q(z | x) hardly depends on x. A latent is active if its mean KL divergence over held-out
    images exceeds `ACTIVE`. In the median of the last three readings

        none active (or, if the divergence has no terms per latent, KL < ACTIVE M)    failure
        active / J < FEW_ACTIVE                                                 warning

    Not reported for a training whose loss hardly changed.

    Reference: Burda et al., 2016, section 5.2, arXiv 1509.00519 (active units; there by the variance of the mean).
    """
    kl, latents = case.curve("valid", "kl"), case.facts.latents or 1
    assert kl is not None
    active = _active_latents(case)
    none = active == 0 if active is not None else kl.end < ACTIVE * latents
    if hardly_moved(case) or not (none or (active is not None and active < FEW_ACTIVE * latents)):
        return None
    share = "" if active is None else f"{active:.0f} of {latents} latents active ({active / latents:.0%}); "
    return Verdict(
        "posterior collapse",
        "failure" if none else "warning",
        f"{share}KL {kl.end:.2g} nats per image, {kl.end / latents:.2g} per latent",
        advice(case.facts, *(NONE_ACTIVE if none else SOME_ACTIVE)),
        int(kl.steps[-1]),
    )


def _active_latents(case: Case) -> float | None:
    """The number of active latents at the end; None if it is not logged."""
    units = case.curve("valid", "active_units")
    return units.recent(WINDOW) if units is not None and len(units) else None


def _minimises(case: Case) -> bool:
    return not case.adversarial


def shows_divergence(case: Case) -> bool:
    """Whether divergence can be checked; a short log can show divergence, but not its absence."""
    return len(case.loss) >= WINDOW or (case.facts.finished and divergence(case) is not None)


def holds_out(case: Case) -> bool:
    return not case.adversarial and case.held is not None


RULES = (
    Rule("divergence", _minimises, shows_divergence, divergence),
    Rule(
        "posterior collapse",
        lambda case: case.curve("valid", "kl") is not None,
        lambda case: case.step >= MIN_STEPS and case.length("valid", "kl") >= WINDOW,
        posterior_collapse,
    ),
    Rule(
        "learning rate too low",
        lambda case: not case.adversarial and case.facts.learning_rate is not None,
        lambda case: case.step >= MIN_STEPS and len(case.loss) >= MIN_READINGS,
        too_low_a_rate,
    ),
    Rule("spikes", _minimises, lambda case: len(case.loss) >= MIN_READINGS, spikes),
    Rule(
        "oscillation",
        holds_out,
        lambda case: case.held is not None and len(case.held) >= MIN_SWINGS,
        oscillation,
    ),
    Rule(
        "over-fitting",
        holds_out,
        lambda case: case.held is not None and len(case.held) >= MIN_HELD,
        over_fitting,
    ),
)

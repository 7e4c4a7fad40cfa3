"""Check whether a model of discrete pixels is better than the uniform distribution over all images."""

from __future__ import annotations

from ancestral.health.advice import advice
from ancestral.health.curves import CRITERIA, MIN_STEPS, Case, Rule, Verdict, words
from ancestral.health.likelihood_rules import divergence, shows_divergence

LIKELIHOODS = CRITERIA[:2]
"""logged quantities that are -log p(x) or a bound on it; a distortion is neither"""


def kept(case: Case) -> tuple[str, float, int] | None:
    """The name, value in nats, and step of the reading for the weights that are kept; None without such a reading.

    It is the smallest reading of the validation, which selects the weights, else the last one of the held-out images,
    else the last one of the minibatches.
    """
    for split in ("valid", "test", "train"):
        for name in LIKELIHOODS:
            curve = case.curve(split, name)
            if curve is not None and len(curve):
                at = int(curve.values.argmin()) if split == "valid" else -1
                whose = "training" if split == "train" else "held-out"
                return f"the {whose} {words(name)}", float(curve.values[at]), int(curve.steps[at])
    return None


def worse_than_uniform(case: Case) -> Verdict | None:
    """Worse than uniform: the weights that are kept give images a lower probability than the uniform distribution:

        -log p(x) > D log L    nats,

    which assigns each of the L^D images the same probability. A failure after `MIN_STEPS` updates, a warning before.
    Not reported together with `divergence`.
    """
    found, uniform = kept(case), case.facts.uniform
    if found is None or uniform is None or found[1] <= uniform:
        return None
    if shows_divergence(case) and divergence(case) is not None:
        return None
    name, value, step = found
    return Verdict(
        "worse than uniform",
        "failure" if case.step >= MIN_STEPS else "warning",
        f"{name} is {value:,.4g} nats at {case.at(step)}; the uniform distribution over all images has {uniform:,.4g}",
        advice(
            case.facts,
            ("lower --learning-rate if the loss rose, else train for more --epochs",),
            ("train for more --epochs",),
        ),
        step,
    )


RULES = (
    Rule(
        "worse than uniform",
        lambda case: not case.adversarial and case.facts.uniform is not None and kept(case) is not None,
        lambda case: case.facts.finished,
        worse_than_uniform,
    ),
)

"""Whether a model of pixels with levels is better than no model: the uniform distribution over all images."""

from __future__ import annotations

from ancestral.health.curves import CRITERIA, MIN_STEPS, Case, Rule, Verdict, words
from ancestral.health.likelihood_rules import divergence, shows_divergence

LIKELIHOODS = CRITERIA[:2]
"""readings that are -log p(x) or a bound on it; a distortion given the code is none"""


def kept(case: Case) -> tuple[str, float, int] | None:
    """In words, value and step of the reading of the weights that are kept, nats; None where no reading tells it.

    The smallest of the validation, which selects the weights; else the last of the held-out images or the minibatches.
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
    """Worse than uniform: with the weights that are kept

        -log p(x) > D log L    nats,

    the value of the distribution that gives each of the L^D images the same probability and needs no data. A failure
    after `MIN_STEPS` updates; before, a warning, since the training has hardly begun. Not said where `divergence` is.
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
        f"{name} is {value:,.4g} nats at {case.at(step)}, and that of equal probabilities for all images is "
        f"{uniform:,.4g}",
        "Lower --learning-rate if the loss rose, else train for more --epochs",
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

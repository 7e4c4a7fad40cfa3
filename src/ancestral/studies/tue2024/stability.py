"""The chapter of `tue2024` on the validation curve: where it ended, and what the examination finds in it."""

from __future__ import annotations

import numpy as np

from ancestral.figures.curves import learning_curves, small_multiples
from ancestral.health import curves, learning_rate_rules, likelihood_rules, settling_rules
from ancestral.health.training_curves import IN_WORDS
from ancestral.reports.html import Table
from ancestral.reports.pictures.training import training_curves
from ancestral.runs.run import Run
from ancestral.studies.parts import health_in_words
from ancestral.studies.recipe import ChapterContent
from ancestral.studies.workshop import Workshop

NAMES = ("vae", "vae-dynamic", "vae-normal")


def stability(workshop: Workshop) -> ChapterContent:
    run, title = workshop.runs["vae"], workshop.titles["vae"]
    course = training_curves(run)
    best = run.outcome["best_step"] / course.per_epoch
    whole = learning_curves(
        course.both("negative_elbo"), title="negative ELBO, nats per image", marks=[(best, f"best, epoch {best:.0f}")]
    )
    parts = small_multiples([(f"{IN_WORDS[name]}, nats", course.both(name)) for name in ("reconstruction", "kl")])
    each = [f"{workshop.titles[name]}. {_ending(workshop.runs[name])} {health_in_words(workshop.runs[name])}"
            for name in NAMES]  # fmt: skip
    return ChapterContent(
        "\n\n".join([*each, "`ancestral train` examines each training at its end, by the rules below."]),
        [thresholds()],
        [
            workshop.figure(
                "vae-course", whole, f"{title}. Its validation curve, the best epoch marked; training values are means "
                "over the minibatches as they were used."
            ),
            workshop.figure("vae-parts", parts, f"{title}. The two parts of the bound, of which the sum is above."),
            workshop.draw("vae-dynamic", "curves"),
        ],
    )  # fmt: skip


def _ending(run: Run) -> str:
    """Where training and validation ended, how far apart, and how both moved since the best epoch."""
    course = training_curves(run)
    train, valid = (np.array(curve.values) for curve in course.both("negative_elbo"))
    moments = np.array(course.both("negative_elbo")[0].steps)
    best = round(run.outcome["best_step"] / course.per_epoch)
    done = run.outcome["epochs"]
    last, then = (float(train[(moments > e - 1) & (moments <= e)].mean()) for e in (done, best))
    gap = float(valid[-1]) - last
    told = (
        f"In the last epoch ({done}) the minibatches average {last:.2f} nats and the validation images "
        f"{valid[-1]:.2f}, {abs(gap):.2f} {'more' if gap >= 0 else 'less'}."
    )
    if best == done:
        return f"{told} That epoch is also the best."
    moved = "fell on" if last < then else "rose"
    ended = "; early stopping ended the run" if run.outcome["reason"] == "patience" else ""
    return (
        f"{told} Since the best epoch ({best}, {run.outcome['best_value']:.2f} nats) validation has fallen no further, "
        f"while training {moved} by {abs(then - last):.2f}{ended}."
    )


def thresholds() -> Table:
    """What the examination calls by each name, with the numbers it uses."""
    s, rate = likelihood_rules, learning_rate_rules
    rows = [
        ["divergence", f"ends above its best by more than {s.LOST_WARNING:.0%} of the gain (a failure: "
         f"{s.LOST_FAILURE:.0%}), or above the untrained model by {curves.WORSE:.0%} of its value, or is not finite"],
        ["spikes", f"one reading above those on both sides by more than {s.SPIKE:.0%} of the gain and "
         f"{s.SPIKE_NOISE:g} noise levels"],
        ["oscillation", f"held-out readings swing by more than ± {s.SWING:.0%} of the gain"],
        ["late rise", f"ends above where it was by more than {curves.CERTAIN:g} noise levels and "
         f"{settling_rules.UNDONE:.0%} of what the second half gained"],
        ["learning rate too low", f"the last quarter still brings {rate.STRAIGHT:.0%} of what a straight line would, "
         f"or {rate.AS_BEFORE:.0%} of the quarter before and {rate.UNDIMINISHED:.1%} of the gain"],
        ["over-fitting", f"held-out readings end above their best by more than {s.RISE:.0%} of the gain and "
         f"{curves.CERTAIN:g} noise levels, while training falls"],
        ["posterior collapse", f"fewer than {s.FEW_ACTIVE:.0%} of the latents have a divergence above {s.ACTIVE:g} "
         f"nats (a failure: none); where it does not split by latent, less than {s.ACTIVE:g} nats for each"],
    ]  # fmt: skip
    caption = (
        "What the examination calls by which name. The gain is from the untrained model to the best; the noise level "
        "is the usual distance of a reading from the course of its neighbours."
    )
    return Table(["name", "where the curve"], rows, caption)

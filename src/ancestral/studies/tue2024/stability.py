"""The chapter of `tue2024` on the validation curve: its final value, and the findings of the health checks."""

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
        course.both("negative_elbo"),
        title=f"{title}: negative ELBO, nats per image",
        marks=[(best, f"best, epoch {best:.0f}")],
    )
    parts = small_multiples(
        [(f"{IN_WORDS[name]}, nats", course.both(name)) for name in ("reconstruction", "kl")],
        title=f"{title}: terms of the negative ELBO",
    )
    each = [f"{workshop.titles[name]}. {_ending(workshop.runs[name])} {health_in_words(workshop.runs[name])}"
            for name in NAMES]  # fmt: skip
    return ChapterContent(
        "\n\n".join(
            [
                "The figures show training and validation loss of the main run, the two terms of the bound, and the "
                "curves of the run on sampled pixels.",
                *each,
                "`ancestral train` checks each finished training by the rules in the table.",
            ]
        ),
        [thresholds()],
        [
            workshop.figure(
                "vae-course", whole, f"{title}. Negative ELBO during training; the best epoch is marked. Training "
                "values are means over minibatches at the time of their update.", of=["vae"]
            ),
            workshop.figure(
                "vae-parts", parts, f"{title}. The two terms of the bound; their sum is the curve above.", of=["vae"]
            ),
            workshop.draw("vae-dynamic", "curves"),
        ],
    )  # fmt: skip


def _ending(run: Run) -> str:
    """Final training and validation values, their gap, and the change since the best epoch, as sentences."""
    course = training_curves(run)
    train, valid = (np.array(curve.values) for curve in course.both("negative_elbo"))
    moments = np.array(course.both("negative_elbo")[0].steps)
    best = round(run.outcome["best_step"] / course.per_epoch)
    done = run.outcome["epochs"]
    last, then = (float(train[(moments > e - 1) & (moments <= e)].mean()) for e in (done, best))
    gap = float(valid[-1]) - last
    told = (
        f"In the last epoch ({done}) the mean training loss is {last:.2f} nats and the validation loss is "
        f"{valid[-1]:.2f}, which is {abs(gap):.2f} {'more' if gap >= 0 else 'less'}."
    )
    if best == done:
        return f"{told} That epoch is also the best."
    moved = "fell" if last < then else "rose"
    ended = " Early stopping ended the run." if run.outcome["reason"] == "patience" else ""
    return (
        f"{told} Since the best epoch ({best}, {run.outcome['best_value']:.2f} nats), the validation loss has not "
        f"fallen further, while the training loss {moved} by {abs(then - last):.2f}.{ended}"
    )


def thresholds() -> Table:
    """The rules of the health checks, with their thresholds."""
    s, rate = likelihood_rules, learning_rate_rules
    rows = [
        ["divergence", f"the curve ends above its best value by more than {s.LOST_WARNING:.0%} of the gain (failure: "
         f"{s.LOST_FAILURE:.0%}), or above the untrained model by {curves.WORSE:.0%} of its value, or is not finite"],
        ["spikes", f"one reading is above those on both sides by more than {s.SPIKE:.0%} of the gain and "
         f"{s.SPIKE_NOISE:g} noise levels"],
        ["oscillation", f"held-out readings oscillate by more than ± {s.SWING:.0%} of the gain"],
        ["late rise", f"the curve ends above an earlier level by more than {curves.CERTAIN:g} noise levels and "
         f"{settling_rules.UNDONE:.0%} of the improvement in the second half"],
        ["learning rate too low", f"the last quarter still improves by {rate.STRAIGHT:.0%} of what a straight line "
         f"would, or by {rate.AS_BEFORE:.0%} of the quarter before and {rate.UNDIMINISHED:.1%} of the gain"],
        ["over-fitting", f"held-out readings end above their best by more than {s.RISE:.0%} of the gain and "
         f"{curves.CERTAIN:g} noise levels, while the training loss falls"],
        ["posterior collapse", f"fewer than {s.FEW_ACTIVE:.0%} of the latents have a KL divergence above "
         f"{s.ACTIVE:g} nats (failure: none); if only the total is known: less than {s.ACTIVE:g} nats per latent"],
    ]  # fmt: skip
    caption = (
        "The rules of the health checks. Gain: improvement from the untrained to the best model. Noise level: typical "
        "distance of a reading from the trend of its neighbours."
    )
    return Table(["finding", "reported if"], rows, caption)

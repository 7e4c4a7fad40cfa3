"""Pictures of a training: learning curves, and the gradients of a GAN's generator."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ancestral.figures.curves import learning_curves, small_multiples
from ancestral.figures.series import Curve
from ancestral.health.training_curves import IN_WORDS, TrainingCurves
from ancestral.runs.run import Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

GAME = {  # panels of an adversarial training: title, and what is shown by split and name
    "output of the critic": {
        "D(x), images": ("train", "real_prob"),
        "D(G(z)), samples": ("train", "fake_prob"),
    },
    "scores of the critic": {"images": ("train", "real_score"), "samples": ("train", "fake_score")},
    "value of the game, nats": {"value": ("train", "value")},
    "norms of the gradients": {
        "generator": ("train", "generator_gradient"),
        "critic": ("train", "critic_gradient"),
    },
    "samples compared with held-out data": {
        "diversity": ("samples", "diversity"),
        "coverage": ("samples", "coverage"),
        "dimension": ("samples", "dimension"),
        "recognised": ("samples", "recognised"),
    },
}


def training_curves(run: Run) -> TrainingCurves:
    """The readings of a run's log as curves over epochs.

    Raises:    NotComputable: nothing was trained.
    """
    log = run.log()
    images = run.record["data"]["counts"]["train"] if log else 0  # a run that was not started has no record
    return TrainingCurves(log, images, run.settings.training.batch_size if log else 1, run.path)


def curves(run: Run, count: int = 0, seed: int = 0) -> Figure:
    """Training and held-out curves from the log, in nats, reconstruction and KL beside the bound; of a GAN, whose
    losses bound nothing, the course of the game."""
    course = training_curves(run)
    if ("train", "critic_loss") in course.known:
        return _game(course, f"{run.called}: training curves")
    names = {name for _, name in course.known}
    main = next((name for name in ("nll", "negative_elbo", "reconstruction") if name in names), "loss")
    of = f"{IN_WORDS[main]}, nats per {run.data.space.noun.removesuffix('s')}"
    parts = [name for name in ("reconstruction", "kl") if ("train", name) in course.known and name != main]
    if parts:
        panels = [(f"{IN_WORDS[name]}, nats", course.both(name)) for name in parts]
        return small_multiples([(of, course.both(main)), *panels], title=f"{run.called}: learning curves")
    best = run.outcome.get("best_step")
    marks = [(best / course.per_epoch, "best")] if best else None
    entropy = None if run.data.entropy is None else [(run.data.entropy, "entropy of the true density")]
    return learning_curves(course.both(main), title=f"{run.called}: {of}", marks=marks, reference=entropy)


def _game(course: TrainingCurves, heading: str) -> Figure:
    judged = ("train", "real_prob") in course.known  # else there are scores only
    panels = []
    for title, shown in GAME.items():
        if title == "scores of the critic" and judged:
            continue
        panel = [course.curve(*key, label) for label, key in shown.items() if key in course.known]
        if panel and title.startswith("value"):
            ends = [float(panel[0].steps[0]), float(panel[0].steps[-1])]
            panel.append(Curve("-2 log 2, at equilibrium", ends, [-2 * math.log(2)] * 2, style="dashed"))
        if panel:
            panels.append((title, panel))
    return small_multiples(panels, columns=2, title=heading)

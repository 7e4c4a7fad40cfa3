"""The course of a training as curves, read from its log, and of a critic that trains alone."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ancestral.errors import NotComputable
from ancestral.figures.curves import learning_curves, small_multiples
from ancestral.figures.series import Curve
from ancestral.models.gan import GAN, build_gan
from ancestral.numerics import seed_for, seeded_noise
from ancestral.run import Run
from ancestral.settings.gan import GANSettings
from ancestral.starvation import COMPARED, Starvation, starve
from ancestral.training.adversarial import build_critic

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STARVED_STEPS = 300
IN_WORDS = {
    "loss": "loss",
    "nll": "negative log-likelihood",
    "negative_elbo": "negative ELBO",
    "reconstruction": "reconstruction",
    "kl": "KL divergence",
}
GAME = {  # panels of an adversarial training: title, and what is shown by split and name
    "what the critic makes of them": {
        "D(x), images": ("train", "real_prob"),
        "D(G(z)), draws": ("train", "fake_prob"),
    },
    "scores of the critic": {"images": ("train", "real_score"), "draws": ("train", "fake_score")},
    "value of the game, nats": {"value": ("train", "value")},
    "norms of the gradients": {
        "generator": ("train", "generator_gradient"),
        "critic": ("train", "critic_gradient"),
    },
    "draws beside held-out data": {
        "diversity": ("samples", "diversity"),
        "coverage": ("samples", "coverage"),
        "dimension": ("samples", "dimension"),
        "recognised": ("samples", "recognised"),
    },
}


class Course:
    """The readings of a run's log as curves over epochs.

    Raises:    NotComputable: nothing was trained.
    """

    def __init__(self, run: Run) -> None:
        self.run, self.log = run, run.log()
        if not self.log:
            raise NotComputable(f"{run.path} has no log yet: nothing was trained")
        self.per_epoch = -(-run.record["data"]["counts"]["train"] // run.settings.training.batch_size)
        self.known = {(line.split, line.name) for line in self.log}

    def curve(self, split: str, name: str, label: str) -> Curve:
        lines = [line for line in self.log if (line.split, line.name) == (split, name)]
        return Curve(label, [line.step / self.per_epoch for line in lines], [line.value for line in lines])

    def value(self, split: str, name: str, epoch: float = 0.0) -> float:
        """The first reading of a quantity at or after so many epochs; the last one where the training ended before.

        Raises:    NotComputable: it was never read.
        """
        if (split, name) not in self.known:
            raise NotComputable(f"the log holds no {name} of {split}")
        curve = self.curve(split, name, "")
        later = (value for step, value in zip(curve.steps, curve.values, strict=True) if step >= epoch)
        return float(next(later, curve.values[-1]))

    def epoch_means(self, name: str) -> Curve:
        """A quantity of the training minibatches, as they were used: its mean over all images of each epoch.

        A reading is the mean over the images since the one before, which may be a single minibatch.
        """
        images, batch = self.run.record["data"]["counts"]["train"], self.run.settings.training.batch_size
        sums: dict[int, float] = {}
        counts: dict[int, int] = {}
        before = 0
        for line in self.log:
            if (line.split, line.name) == ("train", name):
                epochs, steps = divmod(line.step, self.per_epoch)
                seen = epochs * images + steps * batch
                sums[line.epoch] = sums.get(line.epoch, 0.0) + (seen - before) * line.value
                counts[line.epoch] = counts.get(line.epoch, 0) + seen - before
                before = seen
        return Curve("train", list(sums), [sums[epoch] / counts[epoch] for epoch in sums])

    def both(self, name: str) -> list[Curve]:
        """Training and held-out curves of one quantity; evaluated training images stand for minibatches."""
        first = next(key for key in (("train-set", name), ("train", name), ("train", "loss")) if key in self.known)
        # a loss that is not the bound (importance-weighted, say) must not pass for it
        label = "training loss" if name == "negative_elbo" and first[1] == "loss" else "train"
        held_out = [self.curve(split, name, split) for split in ("valid", "test") if (split, name) in self.known]
        return [self.curve(*first, label), *held_out]


def curves(run: Run, count: int = 0, seed: int = 0) -> Figure:
    """Training and held-out curves from the log, in nats, reconstruction and KL beside the bound; of a GAN, whose
    losses bound nothing, the course of the game."""
    course = Course(run)
    if ("train", "critic_loss") in course.known:
        return _game(course)
    names = {name for _, name in course.known}
    main = next((name for name in ("nll", "negative_elbo", "reconstruction") if name in names), "loss")
    title = f"{IN_WORDS[main]}, nats per {run.data.space.noun.removesuffix('s')}"
    parts = [name for name in ("reconstruction", "kl") if ("train", name) in course.known and name != main]
    if parts:
        panels = [(f"{IN_WORDS[name]}, nats", course.both(name)) for name in parts]
        return small_multiples([(title, course.both(main)), *panels])
    best = run.outcome.get("best_step")
    marks = [(best / course.per_epoch, "best")] if best else None
    floor = None if run.data.entropy is None else [(run.data.entropy, "entropy of the target")]
    return learning_curves(course.both(main), title=title, marks=marks, reference=floor)


def _game(course: Course) -> Figure:
    judged = ("train", "real_prob") in course.known  # else there are scores only
    panels = []
    for title, shown in GAME.items():
        if title == "scores of the critic" and judged:
            continue
        panel = [course.curve(*key, label) for label, key in shown.items() if key in course.known]
        if panel and title.startswith("value"):
            ends = [float(panel[0].steps[0]), float(panel[0].steps[-1])]
            panel.append(Curve("-2 log 2, the equilibrium", ends, [-2 * math.log(2)] * 2, style="dashed"))
        if panel:
            panels.append((title, panel))
    return small_multiples(panels, columns=2)


def starvation(run: Run, count: int = STARVED_STEPS, seed: int = 0) -> Figure:
    """The gradients of both generator losses while a critic wins: see `starved`."""
    return starvation_figure(starved(run, count, seed))


def starved(run: Run, count: int = STARVED_STEPS, seed: int = 0) -> dict[str, Starvation]:
    """The gradients of both generator losses while a fresh critic learns for `count` steps against a generator that
    stands still, untrained and as trained: what the saturating loss leaves when the critic wins."""
    trained, settings, data = run.load(), run.settings.model, run.data
    if not isinstance(trained, GAN) or not isinstance(settings, GANSettings):
        raise NotComputable(f"only a GAN has a generator that a critic could starve, not a {type(trained).__name__}")
    training = run.settings.training
    with seeded_noise(seed_for(seed, "drawing")):
        generators = {"untrained": build_gan(settings, data.event_shape, data.dataset.levels, data.space.name).eval()}
        generators["trained"] = trained
        return {
            name: starve(
                generator,
                build_critic(settings, data.event_shape),
                data.training(seed),
                count,
                training.rate,
                training.batch_size,
                seed,
            )
            for name, generator in generators.items()
        }


def starvation_figure(found: dict[str, Starvation]) -> Figure:
    """What the critic makes of the draws, and both gradients, of each generator."""
    probabilities = [Curve(name, one.steps, one.fake_prob) for name, one in found.items()]
    panels = [
        (
            f"log10 gradient, {name} generator",
            [Curve(loss, one.steps, [math.log10(max(g, 1e-300)) for g in one.gradients[loss]]) for loss in COMPARED],
        )
        for name, one in found.items()
    ]
    ratios = " and ".join(f"{one.ratio:.2g} ({name})" for name, one in found.items())
    return small_multiples(
        [("D(G(z)), draws", probabilities), *panels],
        xlabel="updates of the critic alone",
        title=f"at the end the saturating loss leaves {ratios} of the other's gradient",
    )

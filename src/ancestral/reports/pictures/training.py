"""Pictures of a training: learning curves, and the gradients of a GAN's generator."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ancestral.core.errors import NotComputable
from ancestral.core.random import seed_for, seeded_noise
from ancestral.families.gan.model import GAN, build_gan
from ancestral.families.gan.settings import GANSettings
from ancestral.families.gan.step import build_critic
from ancestral.families.gan.vanishing_gradient import COMPARED, VanishingGradient, measure_gradients
from ancestral.figures.curves import learning_curves, small_multiples
from ancestral.figures.series import Curve
from ancestral.runs.run import Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

from ancestral.health.training_curves import IN_WORDS, TrainingCurves

CRITIC_STEPS = 300
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


def curves(run: Run, count: int = 0, seed: int = 0) -> Figure:
    """Training and held-out curves from the log, in nats, reconstruction and KL beside the bound; of a GAN, whose
    losses bound nothing, the course of the game."""
    course = TrainingCurves(run)
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


def _game(course: TrainingCurves) -> Figure:
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


def vanishing_gradient(run: Run, count: int = CRITIC_STEPS, seed: int = 0) -> Figure:
    """The gradients of both generator losses while a critic wins: see `vanishing_gradients`."""
    return vanishing_gradient_figure(vanishing_gradients(run, count, seed))


def vanishing_gradients(run: Run, count: int = CRITIC_STEPS, seed: int = 0) -> dict[str, VanishingGradient]:
    """The gradients of both generator losses while a fresh critic learns for `count` steps against a generator that
    stands still, untrained and as trained: what the saturating loss leaves when the critic wins."""
    trained, settings, data = run.load(), run.settings.model, run.data
    if not isinstance(trained, GAN) or not isinstance(settings, GANSettings):
        raise NotComputable(
            f"only a GAN has a generator that whose gradient could vanish, not a {type(trained).__name__}"
        )
    training = run.settings.training
    with seeded_noise(seed_for(seed, "drawing")):
        generators = {"untrained": build_gan(settings, data.event_shape, data.dataset.levels, data.space.name).eval()}
        generators["trained"] = trained
        return {
            name: measure_gradients(
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


def vanishing_gradient_figure(found: dict[str, VanishingGradient]) -> Figure:
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

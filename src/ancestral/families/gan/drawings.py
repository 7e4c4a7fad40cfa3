"""The drawing of the family: gradients of the generator while only the critic is trained."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ancestral.core.random import seed_for, seeded_noise
from ancestral.families.family import Drawing, Subject
from ancestral.families.gan.model import GAN, build_gan
from ancestral.families.gan.step import build_critic
from ancestral.families.gan.vanishing_gradient import COMPARED, VanishingGradient, measure_gradients

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CRITIC_STEPS = 300


def vanishing_gradients(subject: Subject, count: int = CRITIC_STEPS, seed: int = 0) -> dict[str, VanishingGradient]:
    """The gradients of both generator losses while a new critic is trained for `count` steps and the generator is
    fixed.

    Measured for an untrained and for the trained generator.
    """
    settings, data, training = subject.settings, subject.data, subject.training
    with seeded_noise(seed_for(seed, "drawing")):
        generators = {"untrained": build_gan(settings, data.spec).eval(), "trained": subject.model}
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
    """A figure of D(G(z)) and of the gradients of both losses, for each generator."""
    from ancestral.figures.series import Curve

    probabilities = [Curve(name, one.steps, one.fake_prob) for name, one in found.items()]
    panels = [
        (
            f"log10 gradient, {name} generator",
            [Curve(loss, one.steps, [math.log10(max(g, 1e-300)) for g in one.gradients[loss]]) for loss in COMPARED],
        )
        for name, one in found.items()
    ]
    from ancestral.figures.curves import small_multiples

    ratios = " and ".join(f"{one.ratio:.2g} ({name})" for name, one in found.items())
    return small_multiples(
        [("D(G(z)) of generated images", probabilities), *panels],
        xlabel="updates of the critic alone",
        title=f"gradient of the saturating loss relative to the non-saturating loss at the end: {ratios}",
    )


def vanishing_gradient(subject: Subject, count: int | None, seed: int) -> Figure:
    """A figure of the gradients of both generator losses while only a critic is trained, see `vanishing_gradients`."""
    return vanishing_gradient_figure(vanishing_gradients(subject, count or CRITIC_STEPS, seed))


DRAWINGS = (
    Drawing(
        "vanishing-gradient",
        "Gradients of the generator while a new critic is trained and the generator is fixed: the gradient of the "
        "saturating loss vanishes as the critic improves; that of the non-saturating loss does not.",
        vanishing_gradient,
        needs=(GAN,),
        on_request=True,
    ),
)

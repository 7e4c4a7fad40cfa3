"""`uva2020`, part 2 in theory: what the game of a GAN comes to, and which loss its generator can learn from."""

from __future__ import annotations

import math
from dataclasses import asdict
from statistics import median

from ancestral.families.gan.drawings import vanishing_gradient_figure, vanishing_gradients
from ancestral.families.gan.vanishing_gradient import VanishingGradient
from ancestral.reports.html import Table
from ancestral.reports.pictures.catalogue import subject_of
from ancestral.reports.pictures.training import training_curves
from ancestral.runs.run import Run
from ancestral.studies.demonstrations.equilibrium import equilibrium, equilibrium_figure
from ancestral.studies.parts import health_in_words, plural
from ancestral.studies.recipe import AN_IDENTITY, OURS, ChapterContent, ReferenceCheck
from ancestral.studies.uva2020.gan import AS_BEFORE, readings_side_by_side
from ancestral.studies.uva2020.words import settings_in_words
from ancestral.studies.workshop import Workshop

CONVERGED = -2 * math.log(2)
NEAR = 0.05  # nats
FAR = 4.0  # standard deviations between draws and data, where the best critic hardly errs
LAST = 10  # readings of minibatches whose median stands for the end
STARVED = 0.01


def convergence(workshop: Workshop) -> ChapterContent:
    """The value -2 log 2 and D = 1/2: derived, by quadrature, and beside the run."""
    game = equilibrium()
    far = game.distances.index(FAR)
    ends = [median(_readings(workshop.runs["gan"], name)[-LAST:]) for name in ("value", "real_prob", "fake_prob")]
    text = (
        "With densities p of data and q of draws, the value of the game is E_p log D + E_q log(1 - D). For fixed x "
        "the critic maximises p log D + q log(1 - D), which it does at D = p / (p + q). Put back in, the value is -2 "
        "log 2 + 2 JS(p, q), where JS is the Jensen-Shannon divergence: never negative, and 0 only where q = p. So "
        f"at convergence D = 1/2 everywhere and the value is -2 log 2 = {CONVERGED:.4f} nats.\n\nIn numbers, by "
        f"quadrature, with data N(0, 1) and draws N(m, 1): at m = 0 the value is {game.values[0]:.6f} and the mean "
        f"of D {game.fake_prob[0]:.6f}; at m = {FAR:g} they are {game.values[far]:.4f} and, on draws, "
        f"{game.fake_prob[far]:.4f}.\n\n{_in_the_run(*ends)}"
    )
    off = max(abs(game.values[0] - CONVERGED), abs(game.fake_prob[0] - 0.5), abs(game.real_prob[0] - 0.5))
    check = ReferenceCheck(
        "value and D at convergence, by quadrature",
        f"-2 log 2 = {CONVERGED:.6f} and 1/2",
        f"{game.values[0]:.6f} and {game.fake_prob[0]:.6f}",
        off < 1e-6,
        source=AN_IDENTITY,
    )
    caption = (
        "One dimension, best critic: the value of the game and the gradients of both losses, by how far the draws "
        "lie from the data."
    )
    return ChapterContent(
        text, figures=[workshop.figure("equilibrium", equilibrium_figure(game), caption)], checks=[check]
    )


def _in_the_run(value: float, real: float, fake: float) -> str:
    """How near the run of this study has come to its equilibrium."""
    end = (
        f"The GAN of this study ends at a value of {value:.3f}, with D {real:.2f} on images and {fake:.2f} on draws "
        f"(medians of the last {LAST} readings of its minibatches): "
    )
    if value > CONVERGED + NEAR:
        return f"{end}its critic still tells draws from images better than by guessing, so the game is not over."
    if value < CONVERGED - NEAR:
        return f"{end}its critic does worse than by guessing, since the generator moves faster than it learns."
    return f"{end}near the equilibrium. That alone proves little: a critic too weak to see anything ends there as well."


def losses(workshop: Workshop) -> ChapterContent:
    """Saturating against non-saturating: their gradients while a critic wins, and two runs."""
    game, steps = equilibrium([FAR]), workshop.size(300, 20)
    left = game.gradients["saturating"][0] / game.gradients["non-saturating"][0]
    stored = workshop.remember("vanishing-gradient", lambda: _starved(workshop.runs["gan"], steps), steps=steps)
    found = {name: VanishingGradient(**one) for name, one in stored.items()}
    untrained, trained = found["untrained"].ratio, found["trained"].ratio
    runs = workshop.runs["gan"], workshop.runs["gan-saturating"]
    text = (
        "The generator minimises log(1 - D), the saturating loss, or -log D in its place. As functions of the "
        "critic's score s, with D = sigmoid(s), their slopes are -D and -(1 - D). Early on the critic wins: D on "
        "draws is nearly 0, and so is the first slope; the second is nearly -1. In one dimension, with the best "
        f"critic and draws {FAR:g} standard deviations away, the saturating loss leaves {left:.1%} of the other's "
        f"gradient.\n\nWith the GAN itself: a fresh critic learns for {steps} updates against the untrained "
        f"generator, which stands still. At the end the saturating loss leaves {untrained:.2%} of the other's "
        f"gradient in the generator's weights (hardly any, we say, below {STARVED:.0%}); against the trained "
        f"generator, {trained:.1%}"
        + (", since its draws are harder to tell from images." if trained > 2 * untrained else ".")
    )
    epoch = min(run.outcome["epochs"] for run in runs)
    norms = [_gradient(run, epoch) for run in runs]
    text += (
        f"\n\nA whole run with the saturating loss, otherwise as the other. {settings_in_words(runs[1])} "
        f"{_starving(norms[0], norms[1], epoch)} {_shares(*runs, epoch)}\n\n{health_in_words(runs[1])}"
    )
    after = f"Two runs that differ in the loss, after {plural(epoch, 'epoch')}. {AS_BEFORE}"
    row = f"norm of the generator's gradient, median in epoch {epoch}"
    rows = [*readings_side_by_side(runs, epoch), [row, *(f"{norm:.2f}" for norm in norms)]]
    table = Table(["", "non-saturating", "saturating"], rows, after, numeric={1, 2})
    check = ReferenceCheck(
        "saturating loss, critic winning",
        f"hardly any gradient: below {STARVED:.0%} of the other's",
        f"{untrained:.2%} of it",
        untrained < STARVED,
        "The critic had too few updates to win.",
        OURS,
    )
    figures = [
        workshop.figure(
            "gan-starvation",
            vanishing_gradient_figure(found),
            "A fresh critic learns while the generator stands still: the saturating loss loses its gradient as the "
            "critic wins.",
        ),
        workshop.draw("gan-saturating", "samples", f"Saturating loss, after {plural(epoch, 'epoch')}, none picked."),
    ]
    return ChapterContent(text, [table], figures, [check])


def _gradient(run: Run, epoch: int) -> float:
    """Median norm of the generator's gradient over the readings of one epoch."""
    curve = training_curves(run).curve("train", "generator_gradient", "")
    steps = zip(curve.steps, curve.values, strict=True)
    return median(float(value) for step, value in steps if epoch - 1 < step <= epoch)


def _starving(usual: float, saturating: float, epoch: int) -> str:
    """How the gradients that the two generators learn from compare."""
    told = f"In epoch {epoch} its generator's gradient has a norm of {saturating:.2f} against {usual:.2f}"
    if saturating < usual / 2:
        return f"{told}: {usual / saturating:.0f} times less to learn from."
    return f"{told}: here the starving does not show."


def _shares(usual: Run, saturating: Run, epoch: int) -> str:
    """What the share of recognised draws says of two runs, and what it does not."""
    courses = [training_curves(run) for run in (usual, saturating)]
    if any(("samples", name) not in course.known for course in courses for name in ("recognised", "dimension")):
        return ""
    (shares, covered, wide) = (
        [course.value("samples", name, epoch) for course in courses] for name in ("recognised", "coverage", "dimension")
    )
    if not (shares[1] > shares[0] and covered[1] < covered[0]):
        return ""
    return (
        f"Its draws are recognised more often at that time, {shares[1]:.1%} against {shares[0]:.1%}, and yet they are "
        f"the worse ones: they cover {covered[1]:.0%} of held-out images against {covered[0]:.0%}, and have "
        f"{wide[1]:.2f} of the data's effective dimensions against {wide[0]:.2f}. A few shapes that come again "
        "and again can be recognised."
    )


def _starved(run: Run, steps: int) -> dict[str, dict[str, object]]:
    return {name: asdict(one) for name, one in vanishing_gradients(subject_of(run), steps).items()}


def _readings(run: Run, name: str) -> list[float]:
    return [float(value) for value in training_curves(run).curve("train", name, "").values]

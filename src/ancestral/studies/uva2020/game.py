"""`uva2020`, part 2, theory: the equilibrium of the GAN game, and the gradients of the generator losses."""

from __future__ import annotations

import math
from dataclasses import asdict
from statistics import median

from ancestral.core.text import plural
from ancestral.families.gan.drawings import vanishing_gradient_figure, vanishing_gradients
from ancestral.families.gan.vanishing_gradient import VanishingGradient
from ancestral.reports.html import Table
from ancestral.reports.pictures.catalogue import subject_of
from ancestral.reports.pictures.training import training_curves
from ancestral.runs.run import Run
from ancestral.studies.demonstrations.equilibrium import equilibrium, equilibrium_figure
from ancestral.studies.parts import health_in_words
from ancestral.studies.recipe import AN_IDENTITY, OURS, ChapterContent, ReferenceCheck
from ancestral.studies.uva2020.gan import AS_BEFORE, readings_side_by_side
from ancestral.studies.uva2020.words import settings_in_words
from ancestral.studies.workshop import Workshop

CONVERGED = -2 * math.log(2)
NEAR = 0.05  # nats
FAR = 4.0  # standard deviations between samples and data, where the optimal critic makes almost no errors
LAST = 10  # the median of so many last readings is the final value
STARVED = 0.01


def convergence(workshop: Workshop) -> ChapterContent:
    """The value -2 log 2 and D = 1/2: derivation, quadrature, and the values of the run."""
    game = equilibrium()
    far = game.distances.index(FAR)
    ends = [median(_readings(workshop.runs["gan"], name)[-LAST:]) for name in ("value", "real_prob", "fake_prob")]
    text = (
        "Let p be the density of the data and q that of the samples. The value of the game is E_p log D + E_q "
        "log(1 - D). For fixed x, the critic maximises p log D + q log(1 - D); the maximum is at D = p / (p + q). "
        "Inserting this D, the value is -2 log 2 + 2 JS(p, q), where JS is the Jensen-Shannon divergence. It is "
        "never negative, and it is 0 only if q = p. So at convergence D = 1/2 everywhere, and the value is -2 log 2 = "
        f"{CONVERGED:.4f} nats.\n\nThe figure shows an example, computed by quadrature: data N(0, 1), samples N(m, 1). "
        f"At m = 0, the value is {game.values[0]:.6f} and the mean of D is {game.fake_prob[0]:.6f}. At m = {FAR:g}, "
        f"the value is {game.values[far]:.4f} and the mean of D on samples is {game.fake_prob[far]:.4f}.\n\n"
        f"{_in_the_run(*ends)}"
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
        "One dimension, optimal critic: the value of the game, and the gradients of both generator losses, against the "
        "distance of the samples from the data."
    )
    return ChapterContent(
        text, figures=[workshop.figure("equilibrium", equilibrium_figure(game), caption, of=())], checks=[check]
    )


def _in_the_run(value: float, real: float, fake: float) -> str:
    """How close the run of this study is to the equilibrium, as sentences."""
    end = (
        f"The GAN of this study ends with a value of {value:.3f} nats, D = {real:.2f} on images and D = {fake:.2f} on "
        f"samples (medians of the last {LAST} logged minibatches). "
    )
    if value > CONVERGED + NEAR:
        return f"{end}So its critic still separates samples from images better than chance: it has not converged."
    if value < CONVERGED - NEAR:
        return f"{end}So its critic is worse than chance, because the generator changes faster than the critic learns."
    return f"{end}This is near the equilibrium. It does not prove convergence: a very weak critic also ends there."


def losses(workshop: Workshop) -> ChapterContent:
    """Saturating and non-saturating loss: their gradients under a strong critic, and two runs."""
    game, steps = equilibrium([FAR]), workshop.size(300, 20)
    left = game.gradients["saturating"][0] / game.gradients["non-saturating"][0]
    stored = workshop.remember("vanishing-gradient", lambda: _starved(workshop.runs["gan"], steps), steps=steps)
    found = {name: VanishingGradient(**one) for name, one in stored.items()}
    untrained, trained = found["untrained"].ratio, found["trained"].ratio
    runs = workshop.runs["gan"], workshop.runs["gan-saturating"]
    text = (
        "The generator minimises log(1 - D), the saturating loss, or -log D, the non-saturating loss. Let s be the "
        "critic's score, with D = sigmoid(s). The derivatives with respect to s are -D and -(1 - D). Early in training "
        "the critic is strong: D on samples is nearly 0. Then the first derivative is nearly 0, and the second is "
        f"nearly -1. In one dimension, with the optimal critic and samples {FAR:g} standard deviations from the data, "
        f"the gradient of the saturating loss is {left:.1%} of that of the other loss.\n\nThe same was measured on the "
        f"GAN: a new critic was trained for {steps} updates while the untrained generator was kept fixed (first "
        f"figure). Then the gradient of the saturating loss in the generator's weights was {untrained:.2%} of that of "
        f"the other loss (we call it vanishing below {STARVED:.0%}). With the trained generator it was {trained:.1%}"
        + (", because its samples are harder to separate from images." if trained > 2 * untrained else ".")
    )
    epoch = min(run.outcome["epochs"] for run in runs)
    norms = [_gradient(run, epoch) for run in runs]
    text += (
        f"\n\nA second run was trained with the saturating loss and otherwise equal settings; the table compares both. "
        f"{settings_in_words(runs[1])} "
        f"{_starving(norms[0], norms[1], epoch)} {_shares(*runs, epoch)}\n\n{health_in_words(runs[1])}"
    )
    after = f"Two runs that differ only in the loss, after {plural(epoch, 'epoch')}. {AS_BEFORE}"
    row = f"norm of the generator's gradient, median in epoch {epoch}"
    rows = [*readings_side_by_side(runs, epoch), [row, *(f"{norm:.2f}" for norm in norms)]]
    table = Table(["", "non-saturating", "saturating"], rows, after, numeric={1, 2})
    check = ReferenceCheck(
        "gradient of the saturating loss, strong critic",
        f"below {STARVED:.0%} of that of the other loss",
        f"{untrained:.2%}",
        untrained < STARVED,
        "The critic had too few updates to become strong.",
        OURS,
    )
    figures = [
        workshop.figure(
            "gan-starvation",
            vanishing_gradient_figure(found),
            "A new critic is trained while the generator is fixed: the gradient of the saturating loss vanishes as the "
            "critic improves.",
            of=["gan"],
        ),
        workshop.draw(
            "gan-saturating",
            "samples",
            f"Saturating loss: samples after {plural(epoch, 'epoch')}, not cherry-picked.",
        ),
    ]
    return ChapterContent(text, [table], figures, [check])


def _gradient(run: Run, epoch: int) -> float:
    """Median norm of the generator's gradient over the readings of one epoch."""
    curve = training_curves(run).curve("train", "generator_gradient", "")
    steps = zip(curve.steps, curve.values, strict=True)
    return median(float(value) for step, value in steps if epoch - 1 < step <= epoch)


def _starving(usual: float, saturating: float, epoch: int) -> str:
    """The gradient norms of the two generators, as a sentence."""
    told = f"In epoch {epoch}, the norm of its generator's gradient is {saturating:.2f}, compared with {usual:.2f}"
    if saturating < usual / 2:
        return f"{told}: {usual / saturating:.0f} times smaller."
    return f"{told}: here it does not vanish."


def _shares(usual: Run, saturating: Run, epoch: int) -> str:
    """A warning if the saturating run has more recognised samples but less coverage, as sentences; else empty."""
    courses = [training_curves(run) for run in (usual, saturating)]
    if any(("samples", name) not in course.known for course in courses for name in ("recognised", "dimension")):
        return ""
    (shares, covered, wide) = (
        [course.value("samples", name, epoch) for course in courses] for name in ("recognised", "coverage", "dimension")
    )
    if not (shares[1] > shares[0] and covered[1] < covered[0]):
        return ""
    return (
        f"At that time, more of its samples are recognised, {shares[1]:.1%} compared with {shares[0]:.1%}, but the "
        f"samples have less variety: they cover {covered[1]:.0%} of held-out images, compared with {covered[0]:.0%}, "
        f"and have {wide[1]:.2f} of the data's effective dimensions, compared with {wide[0]:.2f}. A few repeated "
        "shapes are easy to recognise."
    )


def _starved(run: Run, steps: int) -> dict[str, dict[str, object]]:
    return {name: asdict(one) for name, one in vanishing_gradients(subject_of(run), steps).items()}


def _readings(run: Run, name: str) -> list[float]:
    return [float(value) for value in training_curves(run).curve("train", name, "").values]

"""`uva2018`, part 3: a first VAE, Monte Carlo estimates with z from the prior, and the KL term of the bound."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict

from ancestral.core.text import scientific
from ancestral.reports.score_tables import SCORE_CAPTION, score_table
from ancestral.studies.demonstrations.gaussian_divergence import (
    divergence_from_standard,
    divergence_table,
    nats_in_words,
)
from ancestral.studies.demonstrations.latent_grid import STEP
from ancestral.studies.demonstrations.prior_sampling import (
    DRAWS,
    Shortfall,
    clear_growth,
    model_table,
    shortfall,
    shortfall_figure,
    shortfall_table,
)
from ancestral.studies.demonstrations.tighter_bound import Tightening, tightening
from ancestral.studies.demonstrations.whole_course import course_figure, whole_course
from ancestral.studies.parts import health_in_words, listed
from ancestral.studies.recipe import AN_IDENTITY, ChapterContent, ReferenceCheck
from ancestral.studies.workshop import Workshop

LATENTS = (2, 5, 10, 20, 50)
COARSE = 0.1  # spacing of the grid under `--quick`
PAIRS = ((0.0, 1.0), (0.01, 1.01), (1.0, 0.5), (10.0, 0.001))  # mean and scale of q beside N(0, 1)


def training(workshop: Workshop) -> ChapterContent:
    """The VAE with two latents: curves and bounds."""
    run, score, title = workshop.runs["vae"], workshop.score("vae"), workshop.titles["vae"]
    tight, count = workshop.score("vae", 1000), workshop.size(1000, 50)
    found = workshop.remember("tighter-bound", lambda: asdict(tightening(run, tight.samples, count)), count=count)
    gain, course = Tightening(**found).difference, whole_course(run, "negative_elbo")
    watched = run.settings.training.watch_size
    train, test = course.last
    text = (
        "The first figure shows the lower bound on log p(x) during training. It starts at "
        f"{course.first:.1f} nats on the first minibatch and is {course.later:.1f} after one epoch on the first "
        f"{watched:,} training images. At the end it is {train:.1f} on these and {test:.1f} on the first {watched:,} "
        f"test images{_apart(train - test)} On all {score.count:,} test images it is {score.nats:.2f} ± "
        f"{score.stderr:.2f}.\n\n"
        f"The importance-weighted bound with {tight.samples:,} samples of z is {gain.nats:.2f} ± {gain.stderr:.2f} "
        f"nats above the ELBO (mean paired difference on the first {gain.count:,} test images). So the gap between the "
        "ELBO and log p(x) is at least that large.\n\n"
        f"{health_in_words(run)}"
    )
    epochs = run.outcome["epochs"]
    figure = course_figure(
        course,
        [("-544, at the start", -544, course.start, 0.1), ("-174, after 1 epoch", -174, 1, epochs)],
        title=f"{title}: lower bound during training",
    )
    caption = f"{title}: the lower bound during training. Dashed: references of the coursework."
    return ChapterContent(
        text,
        [score_table([(title, score), (title, tight)], SCORE_CAPTION)],
        [workshop.figure("vae-course", figure, caption, of=["vae"]), workshop.draw("vae", "curves")],
        [
            ReferenceCheck(
                "VAE: first bound",
                "near -544 (± 15) nats",
                f"{course.first:.1f} nats",
                abs(course.first + 544) <= 15,
                "The initial weights follow another rule.",
            ),
            ReferenceCheck(
                "VAE: after 1 epoch",
                "above -174 nats",
                f"{course.later:.1f} nats",
                course.later > -174,
                "It trains more slowly than the coursework's model.",
            ),
        ],
    )


def _apart(gap: float) -> str:
    """The gap between training and test images, as the end of a sentence."""
    if gap > 1:
        return f": a gap of {gap:.1f} nats, because the networks fit their training images better than new ones."
    return f": a gap of {abs(gap):.1f} nats." if gap >= 0 else f", {-gap:.1f} nats higher."


def samples(workshop: Workshop) -> ChapterContent:
    """Samples during training."""
    epochs = workshop.runs["vae"].settings.training.samples_at
    figures = [figure for epoch in epochs for figure in workshop.samples_at("vae", epoch)]
    text = "The figures show samples at several epochs. All use the same z, so only the decoder differs."
    return ChapterContent(text, figures=figures)


def manifold(workshop: Workshop) -> ChapterContent:
    """Mean images on a grid of the latent plane."""
    side = 10
    return ChapterContent(
        "Each image is the mean E[x | z] at one point z of the latent plane. The coordinates are the percentiles "
        f"{50 / side:g}%, {150 / side:g}%, ..., {100 - 50 / side:g}% of the standard normal, so each image "
        f"represents {100 / side**2:g}% of the prior.",
        figures=[workshop.draw("vae", "manifold", count=side)],
    )


def monte_carlo(workshop: Workshop) -> ChapterContent:
    """Monte Carlo with z from the prior: its error and its effective sample size."""
    images, draws = workshop.size(100, 10), DRAWS if not workshop.quick else DRAWS[:3]
    tight, explained = workshop.size(5000, 100), workshop.size(1000, 100)
    step = COARSE if workshop.quick else STEP

    def compute() -> list[dict[str, object]]:
        found = []
        with workshop.progress.counter_for("draws from the prior") as progress:
            for done, m in enumerate(LATENTS, 1):
                run = workshop.runs[_of_latents(m)]
                found.append(asdict(shortfall(run, draws, images, tight, explained, step)))
                progress(done, len(LATENTS))
        return found

    records = workshop.remember(
        "prior-sampling", compute, draws=draws, images=images, tight=tight, explained=explained, step=step
    )
    found = [Shortfall(**record) for record in records]
    figure = shortfall_figure({f"{f.latents} latents": f for f in found})
    caption = (
        "Shortfall of the Monte Carlo estimate (log p(x) minus the estimate) against the number of samples of z, ± one "
        "standard error. Values less than two standard errors above zero are omitted."
    )
    return ChapterContent(
        f"{growth_in_words(found)}\n\n{few_in_words(found)}\n\n{reference_in_words(found)}",
        [shortfall_table(found), model_table(found)],
        [workshop.figure("prior-sampling", figure, caption, of=[*map(_of_latents, LATENTS)])],
    )


def _of_latents(count: int) -> str:
    """The name of the run with this number of latents."""
    return "vae" if count == 2 else f"vae-{count}"


def growth_in_words(found: Sequence[Shortfall]) -> str:
    """How the shortfall at the largest number of samples depends on the number of latents, as sentences."""
    few, grows = found[0], clear_growth(found)
    until = next((i for i, clear in enumerate(grows) if not clear), len(grows))
    ends = [f"{f.nats[-1]:.1f} ± {f.stderr[-1]:.1f}" for f in found]
    told = "The first table and the figure show the shortfall of plain Monte Carlo: log p(x) minus the logarithm of "
    told += f"the mean of p(x | z) over samples of z from the prior. With {few.draws[-1]:,} samples, it is {ends[0]} "
    told += f"nats for {few.latents} latents"
    if until:
        told += ". It grows with the number of latents: " + listed(
            [f"{ends[i]} with {found[i].latents}" for i in range(1, until + 1)]
        )
    if until == len(grows):
        return f"{told}."
    stays, more = found[until], found[until + 1]
    alike = more.kl < 1.1 * stays.kl
    return (
        f"{told}. From {stays.latents} to {more.latents} latents it does not clearly grow ({ends[until]}, "
        f"{ends[until + 1]}). Of {stays.latents} latents {stays.active} are active, of {more.latents} latents "
        f"{more.active}; the KL divergence of q(z | x) from the prior is {stays.kl:.1f} and {more.kl:.1f} nats."
        + (" The difficulty depends on how much the model uses its latents, not on their number." * alike)
    )


def few_in_words(found: Sequence[Shortfall]) -> str:
    """The effective sample size, and how many samples would be needed, as sentences."""
    few, many = found[0], max(found, key=lambda f: f.kl)
    return (
        "In theory, about e^{KL} samples are needed, where KL is the divergence of p(z | x) from the prior (Chatterjee "
        f"and Diaconis, 2018). With q(z | x) in place of p(z | x), this is e^{{{few.kl:.1f}}} = "
        f"{scientific(math.exp(few.kl))} with {few.latents} latents and e^{{{many.kl:.1f}}} = "
        f"{scientific(math.exp(many.kl))} with {many.latents}. The effective sample size (median over images; the "
        f"minimum is 1) of {few.draws[-1]:,} samples from the prior is {few.effective[0]:.1f} with {few.latents} "
        f"latents and {many.effective[0]:.1f} with {many.latents}. For {few.tight:,} samples from q(z | x) it is "
        f"{few.effective[1]:,.0f} and {many.effective[1]:,.0f}."
    )


def reference_in_words(found: Sequence[Shortfall]) -> str:
    """The reference values of the estimates, and the training of the models, as sentences."""
    few, rest = found[0], found[1:]
    loose = few.reference[0] - few.bound[0]
    epochs = {f.epochs for f in rest}
    told = (
        f"With {few.latents} latents, the reference is log p(x) by quadrature over the latent plane "
        f"({_quadrature(few)}); the bound with {few.tight:,} samples from q lies {loose:.1f} nats below it. With more "
        "latents, that bound is the reference. As log p(x) is above it, the true shortfall is larger by the same "
        "amount."
    )
    if epochs != {few.epochs}:
        told += (
            f" The model with {few.latents} latents was trained for {few.epochs} epochs, the others for "
            f"{listed([str(n) for n in sorted(epochs)])}."
        )
    return told


def _quadrature(few: Shortfall) -> str:
    assert few.change is not None
    return f"with half as many grid points along each axis, values change by at most {scientific(few.change)} nats"


def divergence(workshop: Workshop) -> ChapterContent:
    """KL between Gaussians."""
    found = [divergence_from_standard(*pair) for pair in PAIRS]
    gap = max(abs(f.integral - f.closed) / max(f.closed, 1) for f in found)
    text = (
        "KL(N(m_1, s_1^2) || N(m_2, s_2^2)) = log(s_2/s_1) + (s_1^2 + (m_1 − m_2)^2)/(2 s_2^2) − 1/2. This is the "
        "expectation, under the first Gaussian, of the difference of the two log-densities. The constants give "
        "log(s_2/s_1); the expectation of (x − m_1)^2 is s_1^2, and that of (x − m_2)^2 is s_1^2 + (m_1 − m_2)^2.\n\n"
        f"The table shows examples. Two nearly equal Gaussians have a divergence of {nats_in_words(found[1].closed)} "
        f"nats. A narrow Gaussian far from 0 has a divergence of {nats_in_words(found[3].closed)} nats from N(0, 1); "
        f"in the other direction it is {nats_in_words(found[3].reverse)} nats. So the divergence is not symmetric. It "
        "is large where the first density has mass and the second has almost none."
    )
    check = ReferenceCheck(
        "KL between Gaussians: closed form and integral",
        f"equal within {scientific(1e-6, 0)}",
        f"difference at most {scientific(gap)}",
        gap <= 1e-6,
        "The closed form is wrong.",
        source=AN_IDENTITY,
    )
    return ChapterContent(text, [divergence_table(found)], checks=[check])

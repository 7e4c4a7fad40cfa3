"""`uva2018`, part 3: a first VAE, draws from its prior, and the divergence in its bound."""

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
COARSE = 0.1  # distance of the grid's points where it must be quick
PAIRS = ((0.0, 1.0), (0.01, 1.01), (1.0, 0.5), (10.0, 0.001))  # mean and scale of q beside N(0, 1)


def training(workshop: Workshop) -> ChapterContent:
    """The VAE of two latents: course and bounds."""
    run, score, title = workshop.runs["vae"], workshop.score("vae"), workshop.titles["vae"]
    tight, count = workshop.score("vae", 1000), workshop.size(1000, 50)
    found = workshop.remember("tighter-bound", lambda: asdict(tightening(run, tight.samples, count)), count=count)
    gain, course = Tightening(**found).difference, whole_course(run, "negative_elbo")
    watched = run.settings.training.watch_size
    train, test = course.last
    text = (
        f"The bound of the first minibatch is {course.first:.1f} nats, and after one epoch {course.later:.1f} on the "
        f"first {watched:,} training images. At the end it is {train:.1f} on these and {test:.1f} on the first "
        f"{watched:,} test images{_apart(train - test)} On all {score.count:,} test images it is {score.nats:.2f} ± "
        f"{score.stderr:.2f}.\n\n"
        f"The importance-weighted bound of {tight.samples:,} draws lies {gain.nats:.2f} ± {gain.stderr:.2f} nats "
        f"above, image by image on the first {gain.count:,} test images: the ELBO gives away so much or more.\n\n"
        f"{health_in_words(run)}"
    )
    epochs = run.outcome["epochs"]
    figure = course_figure(
        course,
        [("-544, at the start", -544, course.start, 0.1), ("-174, after 1 epoch", -174, 1, epochs)],
    )
    caption = f"{title}: the lower bound as it trains. Dashed, the coursework's references."
    return ChapterContent(
        text,
        [score_table([(title, score), (title, tight)], SCORE_CAPTION)],
        [workshop.figure("vae-course", figure, caption), workshop.draw("vae", "curves")],
        [
            ReferenceCheck(
                "VAE: first bound",
                "near -544 (± 15) nats",
                f"{course.first:.1f} nats",
                abs(course.first + 544) <= 15,
                "The first weights are drawn by another rule.",
            ),
            ReferenceCheck(
                "VAE: after 1 epoch",
                "above -174 nats",
                f"{course.later:.1f} nats",
                course.later > -174,
                "It learns more slowly than the coursework's.",
            ),
        ],
    )


def _apart(gap: float) -> str:
    """What the distance of training images to test images says."""
    if gap > 1:
        return f": {gap:.1f} nats apart, as the networks fit the images they were trained on better than new ones."
    return f": {abs(gap):.1f} nats apart." if gap >= 0 else f", {-gap:.1f} nats higher."


def samples(workshop: Workshop) -> ChapterContent:
    """Draws on the way."""
    epochs = workshop.runs["vae"].settings.training.samples_at
    figures = [figure for epoch in epochs for figure in workshop.samples_at("vae", epoch)]
    return ChapterContent("The same draws of z each time, so only the decoder differs.", figures=figures)


def manifold(workshop: Workshop) -> ChapterContent:
    """The plane of the two latents."""
    side = 10
    return ChapterContent(
        "Each picture is the decoder's mean for one point of the plane. The points are the standard normal's "
        f"percentiles {50 / side:g} %, {150 / side:g} %, ..., {100 - 50 / side:g} % in either coordinate, the middles "
        f"of cells that hold {100 / side**2:g} % of the prior each.",
        figures=[workshop.draw("vae", "manifold", count=side)],
    )


def monte_carlo(workshop: Workshop) -> ChapterContent:
    """Draws from the prior, and how many of them count."""
    images, draws = workshop.size(100, 10), DRAWS if not workshop.quick else DRAWS[:3]
    tight, explained = workshop.size(5000, 100), workshop.size(1000, 100)
    step = COARSE if workshop.quick else STEP

    def compute() -> list[dict[str, object]]:
        found = []
        with workshop.progress.counter_for("draws from the prior") as progress:
            for done, m in enumerate(LATENTS, 1):
                run = workshop.runs["vae" if m == 2 else f"vae-{m}"]
                found.append(asdict(shortfall(run, draws, images, tight, explained, step)))
                progress(done, len(LATENTS))
        return found

    records = workshop.remember(
        "prior-sampling", compute, draws=draws, images=images, tight=tight, explained=explained, step=step
    )
    found = [Shortfall(**record) for record in records]
    figure = shortfall_figure({f"{f.latents} latents": f for f in found})
    caption = (
        "How far the estimate falls short, ± one standard error, against the number of draws; values that are not "
        "above nothing by two standard errors are left out."
    )
    return ChapterContent(
        f"{growth_in_words(found)}\n\n{few_in_words(found)}\n\n{reference_in_words(found)}",
        [shortfall_table(found), model_table(found)],
        [workshop.figure("prior-sampling", figure, caption)],
    )


def growth_in_words(found: Sequence[Shortfall]) -> str:
    """How the shortfall of the most draws goes with the number of latents."""
    few, grows = found[0], clear_growth(found)
    until = next((i for i, clear in enumerate(grows) if not clear), len(grows))
    ends = [f"{f.nats[-1]:.1f} ± {f.stderr[-1]:.1f}" for f in found]
    draws = f"{few.draws[-1]:,} draws of z from the prior"
    told = f"The logarithm of the mean of p(x | z) over {draws} falls short of log p(x) by {ends[0]} nats with "
    told += f"{few.latents} latents"
    if until:
        told += ", and by more with more of them: " + listed(
            [f"{ends[i]} with {found[i].latents}" for i in range(1, until + 1)]
        )
    if until == len(grows):
        return f"{told}."
    stays, more = found[until], found[until + 1]
    alike = more.kl < 1.1 * stays.kl
    return (
        f"{told}. From {stays.latents} to {more.latents} latents it does not clearly grow ({ends[until]}, "
        f"{ends[until + 1]}): of {stays.latents} latents {stays.active} are active, of {more.latents} {more.active}, "
        f"and the divergence of q(z | x) from the prior is {stays.kl:.1f} and {more.kl:.1f} nats."
        + (" It is not their number that says how hard the search is, but how much the model uses them." * alike)
    )


def few_in_words(found: Sequence[Shortfall]) -> str:
    """How many of the draws count, and how many it would take."""
    few, many = found[0], max(found, key=lambda f: f.kl)
    return (
        f"In theory it takes about e^{{KL}} draws, with the divergence of p(z | x) from the prior (Chatterjee and "
        f"Diaconis, 2018). With that of q in its place these are e^{{{few.kl:.1f}}} = {scientific(math.exp(few.kl))} "
        f"with {few.latents} latents and e^{{{many.kl:.1f}}} = {scientific(math.exp(many.kl))} with {many.latents}. "
        f"The effective sample size says how many draws count: of {few.draws[-1]:,} from the prior "
        f"{few.effective[0]:.1f} with {few.latents} latents and {many.effective[0]:.1f} with {many.latents} (median "
        f"over images; 1 is the least there is). Of {few.tight:,} from q(z | x) it is {few.effective[1]:,.0f} and "
        f"{many.effective[1]:,.0f}."
    )


def reference_in_words(found: Sequence[Shortfall]) -> str:
    """What the estimates are held against, and how the models were trained."""
    few, rest = found[0], found[1:]
    loose = few.reference[0] - few.bound[0]
    epochs = {f.epochs for f in rest}
    told = (
        f"With {few.latents} latents log p(x) is known, by quadrature over the plane ({_quadrature(few)}); the bound "
        f"of {few.tight:,} draws from q lies {loose:.1f} nats below it there. With more latents that bound is all "
        "there is to hold the estimates against: log p(x) lies above it, and the shortfall is so much larger."
    )
    if epochs != {few.epochs}:
        told += (
            f" The model of {few.latents} latents trained for {few.epochs} epochs, the others for "
            f"{listed([str(n) for n in sorted(epochs)])}."
        )
    return told


def _quadrature(few: Shortfall) -> str:
    assert few.change is not None
    return f"a grid of half as many points along each axis changes no value by more than {scientific(few.change)} nats"


def divergence(workshop: Workshop) -> ChapterContent:
    """KL between Gaussians."""
    found = [divergence_from_standard(*pair) for pair in PAIRS]
    gap = max(abs(f.integral - f.closed) / max(f.closed, 1) for f in found)
    text = (
        "KL(N(m_1, s_1^2) || N(m_2, s_2^2)) = log(s_2/s_1) + (s_1^2 + (m_1 − m_2)^2)/(2 s_2^2) − 1/2. It is the mean, "
        "under the first, of the difference of the two log-densities: log(s_2/s_1) is left of their constants, and the "
        "mean of (x − m_1)^2 is s_1^2, that of (x − m_2)^2 is s_1^2 + (m_1 − m_2)^2.\n\n"
        f"Two Gaussians that nearly agree have a divergence of {nats_in_words(found[1].closed)} nats; one far away and "
        f"narrow has {nats_in_words(found[3].closed)} nats from N(0, 1), and N(0, 1) has "
        f"{nats_in_words(found[3].reverse)} from it: the divergence is not symmetric, and it punishes mass where the "
        "other has none."
    )
    check = ReferenceCheck(
        "KL between Gaussians: closed form and integral",
        f"equal, to {scientific(1e-6, 0)}",
        f"differ by {scientific(gap)} at most",
        gap <= 1e-6,
        "The closed form is wrong.",
        source=AN_IDENTITY,
    )
    return ChapterContent(text, [divergence_table(found)], checks=[check])

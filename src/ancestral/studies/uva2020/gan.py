"""`uva2020`, part 2: generative adversarial networks, how their training goes, and what goes wrong."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict

from ancestral.evaluation.diversity import covered_share, spread_ratio
from ancestral.evaluation.quality import CONFIDENT, Quality
from ancestral.families.gan.model import ACTIVATION
from ancestral.health.training_curves import TrainingCurves
from ancestral.reports.html import Table
from ancestral.reports.pictures.training import training_curves
from ancestral.reports.quality_tables import QUALITY_CAPTION, quality_table
from ancestral.runs.fit import LOOKED_AT
from ancestral.runs.run import Run
from ancestral.studies.demonstrations.midway import Midway, midway
from ancestral.studies.parts import health_in_words, plural
from ancestral.studies.recipe import OURS, ChapterContent, ReferenceCheck
from ancestral.studies.uva2020.vae import drawn_on_the_way
from ancestral.studies.uva2020.words import NAMES, apart, settings_in_words, share_in_words, too_brief
from ancestral.studies.workshop import Workshop

AS_BEFORE = "Readings as in the chapter on the course of the game."
LONG = 250  # epochs of the coursework
READABLE, EVEN = 0.8, 0.1  # share of draws recognised, divergence of the class histogram: our words for "nearly every"
CURE, AILING = "gan", "gan-collapsed"
TWO = ("too large a rate", "the coursework's")
COLLAPSE = "GAN collapse"
TROUBLES = (  # the field's name, what the program calls the sign it sees it by, what it looks at
    (
        "mode collapse",
        "GAN collapse",
        "draws beside as many held-out images: how far apart they lie, how many classes they reach, how much of the "
        "data they cover",
    ),
    ("non-convergence", "oscillation", "diversity and coverage from one epoch to the next"),
    ("non-convergence", "divergence", "coverage that was there and is lost; values that are not finite"),
    ("instability", "discriminator saturation", "D on images and on draws: a critic that always wins"),
    (
        "instability",
        "vanishing generator gradient",
        "the norm of the generator's gradient while the critic wins: it has nothing to learn from",
    ),
)
READINGS = (
    ("diversity", "diversity", "{:.2f}"),
    ("coverage", "coverage, in pixels", "{:.2f}"),
    ("dimension", "effective dimensions", "{:.2f}"),
    ("modes", "digits reached", "{:.0f}"),
    ("recognised", "recognised", "{:.1%}"),
)


def samples(workshop: Workshop) -> ChapterContent:
    """Draws at three moments, walks between codes, and how many draws can be read."""
    run, quality = workshop.runs["gan"], workshop.quality("gan")
    readable = quality.recognised
    text = (
        f"{networks(run)} {settings_in_words(run)}"
        + (
            f" The coursework trains {LONG} epochs, as `--full` does."
            if run.settings.training.epochs < LONG
            else " That is as long as the coursework trains."
        )
        + f"\n\nOf {quality.count:,} draws {share_in_words(readable.value, quality.count)} are recognised with "
        f"confidence {CONFIDENT} (asked for is nearly every one; we take that as {READABLE:.0%}); of real images, "
        f"{share_in_words(readable.floor, quality.count)}. They reach {quality.classes.value:.0f} of the 10 digits, "
        f"and the histogram of digits is {quality.class_kl.value:.3f} nats from that of the data (our aim: at most "
        f"{EVEN}). FID is {quality.fid.value:.2f} (in the features of the same network; {quality.fid.floor:.2f} "
        f"between real images).{_rising(run)}\n\n{_walked(workshop)}"
    )
    walks = workshop.draw("gan", "walks")
    table = quality_table([("GAN, MLP", quality)], f"{QUALITY_CAPTION} {quality.conditions}.")
    return ChapterContent(text, [table], [*drawn_on_the_way(workshop, "gan"), walks], _checks_of_samples(run, quality))


def networks(run: Run) -> str:
    """Generator and critic, from the settings."""
    model, pixels = run.settings.model, math.prod(run.data.event_shape)
    generator = "-".join(map(str, (model.latents, *model.hidden, pixels)))
    critic = "-".join(map(str, (pixels, *model.critic_hidden, 1)))
    return (
        f"Generator {generator} with dropout {model.dropout:g}, its last layer tanh; critic {critic} with dropout "
        f"{model.critic_dropout:g}, its output a logit; {NAMES[ACTIVATION]}. The critic sees pixels in (-1, 1)."
    )


def _rising(run: Run) -> str:
    """Whether the share of recognised draws was still rising in the end: the last quarter beside the one before."""
    course = training_curves(run)
    if ("samples", "recognised") not in course.known:
        return ""
    shares = list(course.curve("samples", "recognised", "").values)
    quarter = len(shares) // 4
    if not quarter:
        return ""
    before, last = (sum(part) / quarter for part in (shares[-2 * quarter : -quarter], shares[-quarter:]))
    epochs = plural(quarter, "epoch")
    if last - before > 0.01:
        return f" The share was still rising: {last:.1%} over the last {epochs}, {before:.1%} over as many before."
    return f" The share no longer rose: {last:.1%} over the last {epochs}, {before:.1%} over as many before."


def _walked(workshop: Workshop) -> str:
    """What lies half-way between two draws of z."""
    count = workshop.size(2000, 50)
    found = Midway(**workshop.remember("midway", lambda: asdict(midway(workshop.runs["gan"], count)), count=count))
    ends, line, arc = (found.shares[where] for where in ("ends", "line", "arc"))
    told = (
        "The walks show what lies between two draws of z. The middle of a straight line is shorter than a draw, "
        f"{found.lengths['line']:.1f} against {found.lengths['ends']:.1f} in the mean of {count:,} walks; the arc "
        f"beneath it keeps the length. Of images at the ends {share_in_words(ends, count)} are recognised, of those in "
        f"the middle of lines {share_in_words(line, count)} and of arcs {share_in_words(arc, count)}"
    )
    if not apart(line, arc, count):
        return f"{told}: between the two ways there is no clear difference."
    return f"{told}: the {'arc' if arc > line else 'line'} fares better."


def _checks_of_samples(run: Run, quality: Quality) -> list[ReferenceCheck]:
    epochs, readable = plural(run.outcome["epochs"], "epoch"), quality.recognised
    return [
        ReferenceCheck(
            "GAN: draws that can be read",
            f"nearly every digit, after {LONG} epochs; we take that as at least {READABLE:.0%}",
            f"{share_in_words(readable.value, quality.count)} after {epochs}",
            readable.value >= READABLE,
            f"{too_brief(run, LONG)}{_rising(run)}",
        ),
        ReferenceCheck(
            "GAN: digits reached",
            "all 10",
            f"{quality.classes.value:.0f}",
            quality.classes.value == 10,
            "The generator leaves out a part of the data.",
            OURS,
        ),
        ReferenceCheck(
            "GAN: histogram of digits",
            f"within {EVEN} nats of the data's",
            f"{quality.class_kl.value:.3f}",
            quality.class_kl.value <= EVEN,
            "It draws some digits far more often than others.",
            OURS,
        ),
    ]


def read_as(workshop: Workshop) -> str:
    """What the readings during a training are of, and what real images have in them."""
    data = workshop.runs[CURE].data
    count = min(LOOKED_AT, len(data.dataset.valid), len(data.dataset.test))
    fresh, held = (data.held(split).first(count) for split in ("test", "valid"))
    return (
        f"Of {count} draws beside as many validation images, in distances of pixels; as many test images in place of "
        f"the draws have diversity {spread_ratio(fresh, held):.2f} and coverage {covered_share(fresh, held):.2f}. The "
        "coverage among the measures of sample quality is another: in the features of the recogniser, with all draws."
    )


def course(workshop: Workshop) -> ChapterContent:
    """How the game went, and whether anything is wrong with it."""
    run = workshop.runs[CURE]
    readings = training_curves(run)
    value, real, fake = (readings.value("train", name, math.inf) for name in ("value", "real_prob", "fake_prob"))
    last = run.outcome["epochs"]
    epochs = sorted({epoch for epoch in (1, *run.settings.training.samples_at, last) if 1 <= epoch <= last})
    text = (
        "The losses of a GAN are those of two players and bound nothing, so a falling loss says little. What can be "
        "watched: what the critic makes of images and draws, the value of the game, the norms of the gradients, and "
        f"how varied the draws are beside held-out images.\n\nAt the last reading D is {real:.2f} on images and "
        f"{fake:.2f} on draws, and the value {value:.3f} nats. {health_in_words(run)}"
    )
    rows = [[str(epoch), *(_reading(readings, name, epoch, words) for name, _, words in READINGS)] for epoch in epochs]
    header = ["epoch", *(title for _, title, _ in READINGS)]
    table = Table(header, rows, f"After some epochs. {read_as(workshop)}", numeric=set(range(len(header))))
    return ChapterContent(text, [table], [workshop.draw(CURE, "curves")])


def troubles(workshop: Workshop) -> ChapterContent:
    """A training made to fail, what the program says of it, and the same with the coursework's settings."""
    both = ailing, cure = workshop.runs[AILING], workshop.runs[CURE]
    (rate, beta1), (usual_rate, usual_beta1) = ((r.settings.training.rate, r.settings.training.beta1) for r in both)
    named = next((verdict for verdict in ailing.verdicts() if verdict.name == COLLAPSE), None)
    if named:
        say = f"The program names it: “{named.evidence}”. Its advice: {named.advice[0].lower()}{named.advice[1:]}."
    else:
        say = f"The program finds no collapse in it. {health_in_words(ailing)}"
    text = (
        f"Three things go wrong with GANs, and the program sees them by {len(TROUBLES)} signs. In mode collapse the "
        "generator draws a few images, or one, that please the critic of the moment. Without convergence the two "
        "players chase each other for ever: the draws swing from epoch to epoch, or lose what they had. And the "
        "training is unstable: a critic that always wins may leave the generator without a gradient to learn "
        "from.\n\n"
        f"To have a failure to show, one run was given a rate {rate / usual_rate:.0f} times as large ({rate:g} in "
        f"place of {usual_rate:g}) and more momentum (β_1 {beta1:g} in place of {usual_beta1:g}). It ran for "
        f"{plural(ailing.outcome['epochs'], 'epoch')}; nothing else is changed. {say}\n\nThe cure is the coursework's "
        f"own rate and momentum. {_cured(ailing, cure)} Where a gentler step is not enough, the program offers a "
        "penalty on the critic's gradient (`--r1`), spectral normalisation (`--spectral-norm`), more dropout in the "
        "critic, and an average of the generator's weights (`--average`)."
    )
    epoch = ailing.outcome["epochs"]
    settings = ["learning rate, β_1", f"{rate:g}, {beta1:g}", f"{usual_rate:g}, {usual_beta1:g}"]
    after = f"The same networks after {plural(epoch, 'epoch')}. {AS_BEFORE}"
    side = Table(["", *TWO], [settings, *readings_side_by_side(both, epoch)], after, numeric={1, 2})
    rows = [[field, name, looks, *(_finding(one, name) for one in both)] for field, name, looks in TROUBLES]
    found = Table(
        ["trouble", "a sign of it", "what is looked at", *TWO], rows, "What the program looked for in both runs."
    )
    pictures = [
        workshop.draw(AILING, "samples", "Too large a rate: draws of the generator, none picked."),
        workshop.draw(AILING, "curves", "Too large a rate: the course of the game."),
    ]
    return ChapterContent(text, [side, found], pictures, _checks_of_health(ailing, cure))


def _checks_of_health(ailing: Run, cure: Run) -> list[ReferenceCheck]:
    named, cured = (next((v for v in one.verdicts() if v.name == COLLAPSE), None) for one in (ailing, cure))
    return [
        ReferenceCheck(
            "GAN, too large a rate: its collapse is named",
            f"{COLLAPSE}, failure",
            f"{named.name}, {named.severity}" if named else "not named",
            named is not None and named.severity == "failure",
            "Its draws still vary, or the training was too short to judge.",
            OURS,
        ),
        ReferenceCheck(
            "GAN, the coursework's settings: collapse",
            "none found",
            f"{cured.name}, {cured.severity}" if cured else "none found",
            cured is None,
            "Chance plays a part: another seed may fare better.",
            OURS,
        ),
    ]


def _cured(ailing: Run, cure: Run) -> str:
    epoch, readings = ailing.outcome["epochs"], [training_curves(one) for one in (ailing, cure)]
    if not all(("samples", "diversity") in one.known for one in readings):
        return "Too little was trained to compare them."
    ill, well = (one.value("samples", "diversity", epoch) for one in readings)
    verdict = "" if well > ill else " Trained so briefly it does not show yet."
    return (
        f"After the same {plural(epoch, 'epoch')} its draws have a diversity of {well:.2f} against {ill:.2f}.{verdict}"
    )


def _finding(run: Run, name: str) -> str:
    """What the program found of one trouble."""
    found = run.health
    if found is None:
        return "not examined"
    for verdict in found.verdicts:
        if verdict.name == name:
            return f"{verdict.severity}: {verdict.evidence.split('; ')[0]}"
    return "no sign" if name in found.healthy else "too short a log to judge"


def readings_side_by_side(runs: Sequence[Run], epoch: float) -> list[list[str]]:
    """A row for each reading of draws, a column for each run."""
    return [
        [title, *(_reading(training_curves(run), name, epoch, words) for run in runs)]
        for name, title, words in READINGS
    ]


def _reading(course: TrainingCurves, name: str, epoch: float, words: str) -> str:
    known = ("samples", name) in course.known
    return words.format(course.value("samples", name, epoch)) if known else "not read"

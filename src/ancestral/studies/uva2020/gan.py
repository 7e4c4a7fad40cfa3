"""`uva2020`, part 2: generative adversarial networks, how their training goes, and what goes wrong."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ancestral.courses import Course
from ancestral.evaluation.quality import CONFIDENT
from ancestral.report import Table
from ancestral.run import Run
from ancestral.run_page import QUALITY_CAPTION, quality_table
from ancestral.studies.parts import health_in_words, plural
from ancestral.studies.recipe import Check, Told
from ancestral.studies.uva2020.vae import drawn_on_the_way
from ancestral.studies.workshop import Workshop

LONG = 250  # epochs of the coursework
READABLE, EVEN = 0.8, 0.1  # share of draws recognised, divergence of the class histogram: our words for "nearly every"
CURE, AILING = "gan", "gan-collapsed"
TWO = ("too large a rate", "the coursework's")
COLLAPSE = "GAN collapse"
TROUBLES = (  # the field's name, what the program calls it, what it looks at
    (
        "mode collapse",
        "GAN collapse",
        "512 draws beside as many held-out images: how far apart they lie, how many classes they reach, how much of "
        "the data they cover",
    ),
    ("a critic that always wins", "discriminator saturation", "D on images and on draws"),
    (
        "starved generator",
        "vanishing generator gradient",
        "the norm of the generator's gradient, while the critic wins",
    ),
    ("non-convergence", "divergence", "coverage that was there and is lost; values that are not finite"),
    ("instability", "oscillation", "diversity and coverage from one epoch to the next"),
)
READINGS = (
    ("diversity", "diversity", "{:.2f}"),
    ("coverage", "coverage", "{:.2f}"),
    ("modes", "digits reached", "{:.0f}"),
    ("recognised", "recognised", "{:.1%}"),
)
READ_AS = "Of 512 draws beside as many validation images; images themselves have diversity 1 and coverage 0.97."


def samples(workshop: Workshop) -> Told:
    """Draws at three moments, walks between codes, and how many draws can be read."""
    run, quality = workshop.runs["gan"], workshop.quality("gan")
    epochs, readable = plural(run.outcome["epochs"], "epoch"), quality.recognised
    shorter = run.outcome["epochs"] < LONG
    long = f" The coursework trains {LONG} epochs, as `--full` does; this run has {epochs}." if shorter else ""
    text = (
        f"Of {quality.count:,} draws {readable.value:.1%} are recognised with confidence {CONFIDENT}; of real "
        f"images, {readable.floor:.1%}. They reach {quality.classes.value:.0f} of the 10 digits, and the histogram "
        f"of digits is {quality.class_kl.value:.3f} nats from that of the data. FID is {quality.fid.value:.2f} (in "
        f"the features of the same network; {quality.fid.floor:.2f} between real images).{long}\n\n"
        "The walks show what lies between two draws of z. A straight line passes through z shorter than nearly all "
        "that the generator was trained on; the arc beneath it keeps to their length."
    )
    checks = [
        Check(
            "GAN: draws that can be read",
            f"nearly every digit, after {LONG} epochs; in numbers at least {READABLE:.0%}",
            f"{readable.value:.1%} after {epochs}",
            readable.value >= READABLE,
            f"It has trained for {epochs} of {LONG}: draws go on improving long after their diversity is that of the "
            "data; `--full` trains as long as the coursework.",
        ),
        Check(
            "GAN: digits reached",
            "all 10",
            f"{quality.classes.value:.0f}",
            quality.classes.value == 10,
            "The generator leaves out a part of the data.",
        ),
        Check(
            "GAN: histogram of digits",
            f"within {EVEN} nats of the data's",
            f"{quality.class_kl.value:.3f}",
            quality.class_kl.value <= EVEN,
            "It draws some digits far more often than others.",
        ),
    ]
    walks = workshop.draw("gan", "walks")
    table = quality_table([("GAN, MLP", quality)], f"{QUALITY_CAPTION} {quality.conditions}.")
    return Told(text, [table], [*drawn_on_the_way(workshop, "gan"), walks], checks)


def course(workshop: Workshop) -> Told:
    """How the game went, and whether anything is wrong with it."""
    run = workshop.runs[CURE]
    readings = Course(run)
    value, real, fake = (readings.value("train", name, math.inf) for name in ("value", "real_prob", "fake_prob"))
    last = run.outcome["epochs"]
    epochs = sorted({epoch for epoch in (1, *run.settings.training.samples_at, last) if 1 <= epoch <= last})
    text = (
        "The losses of a GAN are those of two players and bound nothing, so a falling loss says little. What can be "
        "watched: what the critic makes of images and draws, the value of the game, the norms of the gradients, and "
        f"how varied the draws are beside held-out images.\n\nAt the end D is {real:.2f} on images and {fake:.2f} on "
        f"draws, and the value {value:.3f} nats. {health_in_words(run)}"
    )
    rows = [[str(epoch), *(_reading(readings, name, epoch, words) for name, _, words in READINGS)] for epoch in epochs]
    header = ["epoch", *(title for _, title, _ in READINGS)]
    table = Table(header, rows, f"After some epochs. {READ_AS}", numeric=set(range(5)))
    return Told(text, [table], [workshop.draw(CURE, "curves")])


def troubles(workshop: Workshop) -> Told:
    """A training made to fail, what the program says of it, and the same with the coursework's settings."""
    both = ailing, cure = workshop.runs[AILING], workshop.runs[CURE]
    (rate, beta1), (usual_rate, usual_beta1) = ((r.settings.training.rate, r.settings.training.beta1) for r in both)
    named = next((verdict for verdict in ailing.verdicts() if verdict.name == COLLAPSE), None)
    if named:
        say = f"The program names it: “{named.evidence}”. Its advice: {named.advice[0].lower()}{named.advice[1:]}."
    else:
        say = f"The program finds no collapse in it. {health_in_words(ailing)}"
    text = (
        "Three things go wrong with GANs. In mode collapse the generator draws a few images, or one, that please the "
        "critic of the moment. Without convergence the two players chase each other for ever. And the training is "
        "unstable: a critic that wins leaves a generator with nothing to learn from.\n\n"
        f"To have a failure to show, one run was given a rate {rate / usual_rate:.0f} times as large ({rate:g} in "
        f"place of {usual_rate:g}) and more momentum (beta1 {beta1:g} in place of {usual_beta1:g}); nothing else is "
        f"changed. {say}\n\nThe cure is the coursework's own rate and momentum. {_cured(ailing, cure)} Where a "
        "gentler step is not enough, the program offers a penalty on the critic's gradient (`--r1`), spectral "
        "normalisation (`--spectral-norm`), more dropout in the critic, and an average of the generator's weights "
        "(`--average`)."
    )
    epoch = ailing.outcome["epochs"]
    settings = ["learning rate, beta1", f"{rate:g}, {beta1:g}", f"{usual_rate:g}, {usual_beta1:g}"]
    after = f"The same networks after {plural(epoch, 'epoch')}. {READ_AS}"
    side = Table(["", *TWO], [settings, *readings_side_by_side(both, epoch)], after, numeric={1, 2})
    rows = [[field, name, looks, *(_finding(one, name) for one in both)] for field, name, looks in TROUBLES]
    found = Table(
        ["trouble", "its name here", "what is looked at", *TWO], rows, "What the program looked for in both runs."
    )
    pictures = [
        workshop.draw(AILING, "samples", "Too large a rate: draws of the generator, none picked."),
        workshop.draw(AILING, "curves", "Too large a rate: the course of the game."),
    ]
    return Told(text, [side, found], pictures, _checks_of_health(ailing, cure))


def _checks_of_health(ailing: Run, cure: Run) -> list[Check]:
    named, cured = (next((v for v in one.verdicts() if v.name == COLLAPSE), None) for one in (ailing, cure))
    return [
        Check(
            "a collapsed GAN is named",
            f"{COLLAPSE}, failure",
            f"{named.name}, {named.severity}" if named else "not named",
            named is not None and named.severity == "failure",
            "Its draws still vary, or the training was too short to judge.",
        ),
        Check(
            "the coursework's own settings",
            "no collapse",
            f"{cured.name}, {cured.severity}" if cured else "none",
            cured is None,
            "Chance plays a part: another seed may fare better.",
        ),
    ]


def _cured(ailing: Run, cure: Run) -> str:
    epoch, readings = ailing.outcome["epochs"], [Course(one) for one in (ailing, cure)]
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
    return [[title, *(_reading(Course(run), name, epoch, words) for run in runs)] for name, title, words in READINGS]


def _reading(course: Course, name: str, epoch: float, words: str) -> str:
    known = ("samples", name) in course.known
    return words.format(course.value("samples", name, epoch)) if known else "not read"

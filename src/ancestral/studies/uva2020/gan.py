"""`uva2020`, part 2: generative adversarial networks, their training, and its failures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict

from ancestral.core.text import plural
from ancestral.evaluation.diversity import covered_share, spread_ratio
from ancestral.evaluation.quality import CONFIDENT, Quality
from ancestral.families.gan.model import ACTIVATION
from ancestral.health.training_curves import TrainingCurves
from ancestral.reports.html import Table
from ancestral.reports.pictures.training import training_curves
from ancestral.reports.quality_tables import QUALITY_CAPTION, quality_table
from ancestral.runs.run import Run
from ancestral.runs.validation import LOOKED_AT
from ancestral.studies.demonstrations.midway import Midway, midway
from ancestral.studies.parts import health_in_words
from ancestral.studies.recipe import OURS, ChapterContent, ReferenceCheck
from ancestral.studies.uva2020.vae import drawn_on_the_way
from ancestral.studies.uva2020.words import NAMES, apart, settings_in_words, share_in_words, too_brief
from ancestral.studies.workshop import Workshop

AS_BEFORE = "Measured as in the chapter on the training curves."
LONG = 250  # epochs of the coursework
READABLE, EVEN = 0.8, 0.1  # our targets: share of samples recognised, KL divergence of the class histogram in nats
CURE, AILING = "gan", "gan-collapsed"
TWO = ("learning rate too large", "coursework's settings")
COLLAPSE = "GAN collapse"
TROUBLES = (  # the name in the literature, the name of the finding, what the health check uses
    (
        "mode collapse",
        "GAN collapse",
        "samples compared with as many held-out images: distances between them, number of classes, coverage of the "
        "data",
    ),
    ("non-convergence", "oscillation", "changes of diversity and coverage between epochs"),
    ("non-convergence", "divergence", "loss of coverage; values that are not finite"),
    ("instability", "discriminator saturation", "D on images and on samples: a critic without errors"),
    (
        "instability",
        "vanishing generator gradient",
        "norm of the generator's gradient while the critic is strong",
    ),
)
READINGS = (
    ("diversity", "diversity", "{:.2f}"),
    ("coverage", "coverage, in pixels", "{:.2f}"),
    ("dimension", "effective dimensions", "{:.2f}"),
    ("modes", "digits among samples", "{:.0f}"),
    ("recognised", "recognised", "{:.1%}"),
)


def samples(workshop: Workshop) -> ChapterContent:
    """Samples at three epochs, walks between codes, and the share of recognised samples."""
    run, quality = workshop.runs["gan"], workshop.quality("gan")
    readable = quality.recognised
    text = (
        "The figures show samples before, during and after training, and walks between two codes. "
        f"{networks(run)} {settings_in_words(run)}"
        + (
            f" The coursework trains {LONG} epochs, as `--full` does."
            if run.settings.training.epochs < LONG
            else " The coursework trains as many epochs."
        )
        + f"\n\nA fixed classifier recognises {share_in_words(readable.value, quality.count)} of {quality.count:,} "
        f"samples with a confidence of at least {CONFIDENT}, and {share_in_words(readable.real, quality.count)} of "
        f"real images. The coursework asks for nearly every sample; our target is {READABLE:.0%}. The samples include "
        f"{quality.classes.value:.0f} of the 10 digits. The KL divergence between their class histogram and that of "
        f"the data is {quality.class_kl.value:.3f} nats (our target: at most {EVEN}). The FID, in the features of the "
        f"same classifier, is {quality.fid.value:.2f} ({quality.fid.real:.2f} between real images).{_rising(run)}"
        f"\n\n{_walked(workshop)}"
    )
    walks = workshop.draw("gan", "walks")
    table = quality_table([("GAN, MLP", quality)], f"{QUALITY_CAPTION} {quality.conditions}.")
    return ChapterContent(text, [table], [*drawn_on_the_way(workshop, "gan"), walks], _checks_of_samples(run, quality))


def networks(run: Run) -> str:
    """Layers of generator and critic, from the settings."""
    model, pixels = run.settings.model, math.prod(run.data.event_shape)
    generator = "-".join(map(str, (model.latents, *model.hidden, pixels)))
    critic = "-".join(map(str, (pixels, *model.critic_hidden, 1)))
    return (
        f"Generator: {generator}, dropout {model.dropout:g}, tanh output. Critic: {critic}, dropout "
        f"{model.critic_dropout:g}, its output is a logit. Both use {NAMES[ACTIVATION]}. Pixels are scaled to (-1, 1)."
    )


def _rising(run: Run) -> str:
    """Whether the share of recognised samples was still rising: the last quarter compared with the one before."""
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
        return (
            f" The recognised share was still rising: {last:.1%} in the last {epochs}, {before:.1%} in as many before."
        )
    return f" The recognised share no longer rose: {last:.1%} in the last {epochs}, {before:.1%} in as many before."


def _walked(workshop: Workshop) -> str:
    """Images half-way between two samples of z, as sentences."""
    count = workshop.size(2000, 50)
    found = Midway(**workshop.remember("midway", lambda: asdict(midway(workshop.runs["gan"], count)), count=count))
    ends, line, arc = (found.shares[where] for where in ("ends", "line", "arc"))
    told = (
        "The walks show images between two samples of z, along a straight line and, below it, along an arc. The middle "
        f"of a straight line has a smaller norm than samples of z: {found.lengths['line']:.1f} compared with "
        f"{found.lengths['ends']:.1f} (mean of {count:,} walks); the arc keeps the norm. The classifier recognises "
        f"{share_in_words(ends, count)} of the images at the ends, {share_in_words(line, count)} in the middle of "
        f"lines and {share_in_words(arc, count)} in the middle of arcs"
    )
    if not apart(line, arc, count):
        return f"{told}. Lines and arcs do not clearly differ."
    return f"{told}. So the {'arc' if arc > line else 'line'} gives better images."


def _checks_of_samples(run: Run, quality: Quality) -> list[ReferenceCheck]:
    epochs, readable = plural(run.outcome["epochs"], "epoch"), quality.recognised
    return [
        ReferenceCheck(
            "GAN: samples recognised",
            f"nearly every digit after {LONG} epochs (our target: at least {READABLE:.0%})",
            f"{share_in_words(readable.value, quality.count)} after {epochs}",
            readable.value >= READABLE,
            f"{too_brief(run, LONG)}{_rising(run)}",
        ),
        ReferenceCheck(
            "GAN: digits among samples",
            "all 10",
            f"{quality.classes.value:.0f}",
            quality.classes.value == 10,
            "The generator does not cover a part of the data.",
            OURS,
        ),
        ReferenceCheck(
            "GAN: histogram of digits",
            f"KL divergence from the data at most {EVEN} nats",
            f"{quality.class_kl.value:.3f} nats",
            quality.class_kl.value <= EVEN,
            "The generator samples some digits much more often than others.",
            OURS,
        ),
    ]


def read_as(workshop: Workshop) -> str:
    """How the values during training were measured, and the values of real images, as sentences."""
    data = workshop.runs[CURE].data
    count = min(LOOKED_AT, len(data.dataset.valid), len(data.dataset.test))
    fresh, held = (data.held(split).first(count) for split in ("test", "valid"))
    return (
        f"Measured on {count} samples and as many validation images, by distances in pixels. For as many test images "
        f"in place of samples, the diversity is {spread_ratio(fresh, held):.2f} and the coverage "
        f"{covered_share(fresh, held):.2f}. The coverage in tables of sample quality differs: it uses the features of "
        "the classifier and more samples."
    )


def course(workshop: Workshop) -> ChapterContent:
    """Training curves of the GAN, and the findings of the health checks."""
    run = workshop.runs[CURE]
    readings = training_curves(run)
    value, real, fake = (readings.value("train", name, math.inf) for name in ("value", "real_prob", "fake_prob"))
    last = run.outcome["epochs"]
    epochs = sorted({epoch for epoch in (1, *run.settings.training.samples_at, last) if 1 <= epoch <= last})
    text = (
        "The figure shows quantities that were logged during training: D on images and on samples, the value of the "
        "game, the norms of the gradients, and the variety of the samples compared with held-out images. The losses "
        "of a GAN do not bound a likelihood, so a falling loss does not mean better samples.\n\n"
        f"At the end, D is {real:.2f} on images and {fake:.2f} on samples, and the value of the game is {value:.3f} "
        f"nats. {health_in_words(run)}"
    )
    rows = [[str(epoch), *(_reading(readings, name, epoch, words) for name, _, words in READINGS)] for epoch in epochs]
    header = ["epoch", *(title for _, title, _ in READINGS)]
    table = Table(header, rows, f"Samples after some epochs. {read_as(workshop)}", numeric=set(range(len(header))))
    return ChapterContent(text, [table], [workshop.draw(CURE, "curves")])


def troubles(workshop: Workshop) -> ChapterContent:
    """A training that collapses on purpose, its findings, and the same with the coursework's settings."""
    both = ailing, cure = workshop.runs[AILING], workshop.runs[CURE]
    (rate, beta1), (usual_rate, usual_beta1) = ((r.settings.training.rate, r.settings.training.beta1) for r in both)
    named = next((verdict for verdict in ailing.verdicts() if verdict.name == COLLAPSE), None)
    if named:
        say = f"The health check reports: “{named.evidence}”. Its advice: {named.advice[0].lower()}{named.advice[1:]}."
    else:
        say = f"The health check finds no collapse in it. {health_in_words(ailing)}"
    text = (
        f"GAN training has three typical failures; the health checks detect them by {len(TROUBLES)} signs. Mode "
        "collapse: the generator samples only a few different images, or a single one. Non-convergence: generator and "
        "critic do not reach an equilibrium, so that samples oscillate between epochs or lose coverage. Instability: "
        "a critic that is too strong can leave the generator without a gradient.\n\n"
        "To show a failure, one run was trained with a learning rate that is "
        f"{rate / usual_rate:.0f} times larger ({rate:g} in place of {usual_rate:g}) and with more momentum (β_1 = "
        f"{beta1:g} in place of {usual_beta1:g}), for {plural(ailing.outcome['epochs'], 'epoch')}; all other settings "
        f"are equal. {say}\n\nThe remedy is the coursework's learning rate and momentum. {_cured(ailing, cure)} If "
        "that is not enough, use a penalty on the critic's gradient (`--r1`), spectral normalisation "
        "(`--spectral-norm`), more dropout in the critic (`--critic-dropout`), or an average of the generator's "
        "weights (`--average`)."
    )
    epoch = ailing.outcome["epochs"]
    settings = ["learning rate, β_1", f"{rate:g}, {beta1:g}", f"{usual_rate:g}, {usual_beta1:g}"]
    after = f"Samples of both runs after {plural(epoch, 'epoch')}. {AS_BEFORE}"
    side = Table(["", *TWO], [settings, *readings_side_by_side(both, epoch)], after, numeric={1, 2})
    rows = [[field, name, looks, *(_finding(one, name) for one in both)] for field, name, looks in TROUBLES]
    found = Table(["failure", "sign", "measured by", *TWO], rows, "Health checks of both runs.")
    pictures = [
        workshop.draw(AILING, "samples", "Learning rate too large: samples, not cherry-picked."),
        workshop.draw(AILING, "curves", "Learning rate too large: training curves."),
    ]
    return ChapterContent(text, [side, found], pictures, _checks_of_health(ailing, cure))


def _checks_of_health(ailing: Run, cure: Run) -> list[ReferenceCheck]:
    named, cured = (next((v for v in one.verdicts() if v.name == COLLAPSE), None) for one in (ailing, cure))
    return [
        ReferenceCheck(
            "GAN, learning rate too large: collapse is detected",
            f"{COLLAPSE}, failure",
            f"{named.name}, {named.severity}" if named else "not detected",
            named is not None and named.severity == "failure",
            "Its samples still vary, or the training was too short for the check.",
            OURS,
        ),
        ReferenceCheck(
            "GAN, the coursework's settings: collapse",
            "none found",
            f"{cured.name}, {cured.severity}" if cured else "none found",
            cured is None,
            "The result depends on the random seed; another seed may do better.",
            OURS,
        ),
    ]


def _cured(ailing: Run, cure: Run) -> str:
    epoch, readings = ailing.outcome["epochs"], [training_curves(one) for one in (ailing, cure)]
    if not all(("samples", "diversity") in one.known for one in readings):
        return "The training was too short for a comparison."
    ill, well = (one.value("samples", "diversity", epoch) for one in readings)
    verdict = "" if well > ill else " After so short a training, it has no visible effect yet."
    return (
        f"With them, the diversity of the samples after {plural(epoch, 'epoch')} is {well:.2f}, compared with "
        f"{ill:.2f}.{verdict}"
    )


def _finding(run: Run, name: str) -> str:
    """The result of one health check, as text."""
    found = run.health
    if found is None:
        return "not checked"
    for verdict in found.verdicts:
        if verdict.name == name:
            return f"{verdict.severity}: {verdict.evidence.split('; ')[0]}"
    return "no sign" if name in found.healthy else "log too short"


def readings_side_by_side(runs: Sequence[Run], epoch: float) -> list[list[str]]:
    """A row for each measure of the samples, a column for each run."""
    return [
        [title, *(_reading(training_curves(run), name, epoch, words) for run in runs)]
        for name, title, words in READINGS
    ]


def _reading(course: TrainingCurves, name: str, epoch: float, words: str) -> str:
    known = ("samples", name) in course.known
    return words.format(course.value("samples", name, epoch)) if known else "not measured"

"""`uva2018`, part 1: a mixture of Bernoullis, what it is for, and why logarithms are added."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from ancestral.core.random import seed_for, seeded_noise
from ancestral.core.text import scientific
from ancestral.evaluation.detection import SCORES
from ancestral.evaluation.detection_record import POWER, DetectionRecord
from ancestral.figures.grids import pair_grid
from ancestral.reports.detection_tables import detection_tables
from ancestral.reports.pictures.detection import detection_figure
from ancestral.reports.score_tables import SCORE_CAPTION, score_table
from ancestral.runs.detect import detect_run
from ancestral.runs.run import Run
from ancestral.studies.demonstrations.isolated_pixels import isolated_pixels
from ancestral.studies.demonstrations.paired_scores import Difference, paired_difference
from ancestral.studies.demonstrations.underflow import underflow, underflow_figure
from ancestral.studies.demonstrations.whole_course import course_figure, whole_course
from ancestral.studies.parts import health_in_words
from ancestral.studies.recipe import OURS, ChapterContent, ReferenceCheck
from ancestral.studies.workshop import Workshop

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SCORES_IN_WORDS = {
    "log_prob": "-log p(x) itself",
    "typicality": "typicality, how far log p(x) lies from its mean over natural images, to either side",
    "complexity": "the complexity-corrected one, -log p(x) less the length of the image as a PNG file, as plain images "
    "are more probable whatever they show",
    "ratio": "the likelihood ratio, -log p(x) plus the log-probability of the same image where every pixel is alone",
}
DRAWN = 16


def training(workshop: Workshop) -> ChapterContent:
    """The gradient-trained mixture: course and score."""
    run, score = workshop.runs["mixture"], workshop.score("mixture")
    course, title = whole_course(run, "nll"), workshop.titles["mixture"]
    epochs, watched = run.outcome["epochs"], run.settings.training.watch_size
    train, test = course.last
    text = (
        f"The first minibatch has a mean log-probability of {course.first:.1f} nats an image, and after one epoch the "
        f"first {watched:,} training images have {course.later:.1f}. The curves follow the first {watched:,} images of "
        f"each kind, and end at {train:.1f} on training and {test:.1f} on test images; the score is that of "
        f"{score.count:,} test images, {score.nats:.2f} ± {score.stderr:.2f} nats ({score.kind_in_words}): the sum "
        f"over the {run.settings.model.components} values of Z is carried out, so nothing is estimated.\n\n"
        f"{health_in_words(run)}"
    )
    figure = course_figure(
        course,
        [("-540, at the start", -540, course.start, 0.1), ("-180, after 1 epoch", -180, 1, epochs)],
    )
    caption = f"{title}: mean log-probability as it trains. Dashed, the coursework's references."
    return ChapterContent(
        text,
        [score_table([(title, score)], SCORE_CAPTION)],
        [workshop.figure("mixture-course", figure, caption)],
        [
            ReferenceCheck(
                "mixture: first mean log-probability",
                "near -540 (± 15) nats",
                f"{course.first:.1f} nats",
                abs(course.first + 540) <= 15,
                "The first weights are drawn at another scale.",
            ),
            ReferenceCheck(
                "mixture: after 1 epoch",
                "above -180 nats",
                f"{course.later:.1f} nats",
                course.later > -180,
                "It learns more slowly than the coursework's.",
            ),
        ],
    )


def prototypes(workshop: Workshop) -> ChapterContent:
    """The components, and what is drawn from them."""
    run = workshop.runs["mixture"]
    count = workshop.size(1000, 100)
    drawn, real = workshop.remember("lonely-ink", lambda: _lonely(run, count), count=count)
    text = (
        "Each component is a prototype of the images it is responsible for. A draw takes a component first and then "
        "every pixel by itself: given Z the pixels are independent, so a draw is its prototype with noise. "
        + (
            f"Strokes break into dots: of the ink of {count:,} draws {drawn:.1%} touches no other ink, of {count:,} "
            f"test images {real:.2%}."
            if drawn > 2 * real
            else f"The noise hardly shows: of the ink of {count:,} draws {drawn:.1%} touches no other ink, of "
            f"{count:,} test images {real:.2%}."
        )
    )
    figure = workshop.figure(
        "mixture-draws",
        _draws_figure(run),
        f"{workshop.titles['mixture']}: {DRAWN} draws of Z and of the pixels, none picked, each above the mean image "
        "of its component.",
    )
    return ChapterContent(text, figures=[workshop.draw("mixture", "components"), figure])


def _draws_figure(run: Run) -> Figure:
    with seeded_noise(seed_for(0, "drawing")):
        means = run.load().sample_mean(DRAWN)
        draws = torch.bernoulli(means)
    return pair_grid(draws, means, columns=8, labels=("draw", "mean"), title=f"{DRAWN} samples")


def _lonely(run: Run, count: int) -> tuple[float, float]:
    """Of as many draws and test images."""
    with seeded_noise(seed_for(0, "lonely ink")):
        draws = run.load().sample(count)
    return isolated_pixels(draws), isolated_pixels(run.data.held("test").first(count))


def expectation_maximisation(workshop: Workshop) -> ChapterContent:
    """The same model by the classical algorithm."""
    names = ("mixture", "mixture-em")
    gradient, em = (workshop.score(name) for name in names)
    seconds = [workshop.runs[name].outcome["total_seconds"] for name in names]
    count = workshop.size(10_000, 200)
    gap = paired_difference(workshop.runs["mixture-em"], workshop.runs["mixture"], 0, count)
    text = (
        "Not asked, but the classical way: a mixture needs no gradient, since the posterior over Z is known, and given "
        f"it the best weights are averages. EM reaches {em.nats:.2f} nats in {seconds[1]:.0f} s, the gradient "
        f"{gradient.nats:.2f} in {seconds[0]:.0f} s; image by image EM lies {_signed(gap)} nats from it: "
        + (_which(gap) if gap.clear else "less than three standard errors, so the scores do not tell which is better.")
    )
    named = [(workshop.titles[name], score) for name, score in zip(names, (gradient, em), strict=True)]
    check = ReferenceCheck(
        "mixture on test images: EM less gradient",
        "not clearly below 0 (3 s.e.)",
        f"{_signed(gap)} nats, paired",
        gap.nats > 0 or not gap.clear,
        "The likelihood has many local optima; another seed may order the two otherwise.",
        source=OURS,
    )
    return ChapterContent(
        text, [score_table(named, SCORE_CAPTION)], [workshop.draw("mixture-em", "components")], [check]
    )


def _which(gap: Difference) -> str:
    return "EM ends higher." if gap.nats > 0 else "the gradient ends higher."


def _signed(gap: Difference) -> str:
    return f"{gap.nats:+.2f} ± {gap.stderr:.2f}"


def frankenstein(workshop: Workshop) -> ChapterContent:
    """What does not belong, image by image and batch by batch."""
    found = detect_run(
        workshop.runs["mixture"],
        trials=workshop.size(1000, 50),
        count=workshop.size(10_000, 150),
        sizes=() if not workshop.quick else (1, 10),
        calibrate="test",
    )
    tables = detection_tables(found)
    tables[0].caption = (
        f"Single images: how well a score tells the two kinds apart. Last, the smallest batch tried of which at least "
        f"{POWER:.0%} are found out."
    )
    tables[1].caption = "Batches, by the rank test on log p(x)."
    caption = (
        "Above, log p(x) of single images of either kind. Beneath, the share of batches that are called Frankenstein, "
        "by their size: of natural ones (false positives; the lower dotted line is the level asked for) and of "
        f"Frankenstein ones (power; the upper is {POWER:.0%}), by log p(x) and, dashed, by the other scores. "
        f"{'; '.join(found.conditions)}."
    )
    return ChapterContent(
        f"{_one_image(found)}\n\n{_batches(found)}\n\n{_other_scores(found)}",
        tables,
        [
            workshop.draw("mixture", "frankenstein"),
            workshop.figure("mixture-detection", detection_figure(found), caption),
        ],
    )


def _one_image(found: DetectionRecord) -> str:
    single = found.auroc["log_prob"]
    return (
        f"One image alone: its log-probability tells a Frankenstein digit from a natural one with an AUROC of "
        f"{single.value:.4f} ± {single.stderr:.4f}, the chance that of one of each the Frankenstein digit is the less "
        "probable; 0.5 is a coin."
    )


def _batches(found: DetectionRecord) -> str:
    largest, enough = found.rates["log_prob"][-1], found.size_of_power()
    reached = (
        f"Of the sizes tried, {enough} is the smallest at which at least {POWER:.0%} of Frankenstein batches are found "
        "out."
        if enough
        else f"No size tried finds out {POWER:.0%} of Frankenstein batches."
    )
    return (
        f"A batch: each image's rank among {found.calibration:,} held-out natural images is turned into a normal "
        "score; the mean of a batch's scores is compared, two-sided, with what exchangeable images give, so that the "
        f"level of the test is {found.alpha:.0%} by construction, whatever the model. Of natural batches of "
        f"{largest.size} that took no part in the calibration, {largest.false_positives.value:.1%} are called "
        f"Frankenstein. {reached}"
    )


def _other_scores(found: DetectionRecord) -> str:
    best = max(found.auroc, key=lambda name: found.auroc[name].value)
    value, stderr = found.auroc[best]
    size = found.size_of_power(best)
    return (
        f"Four scores are compared, each higher where an image is stranger: {'; '.join(SCORES_IN_WORDS.values())}. Of "
        f"single images {'the' if best != 'log_prob' else ''} {SCORES[best]} tells the kinds apart best here, with an "
        f"AUROC of {value:.4f} ± {stderr:.4f}" + (f", and batches of {size} are enough." if size else ".")
    )


def stability(workshop: Workshop) -> ChapterContent:
    """Products of probabilities, and sums of their logarithms."""
    found = underflow()
    n, first = len(found.sums["32 bits"]), found.first["64 bits"]
    text = (
        "The log-probability of an image is a sum over pixels; written as the logarithm of a product it is lost. "
        f"{_lost(found.first)} The models here compute in 32 bits, and an image has 784 pixels. The sum of the "
        f"logarithms stays finite: {found.sums['32 bits'][-1].item():.2f} nats for {n:,} factors in 32 bits, "
        f"{scientific(found.errors['32 bits'])} nats from the exact value (in 64 bits: "
        f"{scientific(found.errors['64 bits'])})."
    )
    check = ReferenceCheck(
        "log of a product becomes minus infinity",
        "near N = 1000",
        f"N = {first} (64 bits, factors 1/2)",
        first is not None and 500 <= first <= 2000,
        "Factors of another size are lost elsewhere.",
    )
    caption = "Fair coins, their probabilities multiplied (dashed) and their logarithms added, in two number formats."
    return ChapterContent(
        text, figures=[workshop.figure("underflow", underflow_figure(found), caption)], checks=[check]
    )


def _lost(first: dict[str, int | None]) -> str:
    lost = [f"from n = {n:,} on in {words}" for words, n in first.items() if n is not None]
    return f"The product of n factors 1/2 is zero {' and '.join(lost)}."

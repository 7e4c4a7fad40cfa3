"""`uva2018`, part 1: a mixture of Bernoullis, its use to detect spliced digits, and sums of logarithms."""

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
    "log_prob": "−log p(x)",
    "typicality": "typicality, the absolute difference of log p(x) from its mean over natural images",
    "complexity": "the complexity-corrected score, −log p(x) minus the length of the image as a PNG file, because "
    "simple images have a high probability whatever they show",
    "ratio": "the likelihood ratio, −log p(x) plus the log-probability of the image under independent pixels",
}
DRAWN = 16


def training(workshop: Workshop) -> ChapterContent:
    """The mixture trained by gradient: curves and score."""
    run, score = workshop.runs["mixture"], workshop.score("mixture")
    course, title = whole_course(run, "nll"), workshop.titles["mixture"]
    epochs, watched = run.outcome["epochs"], run.settings.training.watch_size
    train, test = course.last
    text = (
        "The figure shows the mean log-probability per image during training, for the first "
        f"{watched:,} training and test images. It starts at {course.first:.1f} nats on the first minibatch, is "
        f"{course.later:.1f} on training images after one epoch, and ends at {train:.1f} on training and {test:.1f} on "
        f"test images. The final score on {score.count:,} test images is {score.nats:.2f} ± {score.stderr:.2f} nats "
        f"({score.kind_in_words}): the sum over the {run.settings.model.components} values of Z is computed in "
        "full.\n\n"
        f"{health_in_words(run)}"
    )
    figure = course_figure(
        course,
        [("-540, at the start", -540, course.start, 0.1), ("-180, after 1 epoch", -180, 1, epochs)],
        title=f"{title}: mean log-probability during training",
    )
    caption = f"{title}: mean log-probability during training. Dashed: references of the coursework."
    return ChapterContent(
        text,
        [score_table([(title, score)], SCORE_CAPTION)],
        [workshop.figure("mixture-course", figure, caption, of=["mixture"])],
        [
            ReferenceCheck(
                "mixture: first mean log-probability",
                "near -540 (± 15) nats",
                f"{course.first:.1f} nats",
                abs(course.first + 540) <= 15,
                "The initial weights have another scale.",
            ),
            ReferenceCheck(
                "mixture: after 1 epoch",
                "above -180 nats",
                f"{course.later:.1f} nats",
                course.later > -180,
                "It trains more slowly than the coursework's model.",
            ),
        ],
    )


def prototypes(workshop: Workshop) -> ChapterContent:
    """The components, and samples from them."""
    run = workshop.runs["mixture"]
    count = workshop.size(1000, 100)
    drawn, real = workshop.remember("isolated-pixels", lambda: _isolated(run, count), count=count)
    text = (
        "The first figure shows the mean image of each component: a prototype of the images that belong to it. The "
        "second shows samples. Sampling chooses a component first, then each pixel independently given Z, so a sample "
        "is a prototype with pixel noise. "
        + ("The noise breaks strokes into dots: " if drawn > 2 * real else "The noise is small: ")
        + f"{drawn:.1%} of the ink pixels of {count:,} samples are isolated (no neighbour is ink), compared with "
        f"{real:.2%} in {count:,} test images."
    )
    figure = workshop.figure(
        "mixture-draws",
        _draws_figure(run),
        f"{workshop.titles['mixture']}: {DRAWN} samples of Z and of the pixels, not cherry-picked; below each, the "
        "mean image of its component.",
        of=["mixture"],
    )
    return ChapterContent(text, figures=[workshop.draw("mixture", "components"), figure])


def _draws_figure(run: Run) -> Figure:
    with seeded_noise(seed_for(0, "drawing")):
        means = run.load().sample_mean(DRAWN)
        draws = torch.bernoulli(means)
    return pair_grid(
        draws, means, columns=8, labels=("sample", "mean"), title=f"{run.called}: {DRAWN} samples and their means"
    )


def _isolated(run: Run, count: int) -> tuple[float, float]:
    """Share of isolated pixels among the ink pixels of `count` samples, and of as many test images."""
    with seeded_noise(seed_for(0, "lonely ink")):
        draws = run.load().sample(count)
    return isolated_pixels(draws), isolated_pixels(run.data.held("test").first(count))


def expectation_maximisation(workshop: Workshop) -> ChapterContent:
    """The same model, trained by expectation-maximisation."""
    names = ("mixture", "mixture-em")
    gradient, em = (workshop.score(name) for name in names)
    seconds = [workshop.runs[name].outcome["total_seconds"] for name in names]
    count = workshop.size(10_000, 200)
    gap = paired_difference(workshop.runs["mixture-em"], workshop.runs["mixture"], 0, count)
    text = (
        "The table compares two algorithms that train the same mixture; the figure shows the components after EM. The "
        "coursework does not ask for this. Expectation-maximisation (EM) is the classical algorithm for a mixture "
        "and uses no gradient: the posterior of Z is known exactly, and given it the best parameters are weighted "
        f"averages. EM reaches {em.nats:.2f} nats in {seconds[1]:.0f} s; the gradient reaches {gradient.nats:.2f} nats "
        f"in {seconds[0]:.0f} s. The mean paired difference, EM minus gradient, is {_signed(gap)} nats: "
        + (_which(gap) if gap.clear else "this is less than three standard errors, so neither is clearly better.")
    )
    named = [(workshop.titles[name], score) for name, score in zip(names, (gradient, em), strict=True)]
    check = ReferenceCheck(
        "mixture on test images: EM minus gradient",
        "not clearly below 0 (3 s.e.)",
        f"{_signed(gap)} nats, paired",
        gap.nats > 0 or not gap.clear,
        "The likelihood has many local optima; with another seed the order may differ.",
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
    """Detection of spliced digits, for single images and for batches."""
    found = detect_run(
        workshop.runs["mixture"],
        trials=workshop.size(1000, 50),
        count=workshop.size(10_000, 150),
        sizes=() if not workshop.quick else (1, 10),
        calibrate="test",
    )
    tables = detection_tables(found)
    tables[0].caption = (
        "Single images: how well each score separates natural from Frankenstein images. Last column: the smallest "
        f"batch size tried at which at least {POWER:.0%} of Frankenstein batches are detected."
    )
    tables[1].caption = "Batches: the rank test on log p(x)."
    caption = (
        "Top: log p(x) of single natural and Frankenstein images. Bottom: share of batches that the test classifies as "
        "Frankenstein, by batch size, for natural batches (false positives; lower dotted line: the level of the test) "
        f"and for Frankenstein batches (power; upper dotted line: {POWER:.0%}). Solid: log p(x); dashed: the other "
        f"scores. {'; '.join(found.conditions)}."
    )
    return ChapterContent(
        f"{_one_image(found)}\n\n{_batches(found)}\n\n{_other_scores(found)}",
        tables,
        [
            workshop.draw("mixture", "frankenstein"),
            workshop.figure("mixture-detection", detection_figure(found), caption, of=["mixture"]),
        ],
    )


def _one_image(found: DetectionRecord) -> str:
    single = found.auroc["log_prob"]
    return (
        "The first figure shows natural and Frankenstein digits with their log-probabilities; the tables and the "
        "second figure show how well they are separated. Single images: the log-probability separates Frankenstein "
        "digits from natural ones with an AUROC of "
        f"{single.value:.4f} ± {single.stderr:.4f}. This is the probability that a random Frankenstein digit has a "
        "lower log p(x) than a random natural digit; 0.5 is chance."
    )


def _batches(found: DetectionRecord) -> str:
    largest, enough = found.rates["log_prob"][-1], found.size_of_power()
    reached = (
        f"Of the sizes tried, {enough} is the smallest at which at least {POWER:.0%} of Frankenstein batches are "
        "detected."
        if enough
        else f"At no size tried are {POWER:.0%} of Frankenstein batches detected."
    )
    return (
        f"Batches: the rank of each image among {found.calibration:,} held-out natural images is converted to a normal "
        "score. A two-sided test compares the mean score of a batch with its distribution for exchangeable images, so "
        f"the level of the test is {found.alpha:.0%} for any model. The test classifies "
        f"{largest.false_positives.value:.1%} of natural batches of {largest.size} as Frankenstein; none of these "
        f"images was used for the calibration. {reached}"
    )


def _other_scores(found: DetectionRecord) -> str:
    best = max(found.auroc, key=lambda name: found.auroc[name].value)
    value, stderr = found.auroc[best]
    size = found.size_of_power(best)
    return (
        f"Four scores are compared; each is higher for more unusual images: {'; '.join(SCORES_IN_WORDS.values())}. The "
        f"highest AUROC for single images is {value:.4f} ± {stderr:.4f} (score: {SCORES[best]})."
        + (f" With it, batches of {size} are enough for a power of {POWER:.0%}." if size else "")
    )


def stability(workshop: Workshop) -> ChapterContent:
    """Products of probabilities underflow; sums of their logarithms do not."""
    found = underflow()
    n, first = len(found.sums["32 bits"]), found.first["64 bits"]
    text = (
        "The figure compares the logarithm of a product of probabilities with the sum of their logarithms, for "
        f"factors of 1/2. {_lost(found.first)} The models of this study compute in 32 bits, and an image has 784 "
        "pixels, so the log-probability must be computed as a sum of logarithms. That sum stays finite: "
        f"{found.sums['32 bits'][-1].item():,.2f} nats for {n:,} factors in 32 bits, with an error of "
        f"{scientific(found.errors['32 bits'])} nats (in 64 bits: {scientific(found.errors['64 bits'])})."
    )
    check = ReferenceCheck(
        "log of a product becomes minus infinity",
        "near N = 1000",
        f"N = {first} (64 bits, factors 1/2)",
        first is not None and 500 <= first <= 2000,
        "Factors of another size underflow at another N.",
    )
    caption = (
        "Probability of n fair coin flips in two number formats: logarithm of the product (dashed) and sum of the "
        "logarithms."
    )
    return ChapterContent(
        text, figures=[workshop.figure("underflow", underflow_figure(found), caption, of=())], checks=[check]
    )


def _lost(first: dict[str, int | None]) -> str:
    lost = [f"from n = {n:,} in {words}" for words, n in first.items() if n is not None]
    return f"The product of n factors 1/2 underflows to zero {' and '.join(lost)}."

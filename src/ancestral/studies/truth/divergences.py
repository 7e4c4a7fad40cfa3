"""Chapters: the data, the divergence of each model from the truth, and samples scored by the truth."""

from __future__ import annotations

import math

import torch

from ancestral.core.maths import mean_and_error
from ancestral.evaluation.known_truth import Divergence, divergence
from ancestral.evaluation.likelihood import EXACT
from ancestral.families.circuit.model import Circuit
from ancestral.figures.grids import image_grid
from ancestral.figures.histograms import histogram_panels
from ancestral.figures.scatter import Cloud, scatter_panels
from ancestral.reports.html import Table
from ancestral.studies.parts import listed
from ancestral.studies.recipe import AN_IDENTITY, ChapterContent, ReferenceCheck
from ancestral.studies.truth.measure import SHOWN, OfSamples, of_samples, on_test, test_images, truth
from ancestral.studies.workshop import Workshop

NOISE = 0.1  # share of the uniform distribution in the check


def plus_minus(mean: float, error: float, digits: int = 2) -> str:
    return f"{mean:.{digits}f} ± {error:.{digits}f}".replace("-", "\N{MINUS SIGN}")


def entropy(workshop: Workshop) -> tuple[float, float]:
    """E_p[-log p(x)] on the test images and its standard error, nats."""
    return mean_and_error(-on_test(workshop).log_p)


def best_first(workshop: Workshop) -> list[str]:
    """The models with a likelihood, the smallest divergence first."""
    found = on_test(workshop)
    return sorted(found.log_q, key=lambda name: found.divergence(name).nats)


def the_data(workshop: Workshop) -> ChapterContent:
    found, drawn = on_test(workshop), of_samples(workshop)
    images, labels = test_images(workshop)
    right = (found.posteriors.argmax(1) == labels).double()
    rows = [images[:SHOWN], *(one.shown for one in drawn.values())]
    titles = ["the data", *(workshop.titles[name] for name in drawn)]
    figure = image_grid(
        torch.cat(rows),
        columns=SHOWN,
        row_titles=titles,
        title="Images of the known distribution, and samples of each model",
    )
    mean, error = entropy(workshop)
    text = (
        f"The images are sampled from a model of this package: {_of_truth(workshop)} On real data, all of these are "
        "unknown.\n\n"
        f"The entropy of the images is {plus_minus(mean, error)} nats (mean of \N{MINUS SIGN}log p(x) over "
        f"{len(found.log_p):,} test images). No model can have a better expected score than \N{MINUS SIGN}{mean:.2f} "
        f"nats. The true p(y | x) finds the class of {right.mean():.2%} of these images: no classifier is better on "
        "average."
    )
    caption = (
        "Top row: test images. Other rows: the first samples of each model, not selected. All are binary; the grey "
        "values of the GAN are set to 0 or 1, split at one half."
    )
    return ChapterContent(text, figures=[workshop.figure("samples", figure, caption, of=drawn)])


def _of_truth(workshop: Workshop) -> str:
    """What the true distribution is, and what is known exactly, as sentences."""
    known = "So the true probability p(x) of any image is known exactly, and so are p(y | x) of its class and"
    if isinstance(truth(workshop), Circuit):
        return (
            "a mixture of ten trees of hidden states, one for each digit, that was trained on MNIST. "
            f"{known} the conditional probability of any pixels given any others."
        )
    return (
        "a PixelCNN, which gets the class of the digit and was trained on MNIST. "
        f"{known} the conditional probability of all pixels after a given one, in reading order. Conditional "
        "probabilities of other parts of an image are not computable."
    )


def divergences(workshop: Workshop) -> ChapterContent:
    found = on_test(workshop)
    order = best_first(workshop)
    rows = []
    for name in order:
        one = found.divergence(name)
        mean, error = mean_and_error(found.log_q[name])
        rows.append(
            [
                workshop.titles[name],
                "exact" if one.side is None else f"lower bound, {found.methods[name]}",
                plus_minus(mean, error),
                ("" if one.side is None else "at most ") + plus_minus(one.nats, one.stderr),
                f"{one.missing:.2f}",
                f"{one.excess:.2f}",
                _share(one),
            ]
        )
    table = Table(
        ["model q", "log q(x) is", "mean log q(x), nats", "KL(p || q), nats", "missing", "excess", "shared"],
        rows,
        f"{len(found.log_p):,} test images; smallest divergence first. KL(p || q) is the mean of log p(x) "
        "\N{MINUS SIGN} log q(x), with the standard error of these differences; it is missing \N{MINUS SIGN} excess. "
        "Missing: mean of the differences above 0, where q gives an image too little. Excess: mean of the differences "
        "below 0 without their sign, where q gives an image too much. Shared: the sum of min(p(x), q(x)) over all "
        "images, the part of the probability that both have in common (at least, for a bound).",
        numeric={2, 3, 4, 5, 6},
    )
    clouds = [(workshop.titles[name], [Cloud("", found.log_p, found.log_q[name])]) for name in order]
    figure = scatter_panels(
        clouds,
        xlabel="true log p(x), nats",
        ylabel="log q(x) of the model, nats",
        title="Each test image: model against truth",
        note="Line: log q = log p. A point below the line is an image to which the model gives too little.",
    )
    caption = (
        "One point for each test image. Horizontal: its true log-probability. Vertical: that of the model, or a lower "
        "bound. The mean vertical distance below the line is KL(p || q)."
    )
    best, worst = order[0], order[-1]
    text = (
        "On real data, a score only ranks models: nobody knows how far the best one is from the truth. Here the "
        "distance is known. KL(p || q) is the number of nats per image that a model loses because it is not the true "
        f"distribution. The {workshop.titles[best]} is the closest: {_in_words(found.divergence(best))} nats. The "
        f"{workshop.titles[worst]} is the farthest: {_in_words(found.divergence(worst))} nats."
    )
    content = ChapterContent(
        f"{text}\n\n{_error_in_words(workshop)}",
        [table],
        [workshop.figure("images", figure, caption, of=order)],
    )
    content.checks = checks(workshop)
    return content


def _in_words(one: Divergence) -> str:
    return ("at most " if one.side == "upper" else "") + plus_minus(one.nats, one.stderr)


def _share(one: Divergence) -> str:
    return f"{one.shared:.3g}" if one.shared >= 5e-4 else "below 0.0005"


def _error_in_words(workshop: Workshop) -> str:
    """How much smaller the error of a divergence is than that of a score, as a sentence."""
    found, best = on_test(workshop), best_first(workshop)[0]
    of_score, of_gap = mean_and_error(found.log_q[best])[1], found.divergence(best).stderr
    return (
        f"The standard error of the score of the {workshop.titles[best]} is {of_score:.2f} nats, of its divergence "
        f"{of_gap:.3f} nats: some images are improbable under every distribution, and this part cancels in the "
        "difference."
    )


def checks(workshop: Workshop) -> list[ReferenceCheck]:
    """Two divergences that are known without any model."""
    log_p = on_test(workshop).log_p
    log_u = -math.prod(truth(workshop).event_shape) * math.log(2)
    itself = divergence(log_p, log_p.clone())
    mixed = torch.logaddexp(log_p + math.log1p(-NOISE), torch.full_like(log_p, math.log(NOISE) + log_u))
    noisy, expected = divergence(log_p, mixed), -math.log1p(-NOISE)
    return [
        ReferenceCheck(
            "KL of the truth from itself", "0 nats", f"{itself.nats:.3g} nats", itself.nats == 0, source=AN_IDENTITY
        ),
        ReferenceCheck(
            f"KL of the truth from the truth with {NOISE:.0%} noise images",
            f"\N{MINUS SIGN}log {1 - NOISE:g} = {expected:.4f} nats",
            f"{noisy.nats:.4f} nats",
            abs(noisy.nats - expected) < 1e-9,
            source=AN_IDENTITY,
        ),
    ]


def scored_samples(workshop: Workshop) -> ChapterContent:
    """The samples of all models, the GAN's too, scored by the true distribution."""
    drawn, test = of_samples(workshop), on_test(workshop)
    level = -entropy(workshop)[0]
    gaps = {name: one.log_p.mean().item() - level for name, one in drawn.items()}
    order = sorted(drawn, key=lambda name: abs(gaps[name]))
    prior = test.posteriors.mean(0)
    rows = []
    for name in order:
        one, error = drawn[name], math.hypot(mean_and_error(drawn[name].log_p)[1], entropy(workshop)[1])
        rows.append(
            [
                workshop.titles[name],
                plus_minus(*mean_and_error(one.log_p)),
                plus_minus(gaps[name], error),
                f"{one.log_p.std():.1f}",
                _reverse(workshop, name, one),
                f"{torch.special.xlogy(one.shares, one.shares / prior).sum():.4f}",
            ]
        )
    count = len(next(iter(drawn.values())).log_p)
    table = Table(
        ["model q", "mean log p, nats", "above the data, nats", "standard deviation", "KL(q || p), nats", "class KL"],
        rows,
        f"{count:,} samples of each model, scored by the true log p(x). Above the data: the mean minus that of test "
        f"images, {plus_minus(level, entropy(workshop)[1])} nats. Below 0, the samples are too unlikely "
        "(over-dispersed); above 0, they are more typical than the data (under-dispersed). Standard "
        "deviation: of log p(x) over samples; that of test images is "
        f"{test.log_p.std():.1f} nats. KL(q || p): the mean of log q(x) \N{MINUS SIGN} log p(x). "
        "Class KL: divergence of the classes of the samples, by the true p(y | x), from those of the data, nats.",
        numeric={1, 2, 3, 4, 5},
    )
    panels = [(workshop.titles[name], [("test images", test.log_p), ("samples", drawn[name].log_p)]) for name in drawn]
    figure = histogram_panels(
        panels, xlabel="true log p(x), nats", title="How probable are the samples under the truth?"
    )
    caption = (
        "Histograms of the true log-probability of test images and of samples of each model. A model that is equal to "
        "the truth has the same two histograms."
    )
    silent = [workshop.titles[name] for name, one in drawn.items() if one.log_q is None]
    low = [workshop.titles[name] for name in order if gaps[name] < 0]
    high = [workshop.titles[name] for name in order if gaps[name] > 0]
    told = [f"less probable than the data: {listed(low)}"] if low else []
    told += [f"more probable than the data: {listed(high)}"] if high else []
    text = (
        f"The {listed(silent)} has no likelihood, so on real data it cannot be compared with the other families in "
        "nats. Here the truth scores its samples. This direction shows the other kind of mistake: KL(p || q) is large "
        "if a model misses images of the data, and the score of samples is low if a model makes images that the data "
        f"do not have. Samples that are {'; '.join(told)}."
    )
    return ChapterContent(text, [table], [workshop.figure("scored", figure, caption, of=drawn)])


def _reverse(workshop: Workshop, name: str, one: OfSamples) -> str:
    """KL(q || p) as text; at least this if log q is a lower bound."""
    if one.log_q is None:
        return "\N{EN DASH}"
    bound = on_test(workshop).methods[name] != EXACT
    found = divergence(one.log_q, one.log_p, "lower" if bound else None)
    return ("at least " if bound else "") + plus_minus(found.nats, found.stderr)

"""Chapters: measures of sample quality against the true divergence, and detection against the best possible test."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from ancestral.core.random import seed_for
from ancestral.data.anomalies import frankenstein
from ancestral.data.splits import Split
from ancestral.evaluation.detection import Auroc, auroc
from ancestral.evaluation.known_truth import RankCorrelation, rank_correlation
from ancestral.evaluation.likelihood import log_probs
from ancestral.evaluation.quality import Quality
from ancestral.families.circuit.model import Circuit
from ancestral.figures.panels import Panel, panel_figure
from ancestral.figures.series import Curve
from ancestral.models.base import ImplicitModel
from ancestral.reports.html import Table
from ancestral.studies.parts import listed
from ancestral.studies.recipe import ChapterContent
from ancestral.studies.truth.divergences import best_first, plus_minus
from ancestral.studies.truth.measure import (
    as_images,
    count_of,
    draw,
    of_samples,
    on_test,
    samples_for,
    test_images,
    true_log_probs,
    truth,
)
from ancestral.studies.workshop import Workshop

MEASURES: dict[str, tuple[Callable[[Quality], float], int]] = {  # value, and its sign if smaller is better
    "FID": (lambda one: one.fid.value, 1),
    "KID": (lambda one: one.kid.value, 1),
    "precision": (lambda one: one.precision.value, -1),
    "recall": (lambda one: one.recall.value, -1),
    "density": (lambda one: one.density.value, -1),
    "coverage": (lambda one: one.coverage.value, -1),
}
CHANCE = 0.05
SPLICED, SAMPLED = "Frankenstein images", "samples of the mixture"
UNSHOWN = {"tree", "helmholtz", "belief-net"}  # the figure has seven colours; a second model of a family is left out


def quality(workshop: Workshop) -> ChapterContent:
    drawn, found, names = of_samples(workshop), on_test(workshop), best_first(workshop)
    forward = [found.divergence(name).nats for name in names]
    level = found.log_p.mean().item()
    everyone = [*names, *(name for name in drawn if name not in names)]
    distance = [abs(drawn[name].log_p.mean().item() - level) for name in everyone]
    rows, told = [], []
    for measure, (value, sign) in MEASURES.items():
        values = {name: sign * value(drawn[name].quality) for name in everyone}
        pair = _correlations([values[n] for n in names], forward, [values[n] for n in everyone], distance)
        rows.append([measure, *(_correlation(one) for one in pair)])
        if pair[0] is not None and pair[0].p_value < CHANCE:
            told.append(f"{measure} ({pair[0].tau:+.2f})")
    record = drawn[names[0]].quality
    ranked = Table(
        [
            "measure",
            f"tau with KL(p || q), {len(names)} models",
            f"tau with the score of samples, {len(everyone)} models",
        ],
        rows,
        "Kendall's rank correlation tau: 1 if a measure orders the models as the truth does, \N{MINUS SIGN}1 in the "
        "opposite order. P: probability of a tau at least as large in size if the order is random (permutation test). "
        "Score of samples: distance of the mean log p(x) of samples from that of test images.",
        numeric={1, 2},
    )
    values = [
        [workshop.titles[n], *(f"{value(drawn[n].quality):.3g}" for value, _ in MEASURES.values())] for n in everyone
    ]
    table = Table(["model", *MEASURES], values, f"{record.conditions}.", numeric=set(range(1, 1 + len(MEASURES))))
    panels = [
        Panel(
            measure,
            [
                Curve(workshop.titles[n], [max(forward[i], 1e-3)], [value(drawn[n].quality)], style="points")
                for i, n in enumerate(names)
                if n not in UNSHOWN
            ],
            log_x=True,
        )
        for measure, (value, _) in MEASURES.items()
        if measure in ("FID", "KID", "precision", "recall")
    ]
    figure = panel_figure(
        panels, columns=2, xlabel="true KL(p || q), nats", title="Sample quality against the true divergence"
    )
    unshown = listed([workshop.titles[n] for n in names if n in UNSHOWN])
    caption = (
        f"One point for each model with a likelihood, except {unshown}. Horizontal: KL(p || q), on a logarithmic axis."
    )
    text = (
        "FID, KID, precision and recall compare features of samples with those of real images. They are used where no "
        "likelihood is known. Here the true divergence is known, so the table shows whether these measures order the "
        "models in the same way. "
        + (
            f"Related to KL(p || q) beyond chance (P below {CHANCE:g}): {listed(told)}. "
            if told
            else "No measure is related to KL(p || q) beyond chance. "
        )
        + f"With {len(names)} models, only a strong relation can be found."
    )
    return ChapterContent(text, [ranked, table], [workshop.figure("quality", figure, caption, of=names)])


def _correlations(
    values: list[float], forward: list[float], all_values: list[float], distance: list[float]
) -> list[RankCorrelation | None]:
    """With the divergence and with the score of samples; None if all values of a measure are equal."""
    pairs = ((values, forward), (all_values, distance))
    return [rank_correlation(a, b) if len(set(a)) > 1 else None for a, b in pairs]


def _correlation(found: RankCorrelation | None) -> str:
    if found is None:
        return "\N{EN DASH}"
    chance = f"P = {found.p_value:.3f}" if found.p_value >= 5e-4 else "P below 0.0005"
    return f"{found.tau:+.2f} ({chance})".replace("-", "\N{MINUS SIGN}")


@torch.no_grad()
def spliced_log_prob(model: Circuit, x: Tensor) -> Tensor:
    """log r(x) of Frankenstein images: halves of two different classes, each from the true distribution, exact.

        r(x) = sum_a p(a) p(left | a) sum_(b != a) p(b) / (1 - p(a)) p(right | b)

    Args:      model: the true distribution, one tree for each class. x: shape (N, 1, H, W).
    Returns:   shape (N,), nats.
    """
    log_prior = model.log_component_probs
    seen_left = torch.arange(x.shape[-1]).expand_as(x) < x.shape[-1] // 2
    left = model.joint(torch.where(seen_left, x, 0), seen_left)
    right = model.joint(torch.where(seen_left, 0, x), ~seen_left) - log_prior
    other = log_prior.expand(len(log_prior), -1) - torch.log1p(-log_prior.exp())[:, None]
    other = other.masked_fill(torch.eye(len(log_prior), dtype=torch.bool), -torch.inf)  # (a, b)
    return (left[:, :, None] + other + right[:, None, :]).flatten(1).logsumexp(1)


def detected(workshop: Workshop) -> ChapterContent:
    """AUROC of each model's score beside that of the true log p and of the best possible test."""
    count = min(workshop.size(1000, 40), count_of(workshop) // 2)
    names = [name for name, run in workshop.runs.items() if not isinstance(run.load(), ImplicitModel)]

    def compute() -> dict[str, Any]:
        model, x, labels = truth(workshop), *test_images(workshop, 2 * count)
        natural, mixture = x[:count].double(), workshop.runs["mixture"]
        kinds: dict[str, Tensor] = {}
        if isinstance(model, Circuit):
            split = Split(x[count:].to(torch.uint8), labels[count:])
            kinds[SPLICED] = frankenstein(split, seed_for("truth")).images.double()
        kinds[SAMPLED] = draw(mixture, count)[1].double()
        found: dict[str, Any] = {}
        for kind, anomalous in kinds.items():
            both = [natural, anomalous]
            log_p = [true_log_probs(model, part) for part in both]
            if isinstance(model, Circuit) and kind == SPLICED:
                log_r = [spliced_log_prob(model, part) for part in both]
            else:
                other = mixture.load()
                log_r = [log_probs(other, as_images(part.float()))[0] for part in both]
            found[kind] = {
                "best": list(auroc(*(r - p for r, p in zip(log_r, log_p, strict=True)))),
                "truth": list(auroc(-log_p[0], -log_p[1])),
            }
            for name in names:
                network = workshop.runs[name].load()
                samples = samples_for(workshop, name, network)
                pair = [log_probs(network, as_images(part.float()), samples)[0] for part in both]
                found[kind][name] = list(auroc(-pair[0], -pair[1]))
        return found

    kept = workshop.remember("detection", compute, count=count)
    kinds = {kind: {name: Auroc(*one) for name, one in found.items()} for kind, found in kept.items()}
    labels = {"best": "best possible test: log r(x) \N{MINUS SIGN} log p(x)", "truth": "true \N{MINUS SIGN}log p(x)"}
    rows = [
        [labels.get(name, f"\N{MINUS SIGN}log q(x), {workshop.titles.get(name, name)}")]
        + [plus_minus(*kinds[kind][name], 3) for kind in kinds]
        for name in ("best", "truth", *names)
    ]
    table = Table(
        ["score of an image", *(f"AUROC, {kind}" for kind in kinds)],
        rows,
        f"{count:,} natural and {count:,} anomalous images. The area under the ROC curve is the probability that an "
        "anomalous image has the higher score; 0.5 is chance. r: the distribution of the anomalous images, known here. "
        "No test can be better than the likelihood ratio r(x) / p(x) (Neyman and Pearson).",
        numeric=set(range(1, 1 + len(kinds))),
    )
    return ChapterContent(_detection_in_words(workshop, kinds, names), [table])


def _detection_in_words(workshop: Workshop, kinds: dict[str, dict[str, Auroc]], names: list[str]) -> str:
    told = []
    for kind, found in kinds.items():
        top = max(names, key=lambda name: found[name].value)
        told.append(
            f"For {kind}, the best possible test has an AUROC of {found['best'].value:.3f}, the true log p(x) alone "
            f"{found['truth'].value:.3f}, and the best model, the {workshop.titles[top]}, {found[top].value:.3f}"
            + (" (not clearly different from the true log p(x))." if _level(found, top) else ".")
        )
    return (
        "A model is often used to detect out-of-distribution images: those with a low log q(x). How much of a "
        f"low power is the fault of the model, and how much of the score? {_of_spliced(kinds)} "
        + " ".join(told)
        + " The gap between the first two numbers cannot be closed "
        "by a better model of the data: it is due to the score, which does not use r(x)."
    )


def _of_spliced(kinds: Mapping[str, object]) -> str:
    """What Frankenstein images are, or why they are left out, as sentences."""
    what = "Frankenstein images join the left half of one digit with the right half of another class."
    if SPLICED in kinds:
        return f"{what} Both halves come from the known distribution, so the distribution of these images is known too."
    return f"{what} They are left out here: a PixelCNN cannot compute the probability of a right half alone."


def _level(found: dict[str, Auroc], name: str) -> bool:
    gap = found[name].value - found["truth"].value
    return abs(gap) < 2 * math.hypot(found[name].stderr, found["truth"].stderr)

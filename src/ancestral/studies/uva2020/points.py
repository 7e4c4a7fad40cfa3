"""`uva2020`, part 3: normalizing flows of points in the plane."""

from __future__ import annotations

import math
from dataclasses import asdict

from ancestral.core.maths import bits_per_dimension
from ancestral.reports.html import Figure
from ancestral.reports.pictures.catalogue import caption_of
from ancestral.reports.score_tables import SCORE_CAPTION, score_table
from ancestral.runs.evaluate import target_score
from ancestral.runs.run import Run
from ancestral.studies.demonstrations.paired_scores import Difference, target_difference
from ancestral.studies.parts import bits_curves, bits_figure, listed
from ancestral.studies.recipe import AN_IDENTITY, ChapterContent, ReferenceCheck
from ancestral.studies.uva2020.words import differences, epoch_bits, settings_in_words, too_brief
from ancestral.studies.workshop import Workshop

POINTS = ("flow-points", "flow-splines")
ABOUT, AT_MOST = 0.84, 0.845  # bits per dimension: the coursework's value, and the upper limit that rounds to it
ASKED = 40  # epochs of the coursework


def points(workshop: Workshop) -> ChapterContent:
    """The flow of points: score and entropy, densities, samples, curves."""
    runs = [workshop.runs[name] for name in POINTS]
    entropy, target = runs[0].data.entropy, target_score(runs[0].data)
    assert entropy is not None and target is not None
    least = bits_per_dimension(-entropy, 2)
    affine, spline = (workshop.score(name) for name in POINTS)
    excess = {name: _excess(workshop, name) for name in POINTS}
    model = runs[0].settings.model
    hidden = "-".join(map(str, model.hidden))
    text = (
        "The figures show the true density, the learned density, samples, and how the flow transforms the plane. The "
        f"flow has {model.depth} {model.layers} couplings with alternating masks, networks 1-{hidden}-2, base N(0, "
        f"{model.base_scale:g}^2 I). {settings_in_words(runs[0])}\n\nIts score is "
        f"{affine.bits_per_dim:.4f} bits per dimension (exact) on {affine.count:,} test points; the coursework expects "
        f"about {ABOUT}. In expectation, no model can be better than the entropy of the true density, {least:.4f}. On "
        f"the {target.count:,} sampled test points, the true density itself scores {target.bits_per_dim:.4f}. "
        f"{_above(excess[POINTS[0]], 'The flow')} A continuous invertible map cannot split the plane: one Gaussian "
        "cannot become two separate ones, so a thin bridge remains between them.\n\n"
        f"{_splines(runs, excess)}{_luck_learned(runs[1])}"
    )
    named = [("true density", target), ("flow, affine couplings", affine), ("flow, splines", spline)]
    best = max(excess.values(), key=lambda one: one.nats)
    checks = [
        ReferenceCheck(
            "flow of points",
            f"about {ABOUT} bits/dim",
            f"{affine.bits_per_dim:.4f}",
            affine.bits_per_dim < AT_MOST,
            too_brief(runs[0], ASKED),
        ),
        ReferenceCheck(
            "flow of points: not better than the true density",
            "at least the bits/dim of the true density, up to 3 s.e.",
            f"{_in_bits(best)} above",
            best.nats <= 3 * best.stderr,
            "A score better than that of the true density means an error in the code.",
            AN_IDENTITY,
        ),
    ]
    return ChapterContent(text, [score_table(named, SCORE_CAPTION)], _figures(workshop, runs, least), checks)


def _excess(workshop: Workshop, name: str) -> Difference:
    """The score of a flow minus that of the true density, on the same points."""
    run = workshop.runs[name]
    return Difference(**workshop.remember(f"{name}-over-target", lambda: asdict(target_difference(run))))


def _in_bits(found: Difference) -> str:
    """A difference of scores of points, in bits per dimension (positive: worse than the true density), as text."""
    return f"{bits_per_dimension(found.nats, 2):.4f} ± {bits_per_dimension(-found.stderr, 2):.4f} bits/dim"


def _above(found: Difference, who: str) -> str:
    """A paired difference from the true density, as a sentence."""
    if found.nats < 0 and found.clear:
        return f"{who} is {_in_bits(found)} above the true density (paired differences)."
    if found.clear:
        return f"{who} is below the true density, which is impossible: {_in_bits(found)} (paired differences)."
    return f"{who} is {_in_bits(found)} above the true density (paired differences), which is not a clear difference."


def _splines(runs: list[Run], excess: dict[str, Difference]) -> str:
    """The second flow: its settings and its score, as sentences."""
    better = excess[POINTS[1]].nats > excess[POINTS[0]].nats
    different = differences(runs[1], runs[0])
    return (
        f"A second flow differs in {len(different)} settings: {listed(different)}. "
        f"{_above(excess[POINTS[1]], 'It')} "
        + (
            "So it is better. Splines are more flexible than affine maps with the same number of layers, but these two "
            "runs do not separate the effect of splines from that of the other settings."
            if better
            else "So it is not better here."
        )
    )


def _luck_learned(run: Run) -> str:
    """Over-fitting: a score on the training points that is better than that of the true density; else empty."""
    target = target_score(run.data, "train")
    assert target is not None
    last, valid = epoch_bits(run)[-1], float(bits_curves(run)[1].values[-1])
    if last >= target.bits_per_dim:
        return ""
    return (
        f" In the last epoch, its loss on the {target.count:,} training points is {last:.4f} bits per dimension, below "
        f"the {target.bits_per_dim:.4f} of the true density: it has started to over-fit. The validation loss is then "
        f"{valid:.4f}."
    )


def _figures(workshop: Workshop, runs: list[Run], least: float) -> list[Figure]:
    titles = dict(zip(POINTS, ("Affine couplings", "Splines"), strict=True))
    curves = [
        workshop.figure(
            f"{name}-bits",
            bits_figure(run, [(least, "entropy")]),
            f"{titles[name]}: loss in bits per dimension.",
            of=[name],
        )
        for name, run in zip(POINTS, runs, strict=True)
    ]
    densities = [
        workshop.draw(name, "density", f"{titles[name]}: true density, learned density, samples, and {_base(run)}.")
        for name, run in zip(POINTS, runs, strict=True)
    ]
    deformed = workshop.draw(
        POINTS[0], "deformation", f"{titles[POINTS[0]]}. {caption_of(workshop.runs[POINTS[0]], 'deformation')}"
    )
    return [densities[0], deformed, curves[0], densities[1], curves[1]]


def _base(run: Run) -> str:
    """The base density of a flow, and whether it exceeds the colour scale of the true density."""
    scale, dataset = run.settings.model.base_scale, run.data.dataset
    highest = dataset.density.log_prob(dataset.train.images).max().exp().item()  # type: ignore[union-attr]
    peak = 1 / (2 * math.pi * scale**2)
    told = f"base density N(0, {scale:g}^2 I)"
    return f"{told} (its maximum, {peak:.2f}, exceeds the colour scale)" if peak > highest else told

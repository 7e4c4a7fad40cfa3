"""`uva2020`, part 3: normalizing flows of points of the plane."""

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
ABOUT, AT_MOST = 0.84, 0.845  # bits per dimension: the coursework's, and what still rounds to it
ASKED = 40  # epochs of the coursework


def points(workshop: Workshop) -> ChapterContent:
    """The flow of the plane: score beside its floor, densities, draws, curve."""
    runs = [workshop.runs[name] for name in POINTS]
    entropy, target = runs[0].data.entropy, target_score(runs[0].data)
    assert entropy is not None and target is not None
    floor = bits_per_dimension(-entropy, 2)
    affine, spline = (workshop.score(name) for name in POINTS)
    excess = {name: _excess(workshop, name) for name in POINTS}
    model = runs[0].settings.model
    hidden = "-".join(map(str, model.hidden))
    text = (
        f"The flow has {model.depth} {model.layers} couplings with alternating masks, networks 1-{hidden}-2, base N(0, "
        f"{model.base_scale:g}^2 I). {settings_in_words(runs[0])}\n\nIt reaches "
        f"{affine.bits_per_dim:.4f} bits per dimension on {affine.count:,} fresh points, exactly computed; asked for "
        f"is about {ABOUT}. In expectation no model can be better than the target's own entropy, {floor:.4f}; on the "
        f"{target.count:,} test points, by the luck of their draw, the target itself scores {target.bits_per_dim:.4f}. "
        f"Point by point, {_above(excess[POINTS[0]], 'the flow')} An invertible map cannot tear the plane: one bell "
        "cannot become two, and a thin bridge must remain between them.\n\n"
        f"{_splines(runs, excess)}{_luck_learned(runs[1])}"
    )
    named = [("the target itself", target), ("flow, affine couplings", affine), ("flow, splines", spline)]
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
            "flow of points: none is better than the target",
            "at least the target's bits/dim, up to 3 s.e.",
            f"{_in_bits(best)} above",
            best.nats <= 3 * best.stderr,
            "A score better than the density that the points come from is a mistake.",
            AN_IDENTITY,
        ),
    ]
    return ChapterContent(text, [score_table(named, SCORE_CAPTION)], _figures(workshop, runs, floor), checks)


def _excess(workshop: Workshop, name: str) -> Difference:
    """The score of a flow minus the target's, on the same points."""
    run = workshop.runs[name]
    return Difference(**workshop.remember(f"{name}-over-target", lambda: asdict(target_difference(run))))


def _in_bits(found: Difference) -> str:
    """How far a score lies above another in bits per dimension of the plane, which is worse."""
    return f"{bits_per_dimension(found.nats, 2):.4f} ± {bits_per_dimension(-found.stderr, 2):.4f} bits/dim"


def _above(found: Difference, who: str) -> str:
    if found.nats < 0 and found.clear:
        return f"{who} lies {_in_bits(found)} above the target."
    if found.clear:
        return f"{who} lies below the target, as no model can: {_in_bits(found)}."
    return f"{who} is {_in_bits(found)} above the target: no more than chance."


def _splines(runs: list[Run], excess: dict[str, Difference]) -> str:
    """The second flow: how much better it is, and in what it differs."""
    better = excess[POINTS[1]].nats > excess[POINTS[0]].nats
    different = differences(runs[1], runs[0])
    return (
        f"A second flow differs in {len(different)} settings: {listed(different)}. Of it, "
        f"{_above(excess[POINTS[1]], 'the score')} "
        + (
            "So it is better; splines bend more with as many layers, but how much is due to them and how much to the "
            "other settings these two runs do not say."
            if better
            else "It is no better here."
        )
    )


def _luck_learned(run: Run) -> str:
    """Whether the luck of the training points has been learned: a score on them better than the target's own."""
    target = target_score(run.data, "train")
    assert target is not None
    last, valid = epoch_bits(run)[-1], float(bits_curves(run)[1].values[-1])
    if last >= target.bits_per_dim:
        return ""
    return (
        f" In its last epoch the {target.count:,} training points cost {last:.4f}, less than the "
        f"{target.bits_per_dim:.4f} that they cost under the target itself: it has begun to fit the luck of their "
        f"draw. The validation points cost {valid:.4f} then."
    )


def _figures(workshop: Workshop, runs: list[Run], floor: float) -> list[Figure]:
    titles = dict(zip(POINTS, ("Affine couplings", "Splines"), strict=True))
    curves = [
        workshop.figure(f"{name}-bits", bits_figure(run, [(floor, "entropy")]), f"{titles[name]}: bits per dimension.")
        for name, run in zip(POINTS, runs, strict=True)
    ]
    densities = [
        workshop.draw(name, "density", f"{titles[name]}: the target, the density learned, draws, and {_base(run)}.")
        for name, run in zip(POINTS, runs, strict=True)
    ]
    deformed = workshop.draw(
        POINTS[0], "deformation", f"{titles[POINTS[0]]}. {caption_of(workshop.runs[POINTS[0]], 'deformation')}"
    )
    return [densities[0], deformed, curves[0], densities[1], curves[1]]


def _base(run: Run) -> str:
    """The base of a flow, and whether it passes the end of a colour scale that is the target's."""
    scale, dataset = run.settings.model.base_scale, run.data.dataset
    highest = dataset.density.log_prob(dataset.train.images).max().exp().item()  # type: ignore[union-attr]
    peak = 1 / (2 * math.pi * scale**2)
    told = f"the base it was made of, N(0, {scale:g}^2 I)"
    return f"{told}, whose middle, up to {peak:.2f}, is beyond the colours" if peak > highest else told

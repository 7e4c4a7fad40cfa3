"""`uva2020`, part 3: discrete data under a density, normalizing flows of images, and what flows rest on."""

from __future__ import annotations

import math
from dataclasses import asdict

from ancestral.core.maths import bits_per_dimension
from ancestral.core.text import scientific
from ancestral.evaluation.score import Score
from ancestral.families.flow.points import NormalizingFlow
from ancestral.reports.html import Table
from ancestral.reports.score_tables import SCORE_CAPTION, score_table
from ancestral.runs.run import Run
from ancestral.studies.demonstrations.change_of_variables import (
    ChangedVariable,
    against_autograd,
    change_of_variables,
    change_of_variables_figure,
)
from ancestral.studies.demonstrations.dequantised import (
    Dequantised,
    dequantised,
    dequantised_figure,
    learned_density_figure,
)
from ancestral.studies.demonstrations.paired_scores import Difference, paired_difference
from ancestral.studies.parts import bits_figure, plural
from ancestral.studies.recipe import AN_IDENTITY, OURS, ChapterContent, ReferenceCheck
from ancestral.studies.uva2020.words import bits_in_words, settings_in_words
from ancestral.studies.workshop import Workshop

IMAGES = {"flow-uniform": 1.08, "flow-variational": 1.04}  # bits/dim of the tutorial's flows of one scale
MULTISCALE = 1.02  # of its multi-scale flow, with variational dequantisation
TUTORIAL = "the tutorial"
DRAWS = 8
COMPARED = 1000  # points at which a log-determinant is held against autograd's
CHANCE = 1e-3  # p-values below it are taken for a misfit


def discrete(workshop: Workshop) -> ChapterContent:
    """Why whole grey levels need noise before a density may see them, in one dimension."""
    found = Dequantised(**workshop.remember("dequantised", lambda: asdict(dequantised())))
    late = found.points[-1] - found.points[-101]
    text = (
        "A density may be as high as it likes on single values. Fitted to "
        f"{len(found.shares)} grey levels as they are, a bell over each gets narrower with every update: "
        f"after {len(found.points)} updates the mean log-density is {found.points[-1]:.1f} nats, {late:.1f} of "
        "them won in the last hundred, and so it goes on. The number says nothing about the model but how long it was "
        "trained.\n\n"
        "With noise, uniform over each level's cell, the mean log-density of the noisy values cannot pass the "
        "log-probability that the model gives to the cells (Jensen's inequality), and that cannot pass the best any "
        f"discrete model can do, sum P log P = {found.ceiling:.4f} nats. Here it ends at {found.noisy[-1]:.4f}, "
        f"below {found.cells[-1]:.4f} for the cells. The {found.cells[-1] - found.noisy[-1]:.4f} nats between these "
        "two are the price of noise that is uniform where the density is not: variational dequantisation learns a "
        "noise that fits, and can get them back."
    )
    bounded = max(found.noisy) <= found.ceiling and all(a <= b for a, b in zip(found.noisy, found.cells, strict=True))
    checks = [
        ReferenceCheck(
            "density on values with noise",
            f"never above {found.ceiling:.4f} nats",
            f"{max(found.noisy):.4f} at most",
            bounded,
            "A bound that is passed is a mistake.",
            AN_IDENTITY,
        ),
        ReferenceCheck(
            "density on the values themselves",
            f"passes {found.ceiling:.4f} nats and goes on rising",
            f"{found.points[-1]:.1f} nats, rising by {late:.1f} in 100 updates",
            found.points[-1] > found.ceiling and late > 1,
            "The fit was too short.",
            OURS,
        ),
    ]
    figures = [
        workshop.figure(
            "dequantised",
            dequantised_figure(found),
            "The same density, fitted to values as they are and to values with noise; at the right without the former, "
            "whose course hides the others.",
        ),
        workshop.figure(
            "dequantised-density",
            learned_density_figure(found),
            "What was learned with noise, over the shares of the levels.",
        ),
    ]
    return ChapterContent(text, figures=figures, checks=checks)


def images(workshop: Workshop) -> ChapterContent:
    """Flows of whole grey levels, with both kinds of noise."""
    runs = {name: workshop.runs[name] for name in IMAGES}
    bounds = {name: workshop.score(name) for name in IMAGES}
    tighter = {name: workshop.score(name, DRAWS) for name in IMAGES}
    text = "\n\n".join([_flow_in_words(runs), _gained(workshop), _gaps(bounds, tighter), _beside_tutorial(tighter)])
    named = [(_capital(workshop.titles[name]), score) for name in IMAGES for score in (bounds[name], tighter[name])]
    figures = [
        *(workshop.draw(name, "samples", f"{_capital(workshop.titles[name])}: draws, none picked.") for name in IMAGES),
        *(
            workshop.figure(f"{name}-bits", bits_figure(run), f"{_capital(workshop.titles[name])}: bits per dimension.")
            for name, run in runs.items()
        ),
    ]
    checks = [_against_tutorial(name, bounds[name], tighter[name], runs[name]) for name in IMAGES]
    best = min(tighter.values(), key=lambda score: score.bits_per_dim)
    checks.append(
        ReferenceCheck(
            "flow of images, the better of the two",
            f"{MULTISCALE} bits/dim, the tutorial's multi-scale flow",
            bits_in_words(best),
            best.bits_per_dim <= MULTISCALE,
            _smaller(list(runs.values())),
            TUTORIAL,
        )
    )
    return ChapterContent(text, [_ways(runs["flow-uniform"]), score_table(named, SCORE_CAPTION)], figures, checks)


def _ways(run: Run) -> Table:
    """What goes in and comes out, three times."""
    dimensions, levels = math.prod(run.data.event_shape), run.data.dataset.levels
    rows = [
        [
            "training",
            f"whole levels x, 0 to {levels - 1}; noise u for each pixel, from q(u | x)",
            f"log p((x + u) / {levels}) − {dimensions} log {levels} − log q(u | x), in expectation a lower bound on "
            "log P(x); its mean is maximised",
        ],
        [
            "evaluation",
            f"test images; one u an image, or {DRAWS}",
            f"the same bound, or the log-mean-exp of {DRAWS} such, which is tighter",
        ],
        [
            "sampling",
            f"z from N(0, I), {dimensions} numbers",
            "f^{-1}(z), a grey value in (0, 1) for each pixel, and the level whose cell it lies in; no noise is drawn",
        ],
    ]
    return Table(["", "in", "out"], rows, "What goes into the flow and what comes out.")


def _flow_in_words(runs: dict[str, Run]) -> str:
    """The networks and their training."""
    (uniform, variational), models = runs.values(), [run.settings.model for run in runs.values()]
    model, sizes = models[0], [sum(one.numel() for one in run.load().parameters()) for run in runs.values()]
    return (
        f"Both are multi-scale flows: the sides of the image are halved {model.scales} times, each time "
        f"{model.couplings} {model.layers} couplings follow, whose networks have {model.width} channels and "
        f"{plural(model.blocks, 'residual block')}. They have {sizes[0]:,} parameters with uniform noise and "
        f"{sizes[1]:,} with learned noise. {settings_in_words(uniform)} With learned noise: "
        f"{plural(variational.outcome['epochs'], 'epoch')}."
    )


def _gained(workshop: Workshop) -> str:
    """What the learned noise is worth, image by image."""
    uniform, variational = (workshop.runs[name] for name in IMAGES)
    count = workshop.score("flow-uniform").count
    stored = workshop.remember(
        "variational-over-uniform", lambda: asdict(paired_difference(variational, uniform, 0, count)), count=count
    )
    gain = Difference(**stored)
    dimensions = math.prod(uniform.data.event_shape)
    bits, error = (bits_per_dimension(-nats, dimensions) for nats in (abs(gain.nats), gain.stderr))
    told = (
        f"Image by image, by one draw of the noise each, variational noise is {abs(gain.nats):.2f} ± "
        f"{gain.stderr:.2f} nats, or {bits:.4f} ± {error:.4f} bits per dimension, "
        f"{'ahead of' if gain.nats > 0 else 'behind'} uniform noise"
    )
    epochs = [run.outcome["epochs"] for run in (variational, uniform)]
    if epochs[0] != epochs[1]:
        told += f", trained for {epochs[0]} epochs against {epochs[1]}"
    return f"{told}." if gain.clear else f"{told}: no more than chance."


def _gaps(bounds: dict[str, Score], tighter: dict[str, Score]) -> str:
    """How far the bounds by one draw lie below those by more."""
    uniform, variational = (tighter[name].nats - bounds[name].nats for name in IMAGES)
    fits = (
        "The learned noise fits the density better, and so loses less."
        if variational < 0.8 * uniform
        else "The noise learned in so short a training loses hardly less than uniform noise does."
    )
    return (
        f"With {DRAWS} draws in place of one the lower bound on log P(x) rises by {uniform:.2f} nats an image with "
        f"uniform noise and by {variational:.2f} with learned noise, so a bound by one draw is at least so far below "
        f"the truth. {fits} As these are probabilities of whole levels, they compare with those of any model of such "
        "pixels; they do not compare with scores of binary pixels."
    )


def _beside_tutorial(tighter: dict[str, Score]) -> str:
    """How far from the tutorial's flow of the same kind."""
    misses = [tighter[name].bits_per_dim - MULTISCALE for name in IMAGES]
    told = (
        f"The tutorial's flows of one scale reach {IMAGES['flow-uniform']} bits per dimension with uniform and "
        f"{IMAGES['flow-variational']} with variational noise. Like with like is its multi-scale flow, with "
        f"variational noise, {MULTISCALE}: "
    )
    if max(misses) <= 0:
        return f"{told}both are as good by {DRAWS} draws."
    words = [f"misses it by {miss:.4f}" if miss > 0 else f"is better by {-miss:.4f}" for miss in misses]
    return f"{told}by {DRAWS} draws uniform noise here {words[0]}, learned noise {words[1]}."


def _against_tutorial(name: str, bound: Score, tighter: Score, run: Run) -> ReferenceCheck:
    dequantisation = name.removeprefix("flow-")
    return ReferenceCheck(
        f"flow of images, {dequantisation} dequantisation",
        f"{IMAGES[name]} bits/dim, the tutorial's flow of one scale",
        f"{bits_in_words(tighter)} by {DRAWS} draws, {bits_in_words(bound)} by one",
        tighter.bits_per_dim <= IMAGES[name],
        _smaller([run]),
        TUTORIAL,
    )


def _smaller(runs: list[Run]) -> str:
    epochs = " and ".join(str(run.outcome["epochs"]) for run in runs)
    return (
        f"The tutorial's model is larger and was trained far longer, on a GPU; ours for {epochs} epochs, on a "
        "processor."
    )


def _capital(title: str) -> str:
    return title[:1].upper() + title[1:]


def one_dimension(workshop: Workshop) -> ChapterContent:
    """z = x³: the density, its integral, draws; and what a layer must be to serve in a flow."""
    draws = workshop.size(20_000, 2000)
    stored = workshop.remember("change-of-variables", lambda: asdict(change_of_variables(draws=draws)), draws=draws)
    found = ChangedVariable(**stored)
    flow = workshop.runs["flow-points"]
    model = flow.load()
    assert isinstance(model, NormalizingFlow)
    x = flow.data.held("test").first(COMPARED).double()
    agreement = against_autograd(model.double().bijection, x)
    text = (
        f"Let z = x³ with z uniform on ({found.low:g}, {found.high:g}). What lies in a small interval of x lies in "
        f"its image, so p(x) = p(z) |dz/dx| = 3x² / {found.high - found.low:g} on ({found.edges[0]:g}, "
        f"{found.edges[-1]:g}), and its integral is (x³ at the end - x³ at the beginning) / "
        f"{found.high - found.low:g} = 1. By quadrature it is {found.mass:.6f}. Without the factor |dz/dx| it would "
        f"be {found.mass_without:.4f}, and no density. {found.draws:,} draws, made by drawing z and taking the cube "
        f"root, {'fit' if found.p_value > CHANCE else 'do not fit'} it: a chi-square test over {len(found.heights)} "
        f"cells gives p = {found.p_value:.2f}.\n\n"
        "What constrains an invertible layer: it must have an inverse, so it has as many outputs as inputs and no "
        "bottleneck; its inverse should be cheap, or one cannot draw; and the determinant of its Jacobian must be "
        "cheap, since in general that takes on the order of D³ operations. A coupling changes half of the "
        "coordinates given the other half, so its Jacobian is triangular and the determinant a product of D numbers. "
        "The price: each layer leaves half as it is. And smooth invertible maps keep the plane in one piece. The "
        "cube shows a limit case: at x = 0 it is invertible, but the way back has no derivative, and the density is "
        "0 there.\n\n"
        f"The flow of points of this study, held against autograd at {len(x):,} test points in double precision: there "
        f"and back, it errs by at most {scientific(agreement.round_trip)}, and its log-determinant by at most "
        f"{scientific(agreement.log_determinant)} nats."
    )
    checks = [
        ReferenceCheck(
            "z = x³: integral of the density",
            "1",
            f"{found.mass:.6f}",
            abs(found.mass - 1) < 1e-4,
            "A density that does not integrate to 1 is a mistake.",
            AN_IDENTITY,
        ),
        ReferenceCheck(
            "the flow's log-determinant",
            "autograd's, to rounding",
            f"off by {scientific(agreement.log_determinant)} nats at most",
            agreement.log_determinant < 1e-9,
            "A wrong log-determinant is a mistake.",
            AN_IDENTITY,
        ),
    ]
    figure = workshop.figure(
        "change-of-variables", change_of_variables_figure(found), f"{found.draws:,} draws of x and its density."
    )
    return ChapterContent(text, figures=[figure], checks=checks)

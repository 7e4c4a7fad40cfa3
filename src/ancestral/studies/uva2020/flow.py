"""`uva2020`, part 3: dequantisation, normalizing flows of images, and the change of variables."""

from __future__ import annotations

import math
from dataclasses import asdict

from ancestral.core.maths import bits_per_dimension
from ancestral.core.text import plural, scientific
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
from ancestral.studies.parts import bits_figure
from ancestral.studies.recipe import AN_IDENTITY, OURS, ChapterContent, ReferenceCheck
from ancestral.studies.uva2020.words import bits_in_words, settings_in_words
from ancestral.studies.workshop import Workshop

IMAGES = {"flow-uniform": 1.08, "flow-variational": 1.04}  # bits/dim of the tutorial's flows of one scale
MULTISCALE = 1.02  # of its multi-scale flow, with variational dequantisation
TUTORIAL = "the tutorial"
DRAWS = 8
COMPARED = 1000  # points at which a log-determinant is compared with that of autograd
CHANCE = 1e-3  # p-values below it count as a misfit


def discrete(workshop: Workshop) -> ChapterContent:
    """Why a density needs noise to be fitted to discrete grey levels, in one dimension."""
    found = Dequantised(**workshop.remember("dequantised", lambda: asdict(dequantised())))
    late = found.points[-1] - found.points[-101]
    text = (
        "The first figure shows the mean log-density during two fits of a mixture of Gaussians to "
        f"{len(found.shares)} grey levels: one to the levels themselves, one to levels with uniform noise.\n\n"
        "Without noise, the log-density has no upper bound, because the Gaussian at each level becomes narrower with "
        f"every update. After {len(found.points)} updates, the mean log-density is {found.points[-1]:.1f} nats; the "
        f"last 100 updates added {late:.1f} nats. This number measures the length of the training, not the quality of "
        "the model.\n\n"
        "With noise that is uniform over the cell of each level, the mean log-density of the noisy values is at most "
        "the mean log-probability of the cells (Jensen's inequality). That is at most sum P log P = "
        f"{found.ceiling:.4f} nats, the best value of any discrete model. Here the log-density ends at "
        f"{found.noisy[-1]:.4f} nats and the log-probability of the cells at {found.cells[-1]:.4f}. The gap of "
        f"{found.cells[-1] - found.noisy[-1]:.4f} nats is due to the noise: it is uniform, but the density is not. "
        "Variational dequantisation learns the distribution of the noise and can reduce this gap."
    )
    bounded = max(found.noisy) <= found.ceiling and all(a <= b for a, b in zip(found.noisy, found.cells, strict=True))
    checks = [
        ReferenceCheck(
            "mean log-density with noise",
            f"at most {found.ceiling:.4f} nats",
            f"at most {max(found.noisy):.4f} nats",
            bounded,
            "A value above the bound means an error in the code.",
            AN_IDENTITY,
        ),
        ReferenceCheck(
            "mean log-density without noise",
            f"exceeds {found.ceiling:.4f} nats and keeps rising",
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
            "Mean logarithms during the fits. Left: with and without noise. Right: only the fit with noise, on a finer "
            "scale.",
            of=(),
        ),
        workshop.figure(
            "dequantised-density",
            learned_density_figure(found),
            "The density fitted with noise (dashed), and the shares of the levels (solid).",
            of=(),
        ),
    ]
    return ChapterContent(text, figures=figures, checks=checks)


def images(workshop: Workshop) -> ChapterContent:
    """Flows of grey levels, with uniform and with variational dequantisation."""
    runs = {name: workshop.runs[name] for name in IMAGES}
    bounds = {name: workshop.score(name) for name in IMAGES}
    tighter = {name: workshop.score(name, DRAWS) for name in IMAGES}
    text = "\n\n".join([_flow_in_words(runs), _gained(workshop), _gaps(bounds, tighter), _beside_tutorial(tighter)])
    named = [(_capital(workshop.titles[name]), score) for name in IMAGES for score in (bounds[name], tighter[name])]
    figures = [
        *(
            workshop.draw(name, "samples", f"{_capital(workshop.titles[name])}: samples, not cherry-picked.")
            for name in IMAGES
        ),
        *(
            workshop.figure(
                f"{name}-bits",
                bits_figure(run),
                f"{_capital(workshop.titles[name])}: loss in bits per dimension.",
                of=[name],
            )
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
    """A table of the inputs and outputs in training, evaluation and sampling."""
    dimensions, levels = math.prod(run.data.event_shape), run.data.dataset.levels
    rows = [
        [
            "training",
            f"grey levels x, 0 to {levels - 1}; noise u for each pixel, from q(u | x)",
            f"log p((x + u) / {levels}) − {dimensions} log {levels} − log q(u | x); its expectation is a lower bound "
            "on log P(x); training maximises the mean",
        ],
        [
            "evaluation",
            f"test images; one u per image, or {DRAWS}",
            f"the same bound, or the log-mean-exp over {DRAWS} samples of u, which is tighter",
        ],
        [
            "sampling",
            f"z from N(0, I), {dimensions} numbers",
            "f^{-1}(z), a grey value in (0, 1) for each pixel, rounded to the level of its cell; no noise is sampled",
        ],
    ]
    return Table(["", "input", "output"], rows, "Input and output of the flow.")


def _flow_in_words(runs: dict[str, Run]) -> str:
    """The networks and their training, as sentences."""
    (uniform, variational), models = runs.values(), [run.settings.model for run in runs.values()]
    model, sizes = models[0], [sum(one.numel() for one in run.load().parameters()) for run in runs.values()]
    return (
        "The figures show samples and losses of two flows that differ in the dequantisation noise. Both are "
        f"multi-scale flows: the side of the image is halved {model.scales} times, each time followed by "
        f"{model.couplings} {model.layers} couplings, whose networks have {model.width} channels and "
        f"{plural(model.blocks, 'residual block')}. The flow has {sizes[0]:,} parameters with uniform noise and "
        f"{sizes[1]:,} with learned noise. {settings_in_words(uniform)} With learned noise: "
        f"{plural(variational.outcome['epochs'], 'epoch')}."
    )


def _gained(workshop: Workshop) -> str:
    """The paired difference between learned and uniform noise, as a sentence."""
    uniform, variational = (workshop.runs[name] for name in IMAGES)
    count = workshop.score("flow-uniform").count
    stored = workshop.remember(
        "variational-over-uniform", lambda: asdict(paired_difference(variational, uniform, 0, count)), count=count
    )
    gain = Difference(**stored)
    dimensions = math.prod(uniform.data.event_shape)
    bits, error = (bits_per_dimension(-nats, dimensions) for nats in (abs(gain.nats), gain.stderr))
    told = (
        f"With one noise sample per image, the bound with variational noise is {abs(gain.nats):.2f} ± "
        f"{gain.stderr:.2f} nats, or {bits:.4f} ± {error:.4f} bits per dimension, "
        f"{'better' if gain.nats > 0 else 'worse'} than with uniform noise (paired differences"
    )
    epochs = [run.outcome["epochs"] for run in (variational, uniform)]
    if epochs[0] != epochs[1]:
        told += f"; trained for {epochs[0]} and {epochs[1]} epochs"
    return f"{told})." if gain.clear else f"{told}). This difference is not clear."


def _gaps(bounds: dict[str, Score], tighter: dict[str, Score]) -> str:
    """The gain from more noise samples, as sentences."""
    uniform, variational = (tighter[name].nats - bounds[name].nats for name in IMAGES)
    fits = (
        "The gap is smaller with learned noise, because its distribution fits the density better."
        if variational < 0.8 * uniform
        else "After this short training, the gap is about as large with learned noise."
    )
    return (
        f"With {DRAWS} noise samples in place of one, the lower bound on log P(x) rises by {uniform:.2f} nats per "
        f"image with uniform noise and by {variational:.2f} with learned noise. So the bound with one sample is at "
        f"least that far below log P(x). {fits} These scores are probabilities of grey levels: they can be compared "
        "with other models of such pixels, but not with scores of binary pixels."
    )


def _beside_tutorial(tighter: dict[str, Score]) -> str:
    """Distance from the tutorial's flows, as sentences."""
    misses = [tighter[name].bits_per_dim - MULTISCALE for name in IMAGES]
    told = (
        f"The tutorial's single-scale flows reach {IMAGES['flow-uniform']} bits per dimension with uniform and "
        f"{IMAGES['flow-variational']} with variational noise. Our flows are comparable to its multi-scale flow with "
        f"variational noise, which reaches {MULTISCALE}. "
    )
    if max(misses) <= 0:
        return f"{told}With {DRAWS} noise samples, both of our flows are at least as good."
    words = [f"{miss:.4f} worse" if miss > 0 else f"{-miss:.4f} better" for miss in misses]
    return f"{told}With {DRAWS} noise samples, ours is {words[0]} with uniform noise and {words[1]} with learned noise."


def _against_tutorial(name: str, bound: Score, tighter: Score, run: Run) -> ReferenceCheck:
    dequantisation = name.removeprefix("flow-")
    return ReferenceCheck(
        f"flow of images, {dequantisation} dequantisation",
        f"{IMAGES[name]} bits/dim, the tutorial's single-scale flow",
        f"{bits_in_words(tighter)} with {DRAWS} noise samples, {bits_in_words(bound)} with one",
        tighter.bits_per_dim <= IMAGES[name],
        _smaller([run]),
        TUTORIAL,
    )


def _smaller(runs: list[Run]) -> str:
    epochs = " and ".join(str(run.outcome["epochs"]) for run in runs)
    return (
        f"The tutorial's model is larger and was trained much longer, on a GPU; ours was trained for {epochs} epochs "
        "on a CPU."
    )


def _capital(title: str) -> str:
    return title[:1].upper() + title[1:]


def one_dimension(workshop: Workshop) -> ChapterContent:
    """z = x³: the density, its integral, samples; and the requirements on a layer of a flow."""
    draws = workshop.size(20_000, 2000)
    stored = workshop.remember("change-of-variables", lambda: asdict(change_of_variables(draws=draws)), draws=draws)
    found = ChangedVariable(**stored)
    flow = workshop.runs["flow-points"]
    model = flow.load()
    assert isinstance(model, NormalizingFlow)
    x = flow.data.held("test").first(COMPARED).double()
    agreement = against_autograd(model.double().bijection, x)
    text = (
        f"Let z = x³ with z uniform on ({found.low:g}, {found.high:g}). A small interval of x has the same probability "
        f"as its image under the map, so p(x) = p(z) |dz/dx| = 3x² / {found.high - found.low:g} on "
        f"({found.edges[0]:g}, {found.edges[-1]:g}). The integral is (x³ at the upper end − x³ at the lower end) / "
        f"{found.high - found.low:g} = 1. By quadrature it is {found.mass:.6f}. Without the factor |dz/dx| it would be "
        f"{found.mass_without:.4f}, so the result would not be a density. The figure shows the density and a "
        f"histogram of {found.draws:,} samples, which were made by sampling z and taking the cube root. They "
        f"{'fit' if found.p_value > CHANCE else 'do not fit'} the density: a chi-square test over "
        f"{len(found.heights)} cells gives p = {found.p_value:.2f}.\n\n"
        "An invertible layer must meet three requirements. It needs an inverse, so it has as many outputs as inputs "
        "and no bottleneck. Its inverse must be cheap to compute, because sampling uses it. The determinant of its "
        "Jacobian must be cheap to compute; in general, it takes on the order of D³ operations. A coupling layer "
        "changes half of the coordinates given the other half, so its Jacobian is triangular and the determinant is a "
        "product of D numbers. The disadvantage: each layer leaves half of the coordinates unchanged. A second "
        "limitation: smooth invertible maps cannot tear the plane into separate parts. The cube is a limiting case: it "
        "is invertible at x = 0, but its inverse has no derivative there, and the density is 0.\n\n"
        f"The flow of points of this study was compared with autograd at {len(x):,} test points in double precision. "
        f"The error of inverse and forward map together is at most {scientific(agreement.round_trip)}; the error of "
        f"the log-determinant is at most {scientific(agreement.log_determinant)} nats."
    )
    checks = [
        ReferenceCheck(
            "z = x³: integral of the density",
            "1",
            f"{found.mass:.6f}",
            abs(found.mass - 1) < 1e-4,
            "The density does not integrate to 1: an error in the code.",
            AN_IDENTITY,
        ),
        ReferenceCheck(
            "log-determinant of the flow",
            "equal to that of autograd, up to rounding",
            f"difference at most {scientific(agreement.log_determinant)} nats",
            agreement.log_determinant < 1e-9,
            "The log-determinant is wrong: an error in the code.",
            AN_IDENTITY,
        ),
    ]
    figure = workshop.figure(
        "change-of-variables", change_of_variables_figure(found), f"Density of x, and {found.draws:,} samples.", of=()
    )
    return ChapterContent(text, figures=[figure], checks=checks)

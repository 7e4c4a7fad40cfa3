"""`uva2020`, part 3: normalizing flows of points and of images, and what they rest on."""

from __future__ import annotations

from dataclasses import asdict

from ancestral.evaluation.score import Score
from ancestral.experiments.change_of_variables import (
    ChangedVariable,
    against_autograd,
    change_of_variables,
    change_of_variables_figure,
)
from ancestral.experiments.dequantised import (
    Dequantised,
    dequantised,
    dequantised_figure,
    learned_density_figure,
)
from ancestral.models.flow import NormalizingFlow
from ancestral.numerics import bits_per_dimension
from ancestral.report import Table
from ancestral.run import Run
from ancestral.run_page import SCORE_CAPTION, score_table
from ancestral.scoring import target_score
from ancestral.studies.parts import bits_figure, plural
from ancestral.studies.recipe import Check, Told
from ancestral.studies.workshop import Workshop

POINTS = ("flow-points", "flow-splines")
IMAGES = {"flow-uniform": 1.08, "flow-variational": 1.04}  # bits/dim of the tutorial's models
TUTORIAL = "UvA tutorial"
DRAWS = 8


def points(workshop: Workshop) -> Told:
    """The flow of the plane: score beside its floor, densities, draws, curve."""
    runs = [workshop.runs[name] for name in POINTS]
    entropy, target = runs[0].data.entropy, target_score(runs[0].data)
    assert entropy is not None and target is not None
    floor = bits_per_dimension(-entropy, 2)
    affine, spline = (workshop.score(name) for name in POINTS)
    of_target = target.bits_per_dim
    text = (
        f"Six affine couplings with the coursework's masks and networks reach {affine.bits_per_dim:.4f} bits per "
        f"dimension on {affine.count:,} fresh points, exactly computed. No model can be better than the target's own "
        f"entropy, {floor:.4f}; the target itself scores {of_target:.4f} on {target.count:,} such points, by the "
        f"luck of their draw. {_above(affine.bits_per_dim - floor)} Two bells from one: an invertible map cannot "
        "tear the plane, so a thin bridge must remain between them. "
        + (
            "Splines in place of the affine maps bend more with the same number of layers and reach "
            f"{spline.bits_per_dim:.4f}."
            if spline.nats > affine.nats
            else f"Splines in place of the affine maps, trained as long, reach {spline.bits_per_dim:.4f}: no better "
            f"here."
        )
    )
    named = [("the target itself", target), ("flow, affine couplings", affine), ("flow, splines", spline)]
    checks = [
        Check(
            "flow of points",
            "about 0.84 bits/dim",
            f"{affine.bits_per_dim:.4f}",
            affine.bits_per_dim < 0.845,
            "Trained more briefly than the coursework asks.",
        ),
        Check(
            "flow of points: nothing beats the target",
            f"at least {floor:.4f} bits/dim, its entropy",
            f"{min(affine.bits_per_dim, spline.bits_per_dim):.4f}",
            max(affine.nats, spline.nats) < -entropy + 3 * affine.stderr,
            "A score below the entropy is a mistake.",
        ),
    ]
    figures = [
        workshop.draw(
            "flow-points",
            "density",
            "Affine couplings: the target, the density learned, the base it was made of, and draws.",
        ),
        workshop.draw("flow-points", "deformation"),
        workshop.figure(
            "flow-points-bits", bits_figure(runs[0], [(floor, "entropy")]), "Affine couplings: bits per dimension."
        ),
        workshop.draw("flow-splines", "density", "Splines: the same."),
        workshop.figure(
            "flow-splines-bits", bits_figure(runs[1], [(floor, "entropy")]), "Splines: bits per dimension."
        ),
    ]
    return Told(text, [score_table(named, SCORE_CAPTION)], figures, checks)


def _above(bits: float) -> str:
    if bits < 0:
        return "The flow's score lies below the entropy by the luck of so few points."
    return f"So {bits:.4f} bits per dimension lie between the flow and what can be known."


def discrete(workshop: Workshop) -> Told:
    """Why whole grey levels need noise before a density may see them, in one dimension."""
    found = Dequantised(**workshop.remember("dequantised", lambda: asdict(dequantised())))
    late = found.points[-1] - found.points[-101]
    text = (
        "A density may be as high as it likes on single values. Fitted to five grey levels as they are, a bell over "
        f"each gets narrower with every update: after {len(found.points)} updates the mean log-density is "
        f"{found.points[-1]:.1f} nats, {late:.1f} of them won in the last hundred, and so it goes on. The number "
        "says nothing about the model but how long it was trained.\n\n"
        "With noise, uniform over each level's cell, the mean log-density of the noisy values cannot pass the "
        "log-probability that the model gives to the cells (Jensen's inequality), and that cannot pass the best any "
        f"discrete model can do, sum P log P = {found.ceiling:.4f} nats. Here it ends at {found.noisy[-1]:.4f}, "
        f"under {found.cells[-1]:.4f} for the cells. The {found.cells[-1] - found.noisy[-1]:.4f} nats between these "
        "two are the price of noise that is uniform where the density is not: variational dequantisation learns a "
        "noise that fits, and can get them back."
    )
    bounded = max(found.noisy) <= found.ceiling and all(a <= b for a, b in zip(found.noisy, found.cells, strict=True))
    checks = [
        Check(
            "density on values with noise",
            f"never above {found.ceiling:.4f} nats",
            f"{max(found.noisy):.4f} at most",
            bounded,
            "A bound that is passed is a mistake.",
        ),
        Check(
            "density on the values themselves",
            "passes any bound",
            f"{found.points[-1]:.1f} nats, rising by {late:.1f} in 100 updates",
            found.points[-1] > 0 and late > 1,
        ),
    ]
    figures = [
        workshop.figure(
            "dequantised", dequantised_figure(found), "The same density, fitted to values and to values with noise."
        ),
        workshop.figure(
            "dequantised-density",
            learned_density_figure(found),
            "What was learned with noise, over the shares of the levels.",
        ),
    ]
    return Told(text, figures=figures, checks=checks)


def images(workshop: Workshop) -> Told:
    """Flows of whole grey levels, with both kinds of noise."""
    runs = {name: workshop.runs[name] for name in IMAGES}
    bounds = {name: workshop.score(name) for name in IMAGES}
    tighter = {name: workshop.score(name, DRAWS) for name in IMAGES}
    gaps = [tighter[name].nats - bounds[name].nats for name in IMAGES]
    uniform, variational = tighter.values()
    gain = uniform.bits_per_dim - variational.bits_per_dim
    epochs = [plural(run.outcome["epochs"], "epoch") for run in runs.values()]
    text = (
        f"Variational noise, trained for {epochs[1]}, is {abs(gain):.4f} bits per dimension "
        f"{'ahead of' if gain > 0 else 'behind'} uniform noise, trained for {epochs[0]} (both by {DRAWS} draws of "
        f"the noise an image). The gap: with {DRAWS} draws in place of one the bound rises by {gaps[0]:.2f} nats an "
        f"image with uniform noise and by {gaps[1]:.2f} with learned noise, so a bound by one draw is at least so "
        f"far below log P(x). {_of_gaps(*gaps)} All four are lower bounds on the probability of whole levels, so "
        "they compare with those of any model of such pixels; they do not compare with scores of binary pixels."
    )
    rows = [
        [
            "training",
            "whole levels x, 0 to 255; noise u for each pixel, from q(u | x)",
            "log p((x + u) / 256) - 784 log 256 - log q(u | x), in expectation a lower bound on log P(x); its mean "
            "is maximised",
        ],
        [
            "evaluation",
            "test images; one u an image, or 8",
            "the same bound, or the log-mean-exp of 8 such, which is tighter",
        ],
        [
            "sampling",
            "z from N(0, I), 784 numbers",
            "f^-1(z), a grey value in (0, 1) for each pixel, and the level whose cell it lies in; no noise is drawn",
        ],
    ]
    ways = Table(["", "in", "out"], rows, "What goes into the flow and what comes out.")
    named = [(workshop.titles[name], score) for name in IMAGES for score in (bounds[name], tighter[name])]
    checks = [_against_tutorial(name, bounds[name], tighter[name], runs[name]) for name in IMAGES]
    figures = [
        *(workshop.draw(name, "samples", f"{workshop.titles[name]}: draws, none picked.") for name in IMAGES),
        *(
            workshop.figure(f"{name}-bits", bits_figure(run), f"{workshop.titles[name]}: bits per dimension.")
            for name, run in runs.items()
        ),
    ]
    return Told(text, [ways, score_table(named, SCORE_CAPTION)], figures, checks)


def _of_gaps(uniform: float, variational: float) -> str:
    if variational < 0.8 * uniform:
        return "The learned noise fits the density better, and so loses less."
    return "The noise learned in so short a training loses hardly less than uniform noise does."


def _against_tutorial(name: str, bound: Score, tighter: Score, run: Run) -> Check:
    dequantisation = name.removeprefix("flow-")
    return Check(
        f"flow of images, {dequantisation} dequantisation",
        f"{IMAGES[name]} bits/dim ({TUTORIAL}; its multi-scale model 1.02)",
        f"{tighter.bits_per_dim:.4f} by {DRAWS} draws, {bound.bits_per_dim:.4f} by one",
        tighter.bits_per_dim <= IMAGES[name],
        f"The tutorial's model is larger and was trained far longer, on a GPU; this one for {run.outcome['epochs']} "
        "epochs, on a processor.",
    )


def one_dimension(workshop: Workshop) -> Told:
    """z = x³: the density, its integral, draws; and what a layer must be to serve in a flow."""
    draws = workshop.size(20_000, 2000)
    stored = workshop.remember("change-of-variables", lambda: asdict(change_of_variables(draws=draws)), draws=draws)
    found = ChangedVariable(**stored)
    flow = workshop.runs["flow-points"]
    model = flow.load()
    assert isinstance(model, NormalizingFlow)
    agreement = against_autograd(model.double().bijection, flow.data.held("test").first(1000).double())
    text = (
        f"Let z = x³ with z uniform on ({found.low:g}, {found.high:g}). What lies in a small interval of x lies in "
        f"its image, so p(x) = p(z) |dz/dx| = 3x² / {found.high - found.low:g} on ({found.edges[0]:g}, "
        f"{found.edges[-1]:g}), and its integral is (x³ at the end - x³ at the beginning) / "
        f"{found.high - found.low:g} = 1. By quadrature it is {found.mass:.6f}. Without the factor |dz/dx| it would "
        f"be {found.mass_without:.4f}, and no density. {found.draws:,} draws, made by drawing z and taking the cube "
        f"root, {'fit' if found.p_value > 1e-3 else 'do not fit'} it: a chi-square test over {len(found.heights)} "
        f"cells gives p = {found.p_value:.2f}.\n\n"
        "What constrains an invertible layer: it must have an inverse, so it has as many outputs as inputs and no "
        "bottleneck; its inverse should be cheap, or one cannot draw; and the determinant of its Jacobian must be "
        "cheap, since in general that takes on the order of D³ operations. A coupling changes half of the "
        "coordinates given the other half, so its Jacobian is triangular and the determinant a product of D numbers. "
        "The price: each layer leaves half as it is. And smooth invertible maps keep the plane in one piece. The "
        "cube shows a limit case: at x = 0 it is invertible, but the way back has no derivative, and the density is "
        "0 there.\n\n"
        "The flow of points of this study, held against autograd at 1,000 test points in double precision: there and "
        f"back, it errs by at most {agreement.round_trip:.1e}, and its log-determinant by at most "
        f"{agreement.log_determinant:.1e} nats."
    )
    checks = [
        Check("z = x³: integral of the density", "1", f"{found.mass:.6f}", abs(found.mass - 1) < 1e-4),
        Check(
            "the flow's log-determinant",
            "autograd's, to rounding",
            f"off by {agreement.log_determinant:.1e} nats at most",
            agreement.log_determinant < 1e-9,
        ),
    ]
    figure = workshop.figure(
        "change-of-variables", change_of_variables_figure(found), f"{found.draws:,} draws of x and its density."
    )
    return Told(text, figures=[figure], checks=checks)

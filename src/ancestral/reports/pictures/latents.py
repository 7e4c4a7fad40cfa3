"""Pictures of the latent space: codes, posteriors, traversals, interpolations and grids."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Distribution, Normal

from ancestral.core.errors import InputError, NotComputable
from ancestral.core.maths import arcs, lines
from ancestral.core.random import seed_for, seeded_noise
from ancestral.core.text import type_in_words
from ancestral.evaluation.likelihood import elbo_parts
from ancestral.figures.codes import code_scatter
from ancestral.figures.densities import Plane, draw_planes
from ancestral.figures.grids import image_grid, manifold_grid, pair_grid
from ancestral.figures.heat import HeatTable, heat_tables
from ancestral.models.base import (
    Decodes,
    HasBase,
    HasLatentScale,
    Infers,
    LatentScale,
    Model,
    SamplesCodePairs,
    SamplesCodes,
    SplitsElbo,
)
from ancestral.models.classes import split_divergences
from ancestral.reports.pictures.class_names import class_in_words, conditions_in_words
from ancestral.reports.pictures.samples import PAIRS, grey_values
from ancestral.runs.infer import Inference, infer_run
from ancestral.runs.run import Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INTERPOLATIONS, INTERPOLATION_STEPS = 10, 10
WALKS, WALK_STEPS = 4, 7  # `uva2020`: five steps between two ends
MANIFOLD_SIDE = 20


def reconstructions(run: Run, count: int = PAIRS, seed: int = 0) -> Figure:
    """Test images beside E[x | z] for z = encode(x)."""
    encode, decode = coder_of(run, "reconstructions")
    x = run.data.held("test").first(count)
    with torch.no_grad():
        back = decode(encode(x))
    return pair_grid(
        grey_values(run, x),
        grey_values(run, back),
        columns=10,
        title=f"{run.called}: test images and their reconstructions",
        smooth=True,
    )


def interpolations(run: Run, count: int | None = None, seed: int = 0) -> Figure:
    """Straight lines in the latent space between pairs of test images; the ends are reconstructions."""
    encode, decode = coder_of(run, "interpolations")
    test = run.data.held("test")
    pairs = min(INTERPOLATIONS, len(test) // 2) if count is None else count
    if not 1 <= pairs <= len(test) // 2:
        raise InputError(f"interpolations need two test images: there are {len(test)}")
    x = test.first(2 * pairs)
    with torch.no_grad():
        first, last = encode(x).unflatten(0, (pairs, 2)).unbind(1)
        along = torch.linspace(0, 1, INTERPOLATION_STEPS, dtype=first.dtype)
        images = decode(lines(first, last, along).flatten(0, 1))
    return image_grid(
        grey_values(run, images),
        columns=INTERPOLATION_STEPS,
        title=f"{run.called}: images decoded between the codes of two test images",
        smooth=True,
    )


def walks(run: Run, count: int = WALKS, seed: int = 0) -> Figure:
    """From one draw of the latents to another: `count` straight lines, each above the great arc between its ends.

    Lengths of normal draws differ little in many dimensions, but the middle of a straight line is shorter than any of
    them: there the model decodes what it was not trained on. An arc keeps the length.
    """
    model = run.load()
    if run.data.space.noun != "images" or not (isinstance(model, SamplesCodePairs) and isinstance(model, Decodes)):
        raise NotComputable(
            f"walks need images and a prior to sample from; {type_in_words(model)} on these data lacks one of them"
        )
    with seeded_noise(seed_for(seed, "drawing")), torch.no_grad():
        first, last, condition = model.sample_code_pairs(count)
        along = torch.linspace(0, 1, WALK_STEPS, dtype=first.dtype)
        paths = torch.stack([lines(first, last, along), arcs(first, last, along)], 1)  # (count, 2, steps, M)
        held = condition[:, None, None].expand(-1, 2, WALK_STEPS, -1).to(paths)
        images = model.decode(torch.cat([paths, held], -1).flatten(0, 2))
    return image_grid(
        grey_values(run, images),
        columns=WALK_STEPS,
        row_titles=[title for name in conditions_in_words(run, condition) for title in (name, "")],
        title=f"{run.called}: images decoded between two samples of z: on a line, and below on an arc",
        smooth=True,
    )


def percentile_grid(side: int = MANIFOLD_SIDE, cells: int | None = None) -> tuple[Tensor, Tensor]:
    """The standard normal's percentiles (1/2)/C, (3/2)/C, ..., shape (S,), and all pairs, shape (S * S, 2).

    Args:      side: S. cells: C. By default C = S: the middles of cells of equal mass, as far to either side. Where a
               coursework divides by S + 1, the uppermost of its cells is left out.
    """
    axis = Normal(0.0, 1.0).icdf((torch.arange(side) + 0.5) / (cells or side))
    second, first = torch.meshgrid(axis, axis, indexing="ij")
    return axis, torch.stack([first, second], -1).flatten(0, 1)


def manifold(run: Run, count: int = MANIFOLD_SIDE, seed: int = 0, cells: int | None = None) -> Figure:
    """E[x | z] over a grid of a two-dimensional latent space, at the standard normal's percentiles, so that each cell
    stands for the same share of the prior. cells: as in `percentile_grid`."""
    model = run.load()
    latents = getattr(run.settings.model, "latents", None)
    if latents != 2 or not isinstance(model, Decodes):
        raise NotComputable(f"a manifold needs a decoder with 2 latents; this {type(model).__name__} has {latents}")
    if model.condition_width:
        raise NotComputable("a conditional model has one manifold for each class, which this drawing does not support")
    axis, z = percentile_grid(count, cells)
    with torch.no_grad():
        images = model.decode(z.to(model.dtype))
    return manifold_grid(
        grey_values(run, images),
        axis_values=axis.tolist(),
        title=f"{run.called}: mean images E[x|z] over the latent plane",
        smooth=True,
    )


def coder_of(run: Run, what: str, of: str = "images") -> tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]:
    """The model's `encode` and `decode`, for a drawing of images or of points.

    Raises:    NotComputable: the model has none, or the data are not that.
    """
    model = run.load()
    if run.data.space.noun != of:
        raise NotComputable(f"{what} are drawn of {of}; {run.data.name} are {run.data.space.noun}")
    if not (isinstance(model, Infers) and isinstance(model, Decodes)):
        raise NotComputable(f"{what} need a model that encodes and decodes; {type_in_words(model)} does not")
    return lambda x: model.encode(x.to(model.dtype)), model.decode


CODED = 2000  # test images in a plane of latents
SEARCHED = 100  # the same where each code is a search
MEASURED = 1000  # images that say how much a latent tells, and how far codes spread
ROWS, STEPS, REACH = 16, 9, 3.0  # latents that are moved, places of each, and how far, in standard deviations
FLIPPED = 8  # images whose binary latents are flipped
BESIDE = 10  # images beside their posterior


def latents(run: Run, count: int | None = None, seed: int = 0) -> Figure:
    """Codes of test images in colours of their classes: two latents as they are, more along their two principal axes;
    codes of points in the space of the flow's base."""
    model = run.load()
    if model.latent_kind == "component":
        raise NotComputable(
            "the latent of a mixture is the number of a component, not a point of a plane: draw posterior instead"
        )
    some = SEARCHED if model.encodes_by_search else CODED
    found = infer_run(run, "test", some if count is None else count)
    if isinstance(model, HasBase) and run.data.space.noun == "points" and found.z.shape[1] == 2:
        return _base_space(model.base(), found)
    z = found.z[:, : found.z.shape[1] - model.condition_width]
    if z.shape[1] < 2 or len(z) < 3:
        raise NotComputable(f"a latent plane needs 2 latents and 3 images or more: there are {z.shape[1]} and {len(z)}")
    if z.shape[1] == 2:
        places, axes = z, ("z1", "z2")
    else:
        places, shares = principal_axes(z)
        axes = tuple(f"principal axis {i + 1} ({share:.1%} of the variance)" for i, share in enumerate(shares.tolist()))
    known = "" if found.labels is None else ", by class"
    return code_scatter(
        places,
        found.labels,
        axes=(axes[0], axes[1]),
        names=partial(class_in_words, run),
        title=f"{run.called}: {len(z):,} test {run.data.space.noun} in the space of {z.shape[1]} latents{known}",
        note=f"Latents: {found.how}.",
    )


def _base_space(base: Distribution, found: Inference) -> Figure:
    """Codes of points, among circles of equal density of the base."""
    scale = base.stddev[0].item()
    turn = torch.linspace(0, 2 * math.pi, 200)
    circle = torch.stack([turn.cos(), turn.sin()], -1)
    circles = torch.stack([radius * scale * circle for radius in (1.0, 2.0, 3.0)])
    extent = 1.05 * max(3 * scale, found.z.abs().max().item())
    return draw_planes(
        [Plane(f"{len(found.z)} test points, {found.how.split(': ')[-1]}", extent, points=found.z, lines=[circles])],
        title="codes of test points in the base space",
        note="Circles: 1, 2 and 3 standard deviations of the base, which hold 39.3 %, 86.5 % and 98.9 % of its draws.",
        columns=1,
    )


def principal_axes(z: Tensor) -> tuple[Tensor, Tensor]:
    """Codes along their two principal axes, shape (N, 2), and the share of the variance of each, shape (2,).

    An axis points where its largest component is positive, so that the picture does not depend on a sign.
    """
    centred = (z - z.mean(0)).double()
    _, spread, axes = torch.linalg.svd(centred, full_matrices=False)
    axes = axes[:2] * axes[:2].gather(1, axes[:2].abs().argmax(1, keepdim=True)).sign()
    return (centred @ axes.T).to(z.dtype), (spread.square() / spread.square().sum().clamp_min(1e-300))[:2].to(z.dtype)


def posterior(run: Run, count: int = BESIDE, seed: int = 0) -> Figure:
    """Test images beside their posterior over components or binary latents, and the mean of that in each class."""
    model = run.load()
    mixture = model.latent_kind == "component"
    states = mixture or model.latent_kind == "binary"
    if not (states and isinstance(model, Infers) and model.inference.startswith("exact")):
        raise NotComputable(f"the drawing posterior needs a mixture or a belief net; this is {type_in_words(model)}")
    if run.data.space.noun == "points":
        raise NotComputable(f"the drawing posterior needs images; {run.data.name} has points")
    found = infer_run(run, "test", max(count, CODED))
    shown = run.data.space.to_unit(run.data.held("test").first(count))
    classes = None if found.labels is None else by_class(found.z, found.labels)
    order = torch.arange(found.z.shape[1])
    if mixture:  # components of a class side by side, the largest first
        of = classes if classes is not None else found.z.mean(0, keepdim=True)
        order = torch.from_numpy(np.lexsort((-of.amax(0).numpy(), of.argmax(0).numpy())))
    tables = [HeatTable("test images", found.z[:count, order].clamp(0, 1), shown)]
    if classes is not None and found.labels is not None:
        top = classes.max().item() if mixture else 1.0
        names = [class_in_words(run, label) for label in found.labels.unique().tolist()]
        tables.append(HeatTable(f"classes: mean of {len(found.z)} test images", classes[:, order], names, top))
    return heat_tables(
        tables,
        quantity="p(component | image)" if mixture else "p(latent = 1 | image)",
        xlabel="components, grouped by class" if mixture else "latents",
        title=f"{run.called}: exact posterior of test images",
    )


def by_class(z: Tensor, labels: Tensor) -> Tensor:
    """Mean of the rows of each class there is, in order. z: (N, M), labels: (N,); returns (classes, M)."""
    _, which = labels.unique(return_inverse=True)
    members = torch.nn.functional.one_hot(which).to(z)  # (N, classes)
    return members.T @ z / members.sum(0)[:, None]


def traversals(run: Run, count: int = ROWS, seed: int = 0) -> Figure:
    """What each latent does: it moves, the others stay at the code of a test image (of a GAN: at a draw).

    Binary latents are flipped, those of several test images one by one.
    """
    model = run.load()
    if run.data.space.noun != "images":
        raise NotComputable(f"traversals need images; {run.data.name} has {run.data.space.noun}")
    if model.latent_kind == "component":
        raise NotComputable("the latent of a mixture is the number of a component: draw components instead")
    if not (isinstance(model, Infers) and isinstance(model, Decodes)):
        raise NotComputable(f"traversals need a model that decodes latents; {type_in_words(model)} has none")
    if model.latent_kind == "binary":
        return _flips(run, model, count)
    return _moves(run, model, count, seed)


@torch.no_grad()
def _flips(run: Run, model: Model, count: int) -> Figure:
    """Rows of images with one unit flipped, those that change most first."""
    assert isinstance(model, Infers) and isinstance(model, Decodes)
    x = run.data.held("test").first(FLIPPED).to(model.dtype)
    z = model.encode(x).round()
    units = torch.eye(z.shape[1]).to(z)[:, None]
    flipped = model.decode((z - units).abs().flatten(0, 1)).unflatten(0, (-1, len(x)))  # (M, B, C, H, W)
    plain = model.decode(z)
    ranked = (flipped - plain).square().flatten(1).mean(1).argsort(descending=True)[:count]
    return image_grid(
        run.data.space.to_unit(torch.cat([x, plain, flipped[ranked].flatten(0, 1)]).float()),
        columns=len(x),
        row_titles=["test image", "E[x | z]", *(f"z{m + 1} flipped" for m in ranked.tolist())],
        title=f"{run.called}: each latent{model.latent_layer} flipped",
        smooth=True,
        note=f"z: the more probable state of each latent given the image. {_shown(len(ranked), z.shape[1])} "
        "that change the images most, in this order.",
    )


@torch.no_grad()
def _moves(run: Run, model: Model, count: int, seed: int) -> Figure:
    """Rows of images along one latent each, those with the largest divergence first, where it is known."""
    assert isinstance(model, Infers) and isinstance(model, Decodes)
    with seeded_noise(seed_for(seed, "drawing")):
        centre, spread, of = _spread(run, model)
        if isinstance(model, SamplesCodes) and model.encodes_by_search:
            start = model.codes(1)[0]
            (of_class,) = conditions_in_words(run, start[None, len(start) - model.condition_width :])
            held = f"a sample of z, of {of_class}" if of_class else "a sample of z"
        else:
            x = run.data.held("test").first(1).to(model.dtype)
            start, held = model.encode(x)[0], "the code of a test image"
    along = torch.linspace(-REACH, REACH, STEPS, dtype=start.dtype)
    at = centre[:, None] + spread[:, None] * along  # (M, steps)
    divergences = _divergences(run, model)
    everyone = list(range(len(centre)))
    if divergences is not None:
        weights, first = divergences, "the largest KL, which is shown next to them"
    else:
        ends = torch.cat([model.decode(z) for z in traversed(start, everyone, at[:, [0, -1]]).flatten(0, 1).split(256)])
        ends = ends.flatten(1).unflatten(0, (-1, 2))
        weights, first = (ends[:, 1] - ends[:, 0]).square().mean(1), "the largest change from end to end"
    ranked = weights.argsort(descending=True)[:count].tolist()
    images = model.decode(traversed(start, ranked, at[ranked]).flatten(0, 1))
    titles = [f"z{m + 1}" + ("" if divergences is None else f", {divergences[m]:.1f} nats") for m in ranked]
    return image_grid(
        run.data.space.to_unit(images.float()),
        columns=STEPS,
        row_titles=titles,
        title=f"{run.called}: one latent varied from -{REACH:.0f} to {REACH:.0f} standard deviations in each row",
        smooth=True,
        note=f"Standard deviations of {of}, around its mean; the other latents have the values of {held}. "
        f"{_shown(len(ranked), len(everyone))} with {first}.",
    )


def traversed(start: Tensor, moved: list[int], at: Tensor) -> Tensor:
    """A code again and again, with one latent put elsewhere: shape (len(moved), steps, M).

    Args:      start: shape (M,). moved: latents. at: where each is put, shape (len(moved), steps).
    """
    codes = start.expand(*at.shape, len(start)).clone()
    index = torch.tensor(moved, device=start.device)[:, None, None].expand(*at.shape, 1)
    return codes.scatter_(2, index, at[..., None].to(codes))


def _spread(run: Run, model: Model) -> LatentScale:
    """Mean and standard deviation of each latent: the model's own, else those of the codes of test images."""
    if isinstance(model, HasLatentScale):
        return model.latent_scale()
    codes = infer_run(run, "test", MEASURED).z
    z = codes[:, : codes.shape[1] - model.condition_width]
    return LatentScale(z.mean(0), z.std(0), f"the codes of {len(z)} test images")


def _divergences(run: Run, model: Model) -> Tensor | None:
    """Mean KL of each latent over test images, shape (M,), nats; None where it does not split so."""
    if not isinstance(model, SplitsElbo):
        return None
    divergences, _ = split_divergences(model, elbo_parts(model, run.data.held("test", MEASURED))[2])
    return divergences.mean(0) if divergences.shape[1] > 1 else None


def _shown(shown: int, of: int) -> str:
    return f"All {of} latents, first those" if shown == of else f"The {shown} of {of} latents"

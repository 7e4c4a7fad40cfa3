"""What can be drawn of a trained run: each drawing computes its arrays from the model and hands them to `figures`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.distributions import Normal

from ancestral.completing import completions
from ancestral.courses import curves, starvation
from ancestral.data.toy import PointDataset
from ancestral.detecting import frankenstein_sheet
from ancestral.errors import InputError, NotComputable
from ancestral.evaluation.neighbours import nearest
from ancestral.explaining import split, surprise
from ancestral.figures.densities import Plane, draw_planes
from ancestral.figures.grids import image_grid, manifold_grid, pair_grid
from ancestral.inferring import latents, posterior, traversals
from ancestral.models.autoregressive import AutoregressiveModel
from ancestral.models.flow import NormalizingFlow
from ancestral.models.gan import GAN
from ancestral.models.kinds import Decodes, ExactModel, Infers
from ancestral.models.mixture import MixtureOfBernoullis
from ancestral.models.vae import VAE
from ancestral.numerics import arcs, lines, seed_for, seeded_noise
from ancestral.run import PICTURED_POINTS, Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PAIRS, NEIGHBOURS_SHOWN = 50, 30
INTERPOLATIONS, INTERPOLATION_STEPS = 10, 10
WALKS, WALK_STEPS = 4, 7  # `uva2020`: five steps between two ends
MANIFOLD_SIDE = 20
STEPS_SHOWN = 9
ROWS = 4096  # points looked at together
LINE_POINTS = 400  # of each line of a deformed grid


def samples(run: Run, count: int | None = None, seed: int = 0) -> Figure:
    """Draws from the model, shown as E[x | z] where it has such a mean; no picture is chosen over another."""
    model, count = run.load(), run.data.pictured if count is None else count
    with seeded_noise(seed_for(seed, "drawing")):
        drawn = model.sample_mean(count)
    return run.data.picture(drawn, title=f"{count} samples")


def reconstructions(run: Run, count: int = PAIRS, seed: int = 0) -> Figure:
    """Test images beside E[x | z] for z = encode(x)."""
    encode, decode = _coder(run, "reconstructions")
    x = run.data.held("test").first(count)
    with torch.no_grad():
        back = decode(encode(x))
    return pair_grid(_grey(run, x), _grey(run, back), columns=10, title="test images and their reconstructions")


def interpolations(run: Run, count: int | None = None, seed: int = 0) -> Figure:
    """Straight lines in the latent space between pairs of test images; the ends are reconstructions."""
    encode, decode = _coder(run, "interpolations")
    test = run.data.held("test")
    pairs = min(INTERPOLATIONS, len(test) // 2) if count is None else count
    if not 1 <= pairs <= len(test) // 2:
        raise InputError(f"interpolations run between pairs of test images: there are {len(test)} of them")
    x = test.first(2 * pairs)
    with torch.no_grad():
        first, last = encode(x).unflatten(0, (pairs, 2)).unbind(1)
        along = torch.linspace(0, 1, INTERPOLATION_STEPS, dtype=first.dtype)
        images = decode(lines(first, last, along).flatten(0, 1))
    return image_grid(
        _grey(run, images),
        columns=INTERPOLATION_STEPS,
        title="from one test image to another, through the latent space",
    )


def walks(run: Run, count: int = WALKS, seed: int = 0) -> Figure:
    """From one draw of the latents to another: `count` straight lines, each above the great arc between its ends.

    Lengths of normal draws differ little in many dimensions, but the middle of a straight line is shorter than any of
    them: there the model decodes what it was not trained on. An arc keeps the length.
    """
    model = run.load()
    if run.data.space.noun != "images" or not isinstance(model, (GAN, VAE)):
        raise NotComputable(f"walks are drawn of images between draws of a prior, not by a {type(model).__name__}")
    with seeded_noise(seed_for(seed, "drawing")), torch.no_grad():
        if isinstance(model, GAN):  # a walk stays in its class, where there are classes
            labels = torch.arange(count).repeat_interleave(2) % model.classes if model.classes else None
            ends, conditions = model.codes(2 * count, labels).split([model.latents, model.classes], 1)
        else:
            ends, conditions = model.prior().sample((2 * count,)), torch.zeros(2 * count, 0)
        first, last = ends.unflatten(0, (count, 2)).unbind(1)
        along = torch.linspace(0, 1, WALK_STEPS, dtype=ends.dtype)
        paths = torch.stack([lines(first, last, along), arcs(first, last, along)], 1)  # (count, 2, steps, M)
        held = conditions[::2, None, None].expand(-1, 2, WALK_STEPS, -1).to(paths)
        images = model.decode(torch.cat([paths, held], -1).flatten(0, 2))
    return image_grid(
        _grey(run, images), columns=WALK_STEPS, title="between draws of the latents: each line above its arc"
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
    axis, z = percentile_grid(count, cells)
    with torch.no_grad():
        images = model.decode(z.to(model.dtype))
    return manifold_grid(_grey(run, images), axis_values=axis.tolist(), title="the latent manifold")


def components(run: Run, count: int = 100, seed: int = 0) -> Figure:
    """p(X = 1 | Z = k) of the most probable components of a mixture, with p(Z = k)."""
    model = run.load()
    if not isinstance(model, MixtureOfBernoullis):
        raise NotComputable(f"only a mixture has components; this is a {type(model).__name__}")
    order = model.component_probs.argsort(descending=True)[:count]
    captions = [f"{model.component_probs[k]:.1%}" for k in order.tolist()] if len(order) <= 60 else None
    images = model.component_images[order].detach()
    return image_grid(_grey(run, images), captions=captions, title="mixture components and their probabilities")


def density(run: Run, count: int = 200, seed: int = 0) -> Figure:
    """p(x) as learned beside the target it was learned from and the base it was made of, and as many draws
    from the model as `samples` shows; densities at the midpoints of `count`^2 cells."""
    model, data = run.load(), _points(run, "a density in the plane")
    if not isinstance(model, ExactModel):
        raise NotComputable(f"a {type(model).__name__} has no density that can be computed: draw samples instead")
    side = data.extent
    axis = (torch.arange(count) + 0.5) / count * 2 * side - side
    x = torch.cartesian_prod(axis, axis).flip(1)  # the first coordinate runs along each row of cells

    def table(log_prob: Callable[[Tensor], Tensor], x: Tensor = x) -> Tensor:
        with torch.no_grad():
            return torch.cat([log_prob(rows).double().exp() for rows in x.split(ROWS)]).unflatten(0, (count, count))

    target, learned = table(data.density.log_prob), table(model.log_prob, x.to(model.dtype))
    with seeded_noise(seed_for(seed, "drawing")):
        drawn = model.sample(run.data.pictured)
    planes = [Plane("target", side, target), Plane("learned", side, learned), Plane("samples", side, points=drawn)]
    if isinstance(model, NormalizingFlow):
        planes.insert(2, Plane("base", side, table(model.distribution().base.log_prob, x.to(model.dtype))))
    mass = learned.sum().item() * (2 * side / count) ** 2
    return draw_planes(
        planes,
        title=f"{run.data.name}: target and learned density",
        note=f"The learned density integrates to {mass:.4f} over this square.",
        scale=target.max().item(),
    )


def deformation(run: Run, count: int = 17, seed: int = 0) -> Figure:
    """What an invertible map does to the plane: `count` by `count` lines of z and where they lie in x, and back,
    among test points and their codes."""
    data = _points(run, "a deformation of the plane")
    encode, decode = _coder(run, "a deformation", of="points")
    x = run.data.held("test").first(PICTURED_POINTS)
    with torch.no_grad():
        z = encode(x)
        if z.shape != x.shape:
            raise NotComputable(f"a deformation needs as many latents as coordinates: here are {z.shape[1]} for 2")
        code = 1.1 * z.abs().max().item()
        lines = {"z": _grid_lines(code, count), "x": _grid_lines(data.extent, count)}
        there = [decode(family.flatten(0, 1).to(z.dtype)).view_as(family) for family in lines["z"]]
        back = [encode(family.flatten(0, 1)).view_as(family) for family in lines["x"]]
    planes = [
        Plane("a grid in z, with codes", code, points=z, lines=lines["z"]),
        Plane("where it lies in x, with data", data.extent, points=x, lines=there),
        Plane("a grid in x, with data", data.extent, points=x, lines=lines["x"]),
        Plane("where it lies in z, with codes", code, points=z, lines=back),
    ]
    return draw_planes(planes, title=f"{run.data.name}: the plane before and after the flow")


def steps(run: Run, count: int = 8, seed: int = 0) -> Figure:
    """Images as they come into being, pixel by pixel in the order of the chain rule; grey is not drawn yet."""
    model = run.load()
    if not isinstance(model, AutoregressiveModel):
        raise NotComputable(f"only an autoregressive model draws pixel by pixel, not this {type(model).__name__}")
    with seeded_noise(seed_for(seed, "drawing")):
        whole = model.draw(torch.rand(count, *model.event_shape, dtype=model.dtype))
    pixels = len(model.order)
    known = torch.linspace(0, pixels, STEPS_SHOWN).round()
    turn = model.order.argsort().view(model.event_shape)  # when each pixel's turn comes
    there = turn < known.view(-1, *[1] * turn.dim())
    images = torch.where(there, _grey(run, whole)[:, None], 0.5)  # (count, steps, C, H, W)
    return image_grid(
        images.flatten(0, 1),
        columns=STEPS_SHOWN,
        title=f"from nothing to all {pixels} pixels, in their order",
    )


def neighbours(run: Run, count: int = NEIGHBOURS_SHOWN, seed: int = 0) -> Figure:
    """Draws above the training images nearest to them: is anything remembered?"""
    if run.data.space.noun != "images":
        raise NotComputable(f"nearest images are drawn of images; {run.data.name} are {run.data.space.noun}")
    with seeded_noise(seed_for(seed, "drawing")):
        drawn = _grey(run, run.load().sample(count))
    pool = torch.cat([_grey(run, x) for x in run.data.held("train").in_order(ROWS)])
    _, found = nearest(drawn, pool)
    return pair_grid(
        drawn, pool[found], columns=10, labels=("drawn", "nearest"), title="samples and their nearest training images"
    )


DRAWINGS: dict[str, Callable[..., Figure]] = {
    "samples": samples,
    "reconstructions": reconstructions,
    "interpolations": interpolations,
    "walks": walks,
    "manifold": manifold,
    "components": components,
    "steps": steps,
    "curves": curves,
    "starvation": starvation,
    "density": density,
    "deformation": deformation,
    "completions": completions,
    "latents": latents,
    "posterior": posterior,
    "traversals": traversals,
    "neighbours": neighbours,
    "frankenstein": frankenstein_sheet,
    "surprise": surprise,
    "split": split,
}

ON_REQUEST = ("starvation",)
"""Drawings that train something first, and so are not on every page."""


def _coder(run: Run, what: str, of: str = "images") -> tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]:
    """The model's `encode` and `decode`, for a drawing of images or of points.

    Raises:    NotComputable: the model has none, or the data are not that.
    """
    model = run.load()
    if run.data.space.noun != of:
        raise NotComputable(f"{what} are drawn of {of}; {run.data.name} are {run.data.space.noun}")
    if not (isinstance(model, Infers) and isinstance(model, Decodes)):
        raise NotComputable(f"{what} need a model that encodes and decodes; a {type(model).__name__} does not")
    return lambda x: model.encode(x.to(model.dtype)), model.decode


def _points(run: Run, what: str) -> PointDataset:
    if not isinstance(run.data.dataset, PointDataset):
        raise NotComputable(f"{what} is drawn for points; {run.data.name} are images")
    return run.data.dataset


def _grid_lines(extent: float, count: int) -> list[Tensor]:
    """`count` lines of equal second coordinate and `count` of equal first one, each shape (count, n, 2)."""
    axis, along = (torch.linspace(-extent, extent, n) for n in (count, LINE_POINTS))
    level, across = torch.meshgrid(axis, along, indexing="ij")
    return [torch.stack([across, level], -1), torch.stack([level, across], -1)]


def _grey(run: Run, images: Tensor) -> Tensor:
    return run.data.space.to_unit(images.float())

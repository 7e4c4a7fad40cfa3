"""Pictures of densities in the plane, and of the map between data and latents."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ancestral.core.errors import NotComputable
from ancestral.core.random import seed_for, seeded_noise
from ancestral.core.text import type_in_words
from ancestral.data.toy import PointDataset
from ancestral.figures.densities import Plane, draw_planes
from ancestral.figures.pairs import Curve, Field, limits_of, pair_figure
from ancestral.models.base import ExactModel, HasBase
from ancestral.reports.pictures.latents import coder_of
from ancestral.reports.pictures.samples import ROWS
from ancestral.runs.run import Run
from ancestral.runs.run_data import PICTURED_POINTS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LINE_POINTS = 400  # of each line of a deformed grid


def density(run: Run, count: int = 200, seed: int = 0) -> Figure:
    """p(x) as learned beside the target it was learned from and the base it was made of, and as many draws
    from the model as `samples` shows; densities at the midpoints of `count`^2 cells. Of a table, pairs of columns."""
    model = run.load()
    if not isinstance(model, ExactModel):
        raise NotComputable(f"{type_in_words(model)} has no density that can be computed: draw samples instead")
    if run.data.space.noun == "points" and run.data.density is None:
        return _table(run, model, count, seed)
    data = _points(run, "a density in the plane")
    side = data.extent
    axis = (torch.arange(count) + 0.5) / count * 2 * side - side
    x = torch.cartesian_prod(axis, axis).flip(1)  # the first coordinate runs along each row of cells

    def table(log_prob: Callable[[Tensor], Tensor], x: Tensor = x) -> Tensor:
        with torch.no_grad():
            return torch.cat([log_prob(rows).double().exp() for rows in x.split(ROWS)]).unflatten(0, (count, count))

    target, learned = table(data.density.log_prob), table(model.log_prob, x.to(model.dtype))
    with seeded_noise(seed_for(seed, "drawing")):
        drawn = model.sample(run.data.pictured)
    planes = [Plane("true", side, target), Plane("learned", side, learned), Plane("samples", side, points=drawn)]
    if isinstance(model, HasBase):
        planes.insert(2, Plane("base", side, table(model.base().log_prob, x.to(model.dtype))))
    mass = learned.sum().item() * (2 * side / count) ** 2
    return draw_planes(
        planes,
        title=f"{run.called}, {run.data.name}: true and learned density",
        note=f"The learned density integrates to {mass:.4f} over this square.",
        scale=target.max().item(),
    )


def _table(run: Run, model: ExactModel, count: int, seed: int) -> Figure:
    """Test points of a table beside draws of the model, pair by pair; the density itself of one or two columns."""
    x = run.data.held("test").first(PICTURED_POINTS)
    with seeded_noise(seed_for(seed, "drawing")):
        drawn = model.sample(run.data.pictured)
    limits = limits_of(x)
    edges = [np.linspace(low, high, count + 1) for low, high in limits[:2]]
    middles = [(edge[1:] + edge[:-1]) / 2 for edge in edges]
    curve = field = None
    if x.shape[1] == 1:
        curve = Curve(middles[0], _density(model, torch.from_numpy(middles[0])[:, None]))
    if x.shape[1] == 2:
        grid = torch.cartesian_prod(*map(torch.from_numpy, middles))
        field = Field(edges[0], edges[1], _density(model, grid).reshape(count, count))
    return pair_figure(
        x,
        drawn,
        names=run.data.columns,
        words=("test points", "samples"),
        curve=curve,
        field=field,
        title=f"{run.called}, {run.data.name}: test points and the learned density",
        note={1: "Line: the learned density.", 2: "Above the diagonal: the learned density."}.get(x.shape[1], ""),
    )


def _density(model: ExactModel, x: Tensor) -> np.ndarray:
    with torch.no_grad():
        return torch.cat([model.log_prob(rows.to(model.dtype)).double().exp() for rows in x.split(ROWS)]).numpy()


def deformation(run: Run, count: int = 17, seed: int = 0) -> Figure:
    """What an invertible map does to the plane: `count` by `count` lines of z and where they lie in x, and back,
    among test points and their codes."""
    data = _points(run, "a deformation of the plane")
    encode, decode = coder_of(run, "a deformation", of="points")
    x = run.data.held("test").first(PICTURED_POINTS)
    with torch.no_grad():
        z = encode(x)
        if z.shape != x.shape:
            raise NotComputable(f"a deformation needs 2 latents, one for each coordinate: there are {z.shape[1]}")
        code = 1.1 * z.abs().max().item()
        lines = {"z": _grid_lines(code, count), "x": _grid_lines(data.extent, count)}
        there = [decode(family.flatten(0, 1).to(z.dtype)).view_as(family) for family in lines["z"]]
        back = [encode(family.flatten(0, 1)).view_as(family) for family in lines["x"]]
    planes = [
        Plane("grid in z, and codes", code, points=z, lines=lines["z"]),
        Plane("image of this grid in x, and data", data.extent, points=x, lines=there),
        Plane("grid in x, and data", data.extent, points=x, lines=lines["x"]),
        Plane("image of this grid in z, and codes", code, points=z, lines=back),
    ]
    return draw_planes(planes, title=f"{run.called}, {run.data.name}: the plane before and after the flow")


def _points(run: Run, what: str) -> PointDataset:
    if run.data.density is None:
        kind = "a table" if run.data.space.noun == "points" else "images"
        raise NotComputable(f"{what} is drawn for points of a named density, and {run.data.name} holds {kind}")
    assert isinstance(run.data.dataset, PointDataset)
    return run.data.dataset


def _grid_lines(extent: float, count: int) -> list[Tensor]:
    """`count` lines of equal second coordinate and `count` of equal first one, each shape (count, n, 2)."""
    axis, along = (torch.linspace(-extent, extent, n) for n in (count, LINE_POINTS))
    level, across = torch.meshgrid(axis, along, indexing="ij")
    return [torch.stack([across, level], -1), torch.stack([level, across], -1)]

"""What can be drawn of a trained run: each drawing computes its arrays from the model and hands them to `figures`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ancestral.core.errors import InputError, NotComputable
from ancestral.core.random import seed_for, seeded_noise
from ancestral.evaluation.neighbours import nearest
from ancestral.figures.grids import image_grid, pair_grid
from ancestral.models.autoregressive import AutoregressiveModel
from ancestral.models.base import SamplesClasses
from ancestral.reports.pictures.class_names import learned_class_in_words
from ancestral.runs.quality import view_of
from ancestral.runs.run import Run
from ancestral.runs.sample import drawn_in_words, is_conditional, present_classes
from ancestral.runs.vectors import sampler, sampler_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PAIRS, NEIGHBOURS_SHOWN = 50, 30
STEPS_SHOWN = 9
CLASSES_SHOWN, OF_A_CLASS = 20, 8  # rows and columns of samples by class
ROWS = 4096  # points looked at together


def samples(run: Run, count: int | None = None, seed: int = 0) -> Figure:
    """Draws from the model, shown as E[x | z] where it has such a mean; no picture is chosen over another.

    Of a conditional model each row is of one class, named at its left.
    """
    model = run.load()
    if isinstance(model, SamplesClasses) and is_conditional(model) and run.data.space.noun == "images":
        return _samples_by_class(run, model, count, seed)
    count = run.data.pictured if count is None else count
    model = sampler(model, run.data)
    with seeded_noise(seed_for(seed, "drawing")):
        drawn = model.sample_mean(count)
    return run.data.picture(drawn, title=f"{run.called}: {count:,} {drawn_in_words(model)}")


def _samples_by_class(run: Run, model: SamplesClasses, count: int | None, seed: int) -> Figure:
    """Rows of draws, one for each class that there were training images of; the first of many classes."""
    present = present_classes(model)
    shown = present[: CLASSES_SHOWN if count is None else min(CLASSES_SHOWN, count)]
    columns = OF_A_CLASS if count is None else count // len(shown)
    labels = torch.tensor(shown).repeat_interleave(columns)
    with seeded_noise(seed_for(seed, "drawing")):
        drawn = model.sample_classes(labels)
    more = f" ({len(shown)} of {len(present)} classes)" if len(shown) < len(present) else ""
    return image_grid(
        grey_values(run, drawn),
        columns=columns,
        row_titles=[learned_class_in_words(run, label) for label in shown],
        title=f"{run.called}: {len(labels)} samples by class{more}",
        smooth=True,
    )


def steps(run: Run, count: int = 8, seed: int = 0) -> Figure:
    """Images generated step by step, pixel by pixel in the order of the chain rule; grey is not drawn yet."""
    model = run.load()
    if not isinstance(model, AutoregressiveModel):
        raise NotComputable(f"only an autoregressive model samples pixel by pixel, not this {type(model).__name__}")
    with seeded_noise(seed_for(seed, "drawing")):
        model = model.given(model.draw_classes(count)) if model.sums_classes else model
        whole = model.draw(torch.rand(count, *model.event_shape, dtype=model.dtype))
    pixels = len(model.order)
    known = torch.linspace(0, pixels, STEPS_SHOWN).round()
    turn = model.order.argsort().view(model.event_shape)  # when each pixel's turn comes
    there = turn < known.view(-1, *[1] * turn.dim())
    images = torch.where(there, grey_values(run, whole)[:, None], 0.5)  # (count, steps, C, H, W)
    return image_grid(
        images.flatten(0, 1),
        columns=STEPS_SHOWN,
        title=f"{run.called}: sampling pixel by pixel, from 0 to all {pixels:,} pixels",
    )


def neighbours(run: Run, count: int = NEIGHBOURS_SHOWN, seed: int = 0) -> Figure:
    """Draws above the training images nearest to them: is anything remembered?"""
    if run.data.space.noun != "images":
        raise NotComputable(f"nearest neighbours need images; {run.data.name} has {run.data.space.noun}")
    with seeded_noise(seed_for(seed, "drawing")):
        drawn = grey_values(run, sampler_of(run).sample(count))
    least, closest = torch.full((len(drawn),), torch.inf, dtype=torch.float64), torch.zeros_like(drawn)
    for block in run.data.held("train").in_order(ROWS):
        pool = grey_values(run, block)
        distances, found = nearest(drawn, pool)
        closer = distances < least
        least[closer], closest[closer] = distances[closer], pool[found[closer]]
    return pair_grid(
        drawn,
        closest,
        columns=10,
        labels=("sample", "nearest"),
        title=f"{run.called}: samples and their nearest training images",
        smooth=True,
    )


def grey_values(run: Run, images: Tensor) -> Tensor:
    return run.data.space.to_unit(images.float())


ROW = 12  # samples of a run in a picture, unless asked for more or fewer


def sample_rows(
    runs: Sequence[Run],
    *,
    titles: Sequence[str] = (),
    count: int = ROW,
    means: bool = False,
    threshold: bool = False,
    seed: int = 0,
) -> Figure:
    """One picture with a row of samples of each run, not cherry-picked.

    Args:      titles: of the rows; the names of the runs' folders unless given. count: samples of each.
    Raises:    InputError: as `View`, or images of different sizes.
    """
    rows: list[Tensor] = []
    for run in runs:
        model = sampler_of(run)
        rows.append(view_of(model, run.data, means, threshold).drawn(model, count, seed))
    shapes = {tuple(row.shape[1:]) for row in rows}
    if len(shapes) > 1:
        raise InputError(f"images of different sizes make no common picture: {sorted(shapes)}")
    return image_grid(
        torch.cat(rows),
        columns=count,
        row_titles=titles or [run.path.name for run in runs],
        title="mean images of each model" if means else "samples of each model",
        smooth=True,
    )

"""Pictures of the terms of a score, by image and by pixel."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ancestral.core.errors import NotComputable
from ancestral.core.text import type_in_words
from ancestral.families.score_parts import surprise_maps, with_conditionals
from ancestral.figures.heat import heat_grid
from ancestral.figures.parts import parts_figure
from ancestral.models.autoregressive import AutoregressiveModel
from ancestral.models.base import HasConditionals
from ancestral.runs.explain import Explanation, active_in_words, conditions, explain_run, spliced_images
from ancestral.runs.run import Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PICTURED = 1000  # test images in a picture of parts
SHOWN = 8  # images in a picture of surprise
VIVID = 0.999  # share of pixels that the colours of a map reach


def split_figure(run: Run, found: Explanation) -> Figure:
    """Bars of the divergence of each latent, and each part over natural and Frankenstein images."""
    points = found.record["dimensions"] <= 2
    kinds = {"test points" if points else "natural": found.natural}
    if found.anomalous is not None:
        kinds["Frankenstein"] = found.anomalous
    columns = {name: {label: values[:, i] for label, values in kinds.items()} for i, name in enumerate(found.names)}
    columns[found.total.method] = {label: values.sum(1) for label, values in kinds.items()}
    fixed = {
        name: values[0].item() for name, values in zip(found.names, found.natural.T, strict=True) if _fixed(values)
    }
    ranked = found.ranking
    active = [active_in_words(found, m) != "no" for m in ranked]
    notes = [
        f"{conditions(found)}.",
        *(f"{name} is {value:.2f} for all." for name, value in fixed.items()),
        *([] if all(active) else ["Pale bars: latents that are not active."]),
    ]
    return parts_figure(
        {name: list(of.items()) for name, of in columns.items() if name not in fixed},
        bars=found.divergences[ranked] if ranked else None,
        filled=active,
        bars_title="KL of each latent, sorted",
        title=f"{run.called}: terms of the {found.total.method}, nats ({found.total.kind_in_words})",
        note=" ".join(notes),
    )


def split(run: Run, count: int = PICTURED, seed: int = 0) -> Figure:
    """The parts that the score of test images is a sum of; of a model of pixels one by one, `surprise` shows them."""
    if isinstance(model := run.load(), HasConditionals):
        raise NotComputable(
            f"the terms of the score of {type_in_words(model)} belong to its pixels: draw surprise instead"
        )
    return split_figure(run, explain_run(run, count, seed=seed))


def surprise(run: Run, count: int = SHOWN, seed: int = 0) -> Figure:
    """-log p(x_d | x_<d) of each pixel of test images, not cherry-picked, and of Frankenstein images, in one scale."""
    model = run.load()
    if run.data.space.noun != "images":
        raise NotComputable(f"surprise needs images; {run.data.name} has {run.data.space.noun}")
    with_conditionals(model)
    images, spliced = run.data.held("test", count), spliced_images(run, "test", count, seed)
    kinds = {"natural": images} | ({} if spliced is None else {"Frankenstein": spliced})
    x = torch.cat([some.first(count) for some in kinds.values()])
    with torch.no_grad():
        maps = surprise_maps(model, x.to(model.dtype)).sum(1)  # channels of a pixel together
    top = max(torch.quantile(maps.flatten(), VIVID).item(), 1e-6)
    columns = next(n for n in range(min(len(images), SHOWN), 0, -1) if len(images) % n == 0)
    orderings = len(model.orders) if isinstance(model, AutoregressiveModel) else 1
    among = "" if orderings == 1 else f", in the first ordering of the {orderings} that the model averages"
    return heat_grid(
        run.data.space.to_unit(x),
        maps.clamp_min(0),  # rounding
        top=top,
        quantity="nats: -log p(pixel | those before)",
        columns=columns,
        captions=[f"{total:.1f}" for total in maps.flatten(1).sum(1).tolist()],
        row_titles=[name for name, some in kinds.items() for _ in range(len(some) // columns)],
        title=f"{run.called}: -log p of each pixel given those before it{among}",
        note=f"Beneath each image its pixels' surprise, and the sum in nats. {int((maps > top).sum())} of "
        f"{maps.numel():,} pixels go beyond the scale.",
    )


def explanation_figure(run: Run, found: Explanation, count: int | None = None, seed: int = 0) -> Figure:
    """What fits the family: surprise pixel by pixel, or the parts."""
    if isinstance(run.load(), HasConditionals):
        return surprise(run, SHOWN if count is None else min(count, SHOWN), seed)
    return split_figure(run, found)


def _fixed(values: Tensor) -> bool:
    """Whether a part is the same for all images."""
    return bool((values - values[0]).abs().max() < 1e-6)

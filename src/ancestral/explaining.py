"""Why a score is what it is: the parts that log p(x) or its bound is a sum of, by name, by latent and by pixel."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ancestral.data.anomalies import frankenstein
from ancestral.data.pixels import PixelBatches
from ancestral.data.toy import PointDataset
from ancestral.errors import InputError, NotComputable
from ancestral.evaluation.likelihood import BLOCK, counted, per_image
from ancestral.evaluation.score import Score
from ancestral.evaluation.score_parts import score_parts, surprise_maps
from ancestral.figures.heat import heat_grid
from ancestral.figures.parts import parts_figure
from ancestral.models.autoregressive import AutoregressiveModel
from ancestral.models.belief_net import SigmoidBeliefNet
from ancestral.models.helmholtz import HelmholtzMachine
from ancestral.models.kinds import ExactModel, HasConditionals, LatentModel, Model
from ancestral.models.vae import VAE
from ancestral.numerics import seeded_noise
from ancestral.report import Table
from ancestral.run import Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ACTIVE_VARIANCE = 0.01  # of a posterior mean over images, from which on a latent counts as active
SPLICED = 1000  # Frankenstein images at most
PICTURED = 1000  # test images in a picture of parts
SHOWN = 8  # images in a picture of surprise
VIVID = 0.999  # share of pixels that the colours of a map reach
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Explanation:
    """The score of a run's test images in parts, beside that of Frankenstein images where there can be any.

    Attributes: names: P parts. natural, anomalous: shapes (N, P) and (F, P), nats; None for points and images
                without labels. divergences: mean KL of each latent by itself, shape (J,), nats. active: of the latents
                whose posterior mean has a variance over images above `ACTIVE_VARIANCE`, shape (M,); None where
                no such mean is known. record: what every part is a `Score` of.
    Reference: active units: Burda et al., 2016, section 5.2, arXiv 1509.00519.
    """

    names: list[str]
    natural: Tensor
    anomalous: Tensor | None
    divergences: Tensor
    active: Tensor | None
    record: dict[str, Any]

    def score_of(self, values: Tensor, method: str) -> Score:
        return Score.of(values, **{**self.record, "method": method})

    @property
    def parts(self) -> list[Score]:
        """Each part over the test images."""
        return [self.score_of(values, name) for name, values in zip(self.names, self.natural.T, strict=True)]

    @property
    def total(self) -> Score:
        """What the parts add up to."""
        return Score.of(self.natural.sum(1), **self.record)

    @property
    def ranking(self) -> list[int]:
        """Latents from the largest divergence to the smallest."""
        return self.divergences.argsort(descending=True).tolist()

    def to_json(self) -> list[dict[str, Any]]:
        """A record for each part of each kind of images, and for each latent."""
        records = []
        for images, values in (("test", self.natural), ("frankenstein", self.anomalous)):
            if values is not None:
                columns = [*zip(self.names, values.T, strict=True), (self.total.method, values.sum(1))]
                records += [{"part": n, "images": images, **self.score_of(v, n).to_json()} for n, v in columns]
        for m in self.ranking:
            active = None if self.active is None else bool(self.active[m])
            records.append({"latent": m, "kl": self.divergences[m].item(), "active": active})
        return records


def explain_run(
    run: Run, count: int | None = None, split: str = "test", seed: int = 0, progress: Progress | None = None
) -> Explanation:
    """Split the score of a run's images into its parts.

    Args:      count: only the first so many images. seed: of Frankenstein images, made of the same ones.
    Raises:    NotComputable: as `score_parts`. InputError: there are no such images.
    """
    model, images = run.load(), run.data.held(split, count)
    if not len(images):
        raise InputError(f"{run.path} has no {split} images")
    spliced = _spliced(run, split, min(len(images), SPLICED), seed)
    advance = counted(progress, len(images) + len(spliced or ()))
    with torch.no_grad(), seeded_noise(seed):
        names, _, by_latent = score_parts(model, images.first(1).to(model.dtype))

    def columns(x: Tensor) -> Tensor:
        found = score_parts(model, x)
        return torch.cat([found.values, found.divergences, _posterior_means(model, x)], 1)

    found = per_image(model, images, 10 * BLOCK, columns, 0, advance)
    values, divergences, means = found.tensor_split([len(names), len(names) + by_latent.shape[1]], 1)
    anomalous = None if spliced is None else per_image(model, spliced, 10 * BLOCK, columns, 0, advance)
    exact = isinstance(model, ExactModel)
    return Explanation(
        names=names,
        natural=values,
        anomalous=None if anomalous is None else anomalous[:, : len(names)],
        divergences=divergences.mean(0),
        active=means.var(0) > ACTIVE_VARIANCE if means.shape[1] and len(means) > 1 else None,
        record={
            "method": _whole_name(model),
            "kind": "exact" if exact else "bound",
            "side": None if exact else "lower",
            "samples": 0 if exact else 1,
            "space": run.data.space.describe(run.data.name),
            "split": split,
            "dimensions": math.prod(images.event_shape),
            "discrete": model.discrete,
        },
    )


def explanation_tables(found: Explanation) -> list[Table]:
    """The parts and what they add up to; and the latents, where each has a divergence."""
    rows = []
    columns = [*zip(found.names, found.natural.T, strict=True), (found.total.method, found.natural.sum(1))]
    spliced = None if found.anomalous is None else [*found.anomalous.T, found.anomalous.sum(1)]
    for i, (name, values) in enumerate(columns):
        score = found.score_of(values, name)
        row = [name, f"{score.nats:.2f}", f"{score.stderr:.2f}"]
        if spliced is not None:
            other = found.score_of(spliced[i], name)
            row += [f"{other.nats:.2f}", f"{other.stderr:.2f}"]
        rows.append([*row, score.kind_in_words if i == len(columns) - 1 else "part of it"])
    beside = [] if spliced is None else ["Frankenstein", "± s.e."]
    noun = "points" if found.record["dimensions"] <= 2 else "images"
    header = ["part, nats", f"{found.record['split']} {noun}", "± s.e.", *beside, "kind"]
    tables = [Table(header, rows, numeric=set(range(1, len(header) - 1)))]
    if len(found.divergences):
        latents = [[f"z{m + 1}", f"{found.divergences[m]:.3f}", _active(found, m)] for m in found.ranking]
        tables.append(Table(["latent", "KL, nats", "active"], latents, numeric={1}))
    return tables


def conditions(found: Explanation) -> str:
    """What the numbers are of, and how many latents are active, in a line."""
    total = found.total
    line = f"{total.method}, {total.kind_in_words}; {total.space}; {total.split}, {total.count}"
    if found.active is not None:
        active = f"{int(found.active.sum())} of {len(found.active)} latents active"
        line += f"; {active} (variance of the posterior mean above {ACTIVE_VARIANCE})"
    return line


def split_figure(found: Explanation) -> Figure:
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
    active = [_active(found, m) != "no" for m in ranked]
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
        title=f"{found.total.method} in parts, nats ({found.total.kind_in_words})",
        note=" ".join(notes),
    )


def split(run: Run, count: int = PICTURED, seed: int = 0) -> Figure:
    """The parts that the score of test images is a sum of; of a model of pixels one by one, `surprise` shows them."""
    if isinstance(model := run.load(), HasConditionals):
        raise NotComputable(f"the parts of the score of a {type(model).__name__} are its pixels: draw surprise instead")
    return split_figure(explain_run(run, count, seed=seed))


def surprise(run: Run, count: int = SHOWN, seed: int = 0) -> Figure:
    """-log p(x_d | x_<d) of each pixel of test images, none picked, and of Frankenstein images, in one scale."""
    model = run.load()
    if run.data.space.noun != "images":
        raise NotComputable(f"surprise is drawn of images; {run.data.name} are {run.data.space.noun}")
    images, spliced = run.data.held("test", count), _spliced(run, "test", count, seed)
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
        title=f"where the surprise of an image lies{among}",
        note=f"Beneath each image its pixels' surprise, and the sum in nats. {int((maps > top).sum())} of "
        f"{maps.numel():,} pixels go beyond the scale.",
    )


def explanation_figure(run: Run, found: Explanation, count: int | None = None, seed: int = 0) -> Figure:
    """What fits the family: surprise pixel by pixel, or the parts."""
    if isinstance(run.load(), HasConditionals):
        return surprise(run, SHOWN if count is None else min(count, SHOWN), seed)
    return split_figure(found)


def _spliced(run: Run, split: str, count: int, seed: int) -> PixelBatches | None:
    """Frankenstein images made of a split, where it has images of two classes."""
    dataset = run.data.dataset
    if isinstance(dataset, PointDataset):
        return None
    source = dataset.split(split)
    if source.labels is None or len(source.labels.unique()) < 2:
        return None
    return PixelBatches(frankenstein(source, seed, count).images, run.data.space)


def _posterior_means(model: Model, x: Tensor) -> Tensor:
    """Of the latents, where the model knows them, shape (B, M); else (B, 0)."""
    if isinstance(model, (VAE, SigmoidBeliefNet, HelmholtzMachine)):
        return model.encode(x)
    return x.new_zeros(len(x), 0)


def _whole_name(model: Model) -> str:
    """As the method of the score that the parts add up to."""
    if isinstance(model, LatentModel):
        return "ELBO"
    if isinstance(model, AutoregressiveModel) and len(model.orders) > 1:
        return f"log p(x) in the first ordering of {len(model.orders)}"
    return "log p(x)"


def _active(found: Explanation, m: int) -> str:
    if found.active is None or len(found.active) != len(found.divergences):
        return ""
    return "yes" if found.active[m] else "no"


def _fixed(values: Tensor) -> bool:
    """Whether a part is the same for all images."""
    return bool((values - values[0]).abs().max() < 1e-6)

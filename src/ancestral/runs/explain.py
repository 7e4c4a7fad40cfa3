"""Why a score is what it is: the parts that log p(x) or its bound is a sum of, by name, by latent and by pixel."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ancestral.core.errors import InputError
from ancestral.core.notebook import as_html
from ancestral.core.random import seeded_noise
from ancestral.data.anomalies import frankenstein
from ancestral.data.pixels import PixelBatches
from ancestral.evaluation.likelihood import BLOCK, counted, per_image
from ancestral.evaluation.score import Score
from ancestral.families.score_parts import refuse_without_likelihood, score_parts
from ancestral.models.autoregressive import AutoregressiveModel
from ancestral.models.base import ExactModel, Infers, LatentModel, Model
from ancestral.runs.run import Run

ACTIVE_VARIANCE = 0.01  # of a posterior mean over images, from which on a latent counts as active
SPLICED = 1000  # Frankenstein images at most
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
    _repr_html_ = as_html

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
    model = run.load()
    refuse_without_likelihood(model)
    images = run.data.held(split, count)
    if not len(images):
        raise InputError(f"{run.path} has no {split} images")
    spliced = spliced_images(run, split, min(len(images), SPLICED), seed)
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


def conditions(found: Explanation) -> str:
    """What the numbers are of, and how many latents are active, in a line."""
    total = found.total
    line = f"{total.method}, {total.kind_in_words}; {total.space}; {total.split}, {total.count}"
    if found.active is not None:
        active = f"{int(found.active.sum())} of {len(found.active)} latents active"
        line += f"; {active} (variance of the posterior mean above {ACTIVE_VARIANCE})"
    return line


def spliced_images(run: Run, split: str, count: int, seed: int) -> PixelBatches | None:
    """Frankenstein images made of a split, where it has images of two classes."""
    source = run.data.stored(split)
    if source.labels is None or len(source.labels[source.labels >= 0].unique()) < 2:
        return None
    return PixelBatches(frankenstein(source, seed, count).images, run.data.space)


def _posterior_means(model: Model, x: Tensor) -> Tensor:
    """Of the latents, where `encode` returns them, shape (B, M); else (B, 0)."""
    if model.encodes_posterior_mean and isinstance(model, Infers):
        return model.encode(x)
    return x.new_zeros(len(x), 0)


def _whole_name(model: Model) -> str:
    """As the method of the score that the parts add up to."""
    if isinstance(model, LatentModel):
        return "ELBO"
    if isinstance(model, AutoregressiveModel) and len(model.orders) > 1:
        return f"log p(x) in the first ordering of {len(model.orders)}"
    return "log p(x)"


def active_in_words(found: Explanation, m: int) -> str:
    if found.active is None or len(found.active) != len(found.divergences):
        return ""
    return "yes" if found.active[m] else "no"

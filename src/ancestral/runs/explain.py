"""The terms of a score: log p(x) or its bound as a sum of named terms, and terms per latent."""

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
from ancestral.evaluation.likelihood import BLOCK, counted, exact_name, per_image_seen
from ancestral.evaluation.score import Score
from ancestral.evaluation.scoring import vector_in_words
from ancestral.families.score_parts import refuse_without_likelihood, score_parts
from ancestral.models.autoregressive import AutoregressiveModel
from ancestral.models.base import ExactModel, Infers, LatentModel, Model
from ancestral.models.vectors import given_batch, has_vector
from ancestral.runs.run import Run

ACTIVE_VARIANCE = 0.01  # a latent is active if its posterior mean has a larger variance over images
SPLICED = 1000  # Frankenstein images at most
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Explanation:
    """The terms of the score of a run's test images, and of Frankenstein images if the data have labels.

    Attributes: names: of P terms. natural, anomalous: shapes (N, P) and (F, P), nats; without labels,
                `anomalous` is None. divergences: mean KL of each single latent, shape (J,), nats. active:
                whether the posterior mean of a latent has a variance over images above `ACTIVE_VARIANCE`, shape (M,);
                None without posterior means. record: fields that the `Score` of every term has.
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
        """The score of each term over the test images."""
        return [self.score_of(values, name) for name, values in zip(self.names, self.natural.T, strict=True)]

    @property
    def total(self) -> Score:
        """The score, which is the sum of the terms."""
        return Score.of(self.natural.sum(1), **self.record)

    @property
    def ranking(self) -> list[int]:
        """Indices of the latents, from the largest divergence to the smallest."""
        return self.divergences.argsort(descending=True).tolist()

    def to_json(self) -> list[dict[str, Any]]:
        """One record for each term and kind of image, and one for each latent."""
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
    """Split the score of a run's images into its terms.

    Args:      run: the run. count: use only the first `count` images. split: of the data. seed: random
               seed, also of the Frankenstein
               images, which are made from the same images. progress: called with (images done, total
               images).
    Raises:    NotComputable: as `score_parts`. InputError: the split is empty.
    """
    model = run.load()
    refuse_without_likelihood(model)
    images = run.data.held(split, count)
    if not len(images):
        raise InputError(f"{run.path} has no {split} images")
    # images made of two halves have no vector
    spliced = None if has_vector(model) else spliced_images(run, split, min(len(images), SPLICED), seed)
    images.refuse_missing()
    advance = counted(progress, len(images) + len(spliced or ()))
    with torch.no_grad(), seeded_noise(seed):
        first = images.first_batch(1)
        names, _, by_latent = score_parts(given_batch(model, first.conditions), first.x.to(model.dtype))

    def columns(given: Model, x: Tensor) -> Tensor:
        found = score_parts(given, x)
        return torch.cat([found.values, found.divergences, _posterior_means(given, x)], 1)

    found = per_image_seen(model, images, 10 * BLOCK, columns, 0, advance)
    values, divergences, means = found.tensor_split([len(names), len(names) + by_latent.shape[1]], 1)
    anomalous = None if spliced is None else per_image_seen(model, spliced, 10 * BLOCK, columns, 0, advance)
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
            "space": run.data.space.describe(run.data.name) + vector_in_words(model),
            "split": split,
            "dimensions": math.prod(images.event_shape),
            "discrete": model.discrete,
        },
    )


def conditions(found: Explanation) -> str:
    """One line that states the method, data and number of images, and the number of active latents."""
    total = found.total
    line = f"{total.method}, {total.kind_in_words}; {total.space}; {total.split}, {total.count}"
    if found.active is not None:
        active = f"{int(found.active.sum())} of {len(found.active)} latents active"
        line += f"; {active} (variance of the posterior mean above {ACTIVE_VARIANCE})"
    return line


def spliced_images(run: Run, split: str, count: int, seed: int) -> PixelBatches | None:
    """Frankenstein images made from a split; None unless it has images of at least two classes."""
    source = run.data.stored(split)
    if source.labels is None or len(source.labels[source.labels >= 0].unique()) < 2:
        return None
    return PixelBatches(frankenstein(source, seed, count).images, run.data.space)


def _posterior_means(model: Model, x: Tensor) -> Tensor:
    """The posterior means of the latents if `encode` returns them, shape (B, M); else shape (B, 0)."""
    if model.encodes_posterior_mean and isinstance(model, Infers):
        codes = model.encode(x)
        return codes[:, : codes.shape[1] - model.condition_width]  # without the class
    return x.new_zeros(len(x), 0)


def _whole_name(model: Model) -> str:
    """The name of the score that is the sum of the terms."""
    if isinstance(model, LatentModel):
        return "ELBO"
    if isinstance(model, AutoregressiveModel) and len(model.orders) > 1:
        return f"{exact_name(model)} in the first ordering of {len(model.orders)}"
    return exact_name(model)


def active_in_words(found: Explanation, m: int) -> str:
    if found.active is None or len(found.active) != len(found.divergences):
        return ""
    return "yes" if found.active[m] else "no"

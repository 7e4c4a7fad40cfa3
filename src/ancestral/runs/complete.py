"""Completion of partly hidden images of a run, and the log-probability of the true hidden pixels."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ancestral.core.errors import InputError, NotComputable
from ancestral.core.files import write_atomically
from ancestral.core.random import seed_for, seeded_noise
from ancestral.core.text import type_in_words
from ancestral.data.mask_files import read_masks
from ancestral.data.masks import HIDDEN, seen_columns
from ancestral.evaluation.hidden import HiddenMethod, hidden_method
from ancestral.evaluation.score import Score
from ancestral.evaluation.scoring import vector_in_words
from ancestral.models.base import Completes, Model
from ancestral.models.classes import HasClasses, refuse_without_classes
from ancestral.models.orders import HasOrders
from ancestral.models.vectors import given_batch, needs_vector
from ancestral.runs.hiding import COLUMNS, MISSING, Hiding, hidden_in_words
from ancestral.runs.run import Run
from ancestral.runs.sample import class_number, save_table
from ancestral.runs.vectors import given_each

IMAGES, DRAWS = 8, 4
ROWS = 200  # images completed together
SCORED, BLOCK = 1000, 100  # images whose hidden pixels are scored, and how many at once
SCORED_SLOWLY = 100  # the same, for a method that evaluates a network many times for each image
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Completion:
    """Images of a run with hidden pixels, and draws of the hidden pixels.

    Attributes: x: images, shape (N, *event_shape). seen: boolean, the same shape, True for observed pixels. drawn:
                shape (K, N, *event_shape). hide: the hidden part, see `seen_pixels`, or `MASKED`, `MISSING` or
                `COLUMNS`. how: "exact", the order for which it is exact, or the approximation. score: log p(hidden |
                seen) of the true hidden pixels, also of further images: exact, a bound or an estimate; None if there is
                none. reason: why there is no score.
    """

    x: Tensor
    seen: Tensor
    drawn: Tensor
    hide: str
    how: str
    score: Score | None
    reason: str | None = None

    def to_json(self) -> dict[str, Any]:
        """The record without the images: what was hidden, the method, and the score or the reason for its absence."""
        score = None if self.score is None else self.score.to_json()
        return {"hide": self.hide, "completion": self.how, "score": score, "reason": self.reason}


def complete_run(
    run: Run,
    hide: str,
    count: int = IMAGES,
    draws: int = DRAWS,
    seed: int = 0,
    split: str = "test",
    scored: int = SCORED,
    masks: Path | None = None,
    columns: Sequence[str] = (),
    label: int | str | None = None,
    only_exact: bool = False,
    condition: Any = None,
) -> Completion:
    """Hide part of the first images of a split and sample it from the model, several times for each image.

    Args:      run: the run. hide: see `seen_pixels`; `MASKED` needs `masks`, `COLUMNS` needs `columns`, and `MISSING`
               needs data with missing pixels. count: number of images. draws: completions of each image. seed: random
               seed of draws and masks. split: of the data. scored: number of images whose true hidden pixels are
               scored, if the model can. masks: file or folder, see `read_masks`. columns: names of the hidden columns
               of points. label: class of all images, by number or name; the true hidden pixels are then not scored.
               only_exact: leave out bounds and estimates. condition: for a model of p(x | c), one vector for all
               images, which are then not scored; None: the vector of each image.
    Raises:    NotComputable: the model cannot complete, or the data are not images. InputError: an unknown part, or a
               label that the model does not have.
    """
    task = _Task(run, hide, count, draws, seed, split, masks, columns, label, condition)
    return task.completed(0 if only_exact and not task.exact else scored)


class _Task:
    """One run, and the images of it that are completed: see `complete_run`. All checks are made at its start.

    Attributes: exact: whether the draws are exact samples, in the default order of a model with orders. method: how the
                true hidden pixels are scored; None with the `reason` if they are not.
    """

    def __init__(
        self,
        run: Run,
        hide: str,
        count: int,
        draws: int,
        seed: int,
        split: str,
        masks: Path | None,
        columns: Sequence[str],
        label: int | str | None,
        condition: Any = None,
    ) -> None:
        self.run, self.hide, self.draws, self.seed, self.split = run, hide, draws, seed, split
        self.model = model = run.load() if label is None else model_given(run, label)
        if condition is not None:
            self.model = model = given_each(model, condition, 1)
        _refuse_other_data(run, hide, columns)
        if not isinstance(model, Completes):
            raise NotComputable(f"{type_in_words(model)} cannot complete images")
        images = run.data.held(split, count)
        if not len(images):
            raise InputError(f"{run.path} has no {split} images")
        first = images.first_batch(count)
        self.x, self.vectors = first.x, first.conditions
        if hide == COLUMNS:
            given: Tensor | None = seen_columns(run.data.columns, columns, len(self.x))
        else:
            given = None if masks is None else read_masks(masks, len(self.x), model.event_shape)
        hidden, of_data = Hiding(hide, seed, given), run.data.stored(split).seen
        self.seen, self.masks = hidden.seen(len(self.x), model.event_shape, of_data), hidden.masks
        if hide in HIDDEN and self.seen.all():
            sides = "x".join(map(str, model.event_shape[1:]))
            raise NotComputable(f"--hide {hide}: no pixel of images of {sides} pixels is hidden: choose another part")
        self.method, self.reason = _method_of(given_batch(model, self.vectors), self.x, self.seen)
        self.exact = self.method is not None and self.method.kind == "exact"
        if condition is not None:
            self.method, self.reason = None, "all images are completed with one vector, which need not be their own"
        elif label is not None:
            self.method, self.reason = None, "all images are completed as one class, which need not be their own"
        elif hide == MISSING or of_data is not None:
            self.method, self.reason = None, "the data have missing pixels, and their true values are not known"

    def completed(self, scored: int) -> Completion:
        """Draws of the hidden pixels, and the score of the first `scored` images."""
        values = (self.x.to(self.model.dtype), self.seen)
        assert isinstance(self.model, Completes)
        each = self.draws if needs_vector(self.model) else ROWS  # images with one vector
        rows = [one.repeat_interleave(self.draws, 0).split(each) for one in values]
        with seeded_noise(seed_for(self.seed, "complete")):
            drawn = torch.cat([self._given(at).complete(*part) for at, part in enumerate(zip(*rows, strict=True))])
        drawn = drawn.unflatten(0, (len(self.x), self.draws)).transpose(0, 1)
        # an autoregressive model is exact for some masks; other orders of an any-order model give other probabilities
        words = self.model.completion
        how = "exact" if self.exact and not isinstance(self.model, HasOrders) else words.split("else ")[-1]
        # scoring starts at the first image
        again = Hiding(self.hide, self.seed, self.masks)
        score = None
        if self.method is not None:
            score = _score_hidden(self.run, self.model, self.method, again, self.split, scored, self.seed)
        return Completion(self.x, self.seen, drawn, self.hide, how, score, self.reason)

    def _given(self, image: int) -> Completes:
        """The model that completes an image, or all images if it needs no vector."""
        model: Any = given_batch(self.model, None if self.vectors is None else self.vectors[image : image + 1])
        return model


def _method_of(model: Model, x: Tensor, seen: Tensor) -> tuple[HiddenMethod | None, str | None]:
    """How to score hidden pixels, or why it is not possible."""
    try:
        return hidden_method(model, x, seen), None
    except NotComputable as reason:
        return None, str(reason)


def _refuse_other_data(run: Run, hide: str, columns: Sequence[str]) -> None:
    """Raises:    NotComputable: columns of images, or parts of points."""
    points = run.data.space.noun == "points"
    if points and hide not in (COLUMNS, MISSING):
        raise NotComputable(f"{run.data.name} has points, not images: name the columns to complete with --columns")
    if columns and not points:
        raise NotComputable(f"--columns needs a table; {run.data.name} has images: choose the hidden part with --hide")


def complete_runs(
    named: Sequence[tuple[str, Run]],
    hide: str = "halves",
    count: int = IMAGES,
    draws: int = 1,
    seed: int = 0,
    split: str = "test",
    scored: int = 0,
    progress: Progress | None = None,
    masks: Path | None = None,
    columns: Sequence[str] = (),
    label: int | str | None = None,
    condition: Any = None,
) -> list[Completion]:
    """`complete_run` for several runs, with the same images and hidden parts, and scores of equally many images.

    All checks are made before the first run is completed.

    Args:      named: pairs (name, run); pixel spaces may differ. progress: called with (runs done, total runs). masks:
               file or folder of masks. columns: names of the hidden columns of points. label, condition: as in
               `complete_run`.
    Raises:    NotComputable, InputError: as `complete_run`; or the runs have different images.
    """
    _refuse_other_images(named, split, count)
    tasks = [_Task(run, hide, count, draws, seed, split, masks, columns, label, condition) for _, run in named]
    if len(tasks) > 1:
        if any(task.method is not None and task.method.slow for task in tasks):
            scored = min(scored, SCORED_SLOWLY)
        scored = min(scored, *(len(run.data.stored(split)) for _, run in named))
    found = []
    for done, task in enumerate(tasks):
        if progress:
            progress(done, len(tasks))
        found.append(task.completed(scored))
    return found


def model_given(run: Run, label: int | str) -> Model:
    """The distribution p(x | y) of a run's model for one class, by number or name.

    Raises:    InputError: the model has no classes, or not this one.
    """
    model = run.load()
    if not isinstance(model, HasClasses):
        raise InputError(f"--label {label}: {type_in_words(model)} has no classes: leave --label out")
    refuse_without_classes(model)  # before the name of the class
    return model.given(class_number(run, label))


def _refuse_other_images(named: Sequence[tuple[str, Run]], split: str, count: int) -> None:
    (first, reference), *others = named
    for name, run in others:
        images = [one.data.stored(split).first(count).images for one in (reference, run)]
        if not torch.equal(*images):
            what = [f"{one.data.name}, {'x'.join(map(str, one.data.event_shape))}" for one in (reference, run)]
            raise InputError(
                f"{first} ({what[0]}) and {name} ({what[1]}) have different {split} images: complete them separately"
            )


@torch.no_grad()
def _score_hidden(
    run: Run, model: Model, method: HiddenMethod, hiding: Hiding, split: str, count: int, seed: int
) -> Score | None:
    """Mean log p(hidden | seen) of the true hidden pixels of the first images of a split."""
    count = count if hiding.most is None else min(count, hiding.most)
    count = min(count, SCORED_SLOWLY) if method.slow else count
    if not count:
        return None
    images = run.data.held(split, count)
    hide = hiding.hide
    values: list[Tensor] = []
    hidden: list[Tensor] = []
    with seeded_noise(seed_for(seed, "score hidden")):
        images.refuse_missing()
        # a slow method repeats or divides the rows of a batch, which then need one vector
        for batch in images.blocks(1 if needs_vector(model) and method.slow else BLOCK):
            x, of_block = batch.x, method
            # random masks are shared within a block, because a belief net sums over its states for every different mask
            masks = 1 if hide == "random" else len(x)
            seen = hiding.seen(masks, model.event_shape).expand_as(x)
            if needs_vector(model):
                of_block = hidden_method(given_batch(model, batch.conditions), x, seen)
            values.append(of_block.log_probs(x.to(model.dtype), seen).double())
            hidden.append((~seen).flatten(1).sum(1))
    return Score.of(
        torch.cat(values),
        method=", ".join(filter(None, [f"log p({hidden_in_words(hide)} | the rest)", method.how])),
        kind=method.kind,
        side=method.side,
        samples=method.samples,
        space=images.space.describe(run.data.name) + vector_in_words(model),
        split=split,
        dimensions=torch.cat(hidden).double().mean().item(),
        discrete=model.discrete,
    )


def save_completions(found: Sequence[Completion], names: Sequence[str], path: Path) -> None:
    """Write images `x`, masks `seen` and draws `drawn` to one .npz file; for several runs, `drawn_NAME` of each."""
    arrays = {"x": found[0].x.numpy(), "seen": found[0].seen.numpy()}
    for name, one in zip(names, found, strict=True):
        arrays["drawn" if len(found) == 1 else f"drawn_{name}"] = one.drawn.numpy()
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]  # numbers only, nothing is pickled
    write_atomically(path, buffer.getvalue())


def save_completed_points(found: Sequence[Completion], columns: Sequence[str], path: Path) -> None:
    """Write the draws of each point of one run to a .csv file, one row per draw.

    Raises:    InputError: the data are images, or there are several runs.
    """
    if len(found) != 1 or not columns:
        raise InputError(f"--out {path}: .csv works only for points of one run; use .npz")
    save_table(found[0].drawn.transpose(0, 1).flatten(0, 1), path, columns)

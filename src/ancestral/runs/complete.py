"""Completion of partly hidden images of a run, and the log-probability of the true hidden pixels."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ancestral.core.errors import InputError, NotComputable
from ancestral.core.files import write_atomically
from ancestral.core.random import seed_for, seeded_noise
from ancestral.data.mask_files import read_masks
from ancestral.data.masks import seen_columns, seen_pixels
from ancestral.evaluation.score import Score
from ancestral.models.base import Completes, Model, ScoresMissing
from ancestral.models.classes import HasClasses, refuse_without_classes
from ancestral.models.orders import HasOrders
from ancestral.runs.run import Run
from ancestral.runs.sample import class_number, save_table

IMAGES, DRAWS = 8, 4
MASKED, MISSING, COLUMNS = "mask", "missing", "columns"  # further values of `hide`
ROWS = 200  # images completed together
SCORED, BLOCK = 1000, 100  # images whose hidden pixels are scored, and how many at once
SCORED_SLOWLY = 100  # the same, for a model that evaluates its network once for each hidden pixel
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Completion:
    """Images of a run with hidden pixels, and draws of the hidden pixels.

    Attributes: x: images, shape (N, *event_shape). seen: boolean, the same shape, True for observed pixels. drawn:
                shape (K, N, *event_shape). hide: the hidden part, see `seen_pixels`, or `MASKED`, `MISSING` or
                `COLUMNS`. how: "exact", the order for which it is exact, or the approximation. score: log p(hidden |
                seen) of the true hidden pixels, also of further images; None if it cannot be computed.
    """

    x: Tensor
    seen: Tensor
    drawn: Tensor
    hide: str
    how: str
    score: Score | None


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
) -> Completion:
    """Hide part of the first images of a split and sample it from the model, several times for each image.

    Args:      run: the run. hide: see `seen_pixels`; `MASKED` needs `masks`, `COLUMNS` needs `columns`, and `MISSING`
               needs data with missing pixels. count: number of images. draws: completions of each image. seed: random
               seed of draws and masks. split: of the data. scored: number of images whose true hidden pixels are
               scored, if the model can. masks: file or folder, see `read_masks`. columns: names of the hidden columns
               of points. label: class of all images, by number or name; the true hidden pixels are then not scored.
    Raises:    NotComputable: the model cannot complete, or the data are not images. InputError: an unknown part, or a
               label that the model does not have.
    """
    model = run.load() if label is None else model_given(run, label)
    points = run.data.space.noun == "points"
    if points and hide not in (COLUMNS, MISSING):
        raise NotComputable(f"{run.data.name} has points, not images: name the columns to complete with --columns")
    if columns and not points:
        raise NotComputable(f"--columns needs a table; {run.data.name} has images: choose the hidden part with --hide")
    if not isinstance(model, Completes):
        raise NotComputable(f"a {type(model).__name__} cannot complete images")
    images = run.data.held(split, count)
    if not len(images):
        raise InputError(f"{run.path} has no {split} images")
    x = images.first_batch(count).x
    if hide == COLUMNS:
        given: Tensor | None = seen_columns(run.data.columns, columns, len(x))
    else:
        given = None if masks is None else read_masks(masks, len(x), model.event_shape)
    hidden = _Hiding(hide, seed, given)
    seen = hidden.seen(len(x), model.event_shape, run.data.stored(split).seen)
    rows = [values.repeat_interleave(draws, 0).split(ROWS) for values in (x.to(model.dtype), seen)]
    with seeded_noise(seed_for(seed, "complete")):
        drawn = torch.cat([model.complete(*part) for part in zip(*rows, strict=True)])
    drawn = drawn.unflatten(0, (len(x), draws)).transpose(0, 1)
    exact = _can_score(model, x, seen)
    known = hide != MISSING and label is None and run.data.stored(split).seen is None
    again = _Hiding(hide, seed, hidden.masks)  # scoring starts at the first image
    score = _score_hidden(run, model, again, split, scored) if exact and known else None
    # an autoregressive model is exact for some masks; other orders of an any-order model give other probabilities
    how = "exact" if exact and not isinstance(model, HasOrders) else model.completion.split("else ")[-1]
    return Completion(x, seen, drawn, hide, how, score)


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
) -> list[Completion]:
    """`complete_run` for several runs, with the same images and hidden parts, and scores of equally many images.

    Args:      named: pairs (name, run); pixel spaces may differ. progress: called with (runs done, total runs). masks:
               file or folder of masks. columns: names of the hidden columns of points. label: as in `complete_run`.
    Raises:    NotComputable, InputError: as `complete_run`; or the runs have different images.
    """
    _refuse_other_images(named, split, count)
    if len(named) > 1 and any(isinstance(run.load(), HasOrders) for _, run in named):
        scored = min(scored, SCORED_SLOWLY)
    found = []
    for done, (_, run) in enumerate(named):
        if progress:
            progress(done, len(named))
        found.append(complete_run(run, hide, count, draws, seed, split, scored, masks, columns, label))
    return found


def model_given(run: Run, label: int | str) -> Model:
    """The distribution p(x | y) of a run's model for one class, by number or name.

    Raises:    InputError: the model has no classes, or not this one.
    """
    model = run.load()
    if not isinstance(model, HasClasses):
        raise InputError(f"--label {label}: a {type(model).__name__} has no classes: leave --label out")
    refuse_without_classes(model)  # before the name of the class
    return model.given(class_number(run, label))


class _Hiding:
    """The masks of images in order: from a named part, from given masks, or from missing data.

    Args:      hide: see `complete_run`. seed: of random masks. masks: given masks, True for observed pixels.
    """

    def __init__(self, hide: str, seed: int, masks: Tensor | None) -> None:
        self.hide, self.masks = hide, masks
        self.generator = torch.Generator().manual_seed(seed_for(seed, "masks"))
        # one mask can be used for any number of images
        self.same = masks is not None and bool((masks == masks[:1]).all())
        self.most = len(masks) if masks is not None and not self.same else None
        self.done = 0

    def seen(self, count: int, event_shape: Sequence[int], of_data: Tensor | None = None) -> Tensor:
        """The masks of the next `count` images, boolean, True for observed pixels.

        Args:      of_data: True for pixels that the data have; None if they have all.
        """
        first, self.done = self.done, self.done + count
        if self.masks is not None:
            given = self.masks[:1].expand(count, *event_shape) if self.same else self.masks[first : first + count]
        elif self.hide == MISSING:
            if of_data is None:
                raise InputError("these images have no missing pixels: choose a part to hide with --hide or --mask")
            given = torch.ones(count, *event_shape, dtype=torch.bool)
        else:
            given = seen_pixels(self.hide, count, event_shape, generator=self.generator)
        return given if of_data is None else given & of_data[first : first + count]


def _refuse_other_images(named: Sequence[tuple[str, Run]], split: str, count: int) -> None:
    (first, reference), *others = named
    for name, run in others:
        images = [one.data.stored(split).first(count).images for one in (reference, run)]
        if not torch.equal(*images):
            what = [f"{one.data.name}, {'x'.join(map(str, one.data.event_shape))}" for one in (reference, run)]
            raise InputError(
                f"{first} ({what[0]}) and {name} ({what[1]}) have different {split} images: complete them separately"
            )


def _can_score(model: Model, x: Tensor, seen: Tensor) -> bool:
    if not isinstance(model, ScoresMissing):
        return False
    try:
        model.log_prob_missing(x.to(model.dtype), seen)
    except NotComputable:  # an autoregressive model whose hidden pixels do not come last in its order
        return False
    return True


@torch.no_grad()
def _score_hidden(run: Run, model: Model, hiding: _Hiding, split: str, count: int) -> Score | None:
    """Mean log p(hidden | seen) of the true hidden pixels of the first images of a split."""
    count = count if hiding.most is None else min(count, hiding.most)
    count = min(count, SCORED_SLOWLY) if isinstance(model, HasOrders) else count
    if not count:
        return None
    assert isinstance(model, ScoresMissing)
    images = run.data.held(split, count)
    hide = hiding.hide
    values: list[Tensor] = []
    hidden: list[Tensor] = []
    for x in images.in_order(BLOCK):
        # random masks are shared within a block, because a belief net sums over its states for every different mask
        masks = 1 if hide == "random" else len(x)
        seen = hiding.seen(masks, model.event_shape).expand_as(x)
        values.append(model.log_prob_missing(x.to(model.dtype), seen).double())
        hidden.append((~seen).flatten(1).sum(1))
    return Score.of(
        torch.cat(values),
        method=f"log p({hidden_in_words(hide)} | the rest)" + _order_in_words(model),
        kind="exact",
        side=None,
        samples=0,
        space=images.space.describe(run.data.name),
        split=split,
        dimensions=round(torch.cat(hidden).double().mean().item()),
        discrete=model.discrete,
    )


def _order_in_words(model: Model) -> str:
    """The order of the hidden pixels that a score is for, if another order would give another score."""
    return f", {model.default_order} order" if isinstance(model, HasOrders) else ""


def hidden_in_words(hide: str) -> str:
    known = {
        "halves": "one half",
        MASKED: "pixels under a mask",
        MISSING: "missing values",
        COLUMNS: "columns",
    }
    if hide in known:
        return known[hide]
    return "half of the pixels" if hide == "random" else f"{hide} half"


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

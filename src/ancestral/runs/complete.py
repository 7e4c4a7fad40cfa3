"""Completions of a run's images: pictures of them, and how probable the true hidden pixels are given the others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ancestral.core.errors import InputError, NotComputable
from ancestral.core.random import seed_for, seeded_noise
from ancestral.data.masks import seen_pixels
from ancestral.evaluation.score import Score
from ancestral.models.base import Completes, Model, ScoresMissing
from ancestral.runs.run import Run

IMAGES, DRAWS = 8, 4
ROWS = 200  # images completed together
SCORED, BLOCK = 1000, 100  # images whose hidden pixels are scored, and how many at once
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Completion:
    """Images of a run, what was given of them and how the rest was drawn.

    Attributes: x: images, shape (N, *event_shape). seen: boolean, the same shape. drawn: shape (K, N, *event_shape).
                how: whether the draws are exact, and if not what they are. score: log p(hidden | seen) of the true
                hidden pixels of further images too, where it can be computed.
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
) -> Completion:
    """Hide part of the first images of a split and let the run's model draw it, several times for each image.

    Args:      hide: see `seen_pixels`. count: images. draws: completions of each. seed: of draws and random masks.
               scored: images whose true hidden pixels are scored, where the model can.
    Raises:    NotComputable: the model cannot complete, or the data are no images. InputError: an unknown part.
    """
    model = run.load()
    if run.data.space.noun != "images":
        raise NotComputable(f"halves are hidden of images; {run.data.name} are {run.data.space.noun}")
    if not isinstance(model, Completes):
        raise NotComputable(f"this model, of the kind {type(model).__name__}, cannot complete images yet")
    images = run.data.held(split, count)
    if not len(images):
        raise InputError(f"{run.path} has no {split} images")
    x = images.first(count)
    seen = seen_pixels(hide, len(x), model.event_shape, generator=_masks(seed))
    rows = [values.repeat_interleave(draws, 0).split(ROWS) for values in (x.to(model.dtype), seen)]
    with seeded_noise(seed_for(seed, "complete")):
        drawn = torch.cat([model.complete(*part) for part in zip(*rows, strict=True)])
    drawn = drawn.unflatten(0, (len(x), draws)).transpose(0, 1)
    exact = _can_score(model, x, seen)
    score = _score_hidden(run, model, hide, seed, split, scored) if exact else None
    return Completion(x, seen, drawn, hide, "exact" if exact else model.completion.split("else ")[-1], score)


def complete_runs(
    named: Sequence[tuple[str, Run]],
    hide: str = "halves",
    count: int = IMAGES,
    draws: int = 1,
    seed: int = 0,
    split: str = "test",
    scored: int = 0,
    progress: Progress | None = None,
) -> list[Completion]:
    """`complete_run` for each of several runs: the same images, the same parts of them hidden.

    Args:      named: (name, run), their pixel spaces of any kind. progress: called with (runs done, runs in all).
    Raises:    NotComputable, InputError: as `complete_run`; or the runs do not know the same images.
    """
    _refuse_other_images(named, split, count)
    found = []
    for done, (_, run) in enumerate(named):
        if progress:
            progress(done, len(named))
        found.append(complete_run(run, hide, count, draws, seed, split, scored))
    return found


def _masks(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed_for(seed, "masks"))


def _refuse_other_images(named: Sequence[tuple[str, Run]], split: str, count: int) -> None:
    (first, reference), *others = named
    for name, run in others:
        images = [one.data.dataset.split(split).images[:count] for one in (reference, run)]
        if not torch.equal(*images):
            what = [f"{one.data.name}, {'x'.join(map(str, one.data.event_shape))}" for one in (reference, run)]
            raise InputError(
                f"{first} ({what[0]}) and {name} ({what[1]}) do not have the same {split} images: complete them apart"
            )


def _can_score(model: Model, x: Tensor, seen: Tensor) -> bool:
    if not isinstance(model, ScoresMissing):
        return False
    try:
        model.log_prob_missing(x.to(model.dtype), seen)
    except NotComputable:  # an autoregressive model out of its order
        return False
    return True


@torch.no_grad()
def _score_hidden(run: Run, model: Model, hide: str, seed: int, split: str, count: int) -> Score | None:
    """Mean log p(hidden | seen) of the true hidden pixels of the first images of a split."""
    if not count:
        return None
    assert isinstance(model, ScoresMissing)
    images, generator = run.data.held(split, count), _masks(seed)
    values: list[Tensor] = []
    hidden: list[Tensor] = []
    for x in images.in_order(BLOCK):
        # random masks are shared within a block, because a belief net sums over its states for each mask there is
        masks = 1 if hide == "random" else len(x)
        seen = seen_pixels(hide, masks, model.event_shape, generator=generator).expand_as(x)
        values.append(model.log_prob_missing(x.to(model.dtype), seen).double())
        hidden.append((~seen).flatten(1).sum(1))
    return Score.of(
        torch.cat(values),
        method=f"log p({hidden_in_words(hide)} | the rest)",
        kind="exact",
        side=None,
        samples=0,
        space=images.space.describe(run.data.name),
        split=split,
        dimensions=round(torch.cat(hidden).double().mean().item()),
        discrete=model.discrete,
    )


def hidden_in_words(hide: str) -> str:
    if hide == "halves":
        return "one half after the other"
    return "half of the pixels" if hide == "random" else f"{hide} half"

"""Pictures of completed images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ancestral.core.errors import InputError
from ancestral.figures.grids import image_grid
from ancestral.figures.pairs import pair_figure
from ancestral.reports.score_tables import decimals_for
from ancestral.runs.complete import DRAWS, IMAGES, Completion, complete_runs
from ancestral.runs.hiding import hidden_in_words
from ancestral.runs.run import Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TINT = (0.34, 0.71, 0.91)  # of hidden pixels: no grey value


def completion_figure(named: Sequence[tuple[str, Run]], found: Sequence[Completion]) -> Figure:
    """Images, what was given of them (hidden pixels coloured), and each draw of the rest by each run: a row each.

    Args:      named: (name, run), as `complete_runs` takes them. found: what it gave. The true images, and what was
               given of them, are in the pixels of the first run.
    """
    if found[0].x.ndim == 2:
        return _of_points(named, found)
    first, views = found[0], [run.data.space.to_unit for _, run in named]
    true, seen = _in_colour(views[0](first.x.float())), first.seen
    rows = [true, torch.where(seen, true, torch.tensor(TINT)[:, None, None])]
    titles, scored = ["true", "given"], any(one.score is not None for one in found)
    for (name, _), to_unit, completion in zip(named, views, found, strict=True):
        rows += [_in_colour(to_unit(images.float())) for images in completion.drawn]
        title, *others = [name if len(named) > 1 else "sample"] * len(completion.drawn)
        titles += [title + (_score_in_words(completion) if scored else ""), *others]
    return image_grid(
        torch.cat(rows),
        columns=len(first.x),
        row_titles=titles,
        title=f"{_whose(named)}completions of images, {hidden_in_words(first.hide)} hidden",
        note=" ".join([*drawn_in_words(named, found), *_scores_in_words(named, found)]),
    )


def _score_in_words(completion: Completion) -> str:
    """A second line for a title: log p(hidden | seen) and its kind; the note has the method, or why there is none."""
    score = completion.score
    if score is None:
        return "\nnot available"
    digits = decimals_for(score.dimensions)
    value = f"{score.nats:.{digits}f} \u00b1 {score.stderr:.{digits}f} nats".replace("-", "\N{MINUS SIGN}", 1)
    return f"\n{value}, {score.kind_in_words}"


def _scores_in_words(named: Sequence[tuple[str, Run]], found: Sequence[Completion]) -> list[str]:
    """What the scores beside the rows mean, how those that are not exact were computed, and why some are missing."""
    scores = [one.score for one in found if one.score is not None]
    if not scores:
        return []
    counts = " and ".join(f"{count:,}" for count in sorted({score.count for score in scores}))
    lines = [
        f"Nats: mean log p(hidden | seen) of the true hidden pixels of the first {counts} {scores[0].split} images."
    ]
    for (name, _), one in zip(named, found, strict=True):
        if one.score is not None and one.score.samples:
            lines.append(f"{name}: {one.score.kind_in_words} from {one.score.samples} samples for each image.")
        elif one.score is None:
            lines.append(f"{name}: not available, {one.reason}.")
    if len({score.space for score in scores}) > 1:
        lines.append("Runs with different pixels: their scores cannot be compared.")
    return lines


def _of_points(named: Sequence[tuple[str, Run]], found: Sequence[Completion]) -> Figure:
    """Points of one run beside what was drawn in place of their hidden columns.

    Raises:    InputError: several runs.
    """
    if len(named) != 1:
        raise InputError("points are completed by one run at a time in a picture: choose .npz for several")
    return pair_figure(
        found[0].x,
        found[0].drawn.flatten(0, 1),
        names=named[0][1].data.columns,
        words=("points", "completed"),
        title=f"{_whose(named)}completions of points, {hidden_in_words(found[0].hide)} hidden",
        note=" ".join(drawn_in_words(named, found)),
    )


def _whose(named: Sequence[tuple[str, Run]]) -> str:
    """The model, for a title; of several models each row has the name of its own."""
    return f"{named[0][1].called}: " if len(named) == 1 else ""


def drawn_in_words(named: Sequence[tuple[str, Run]], found: Sequence[Completion]) -> list[str]:
    """How the hidden pixels were drawn, a sentence for each way."""
    ways: dict[str, list[str]] = {}
    for (name, _), completion in zip(named, found, strict=True):
        ways.setdefault(completion.how, []).append(name)
    return [f"{', '.join(names)}: {how}." if len(named) > 1 else f"Sampling: {how}." for how, names in ways.items()]


def completions(run: Run, count: int = IMAGES, seed: int = 0) -> Figure:
    """Test images with one half hidden, each of the four in turn, and draws of it given the other half."""
    return completions_of([("sample", run)], count, DRAWS, seed)


def completions_of(named: Sequence[tuple[str, Run]], count: int = IMAGES, draws: int = 1, seed: int = 0) -> Figure:
    """One picture of several runs: the same test images with each half hidden in turn, and the completions of each run.

    Args:      named: (name, run) of each block of rows. count: images. draws: completions of each. seed: random seed.
    Raises:    NotComputable, InputError: as `complete_runs`.
    """
    return completion_figure(named, complete_runs(named, "halves", count, draws, seed))


def _in_colour(images: Tensor) -> Tensor:
    """(N, 1 or 3, H, W) to (N, 3, H, W)."""
    return images.expand(-1, 3, -1, -1)

"""Rank several runs by their scores, with the uncertainty of the differences."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ancestral.core.errors import InputError
from ancestral.core.notebook import as_html
from ancestral.core.threads import keep_large_blocks
from ancestral.evaluation.differences import Difference, best_in_words, paired_difference, unpaired_difference
from ancestral.evaluation.likelihood import Request, counted, log_probs_with_errors
from ancestral.evaluation.score import Score, best_of, rank
from ancestral.evaluation.scoring import request_of, score_each
from ancestral.runs.run import Run

ROWS = 1000  # images compared at once
DEEPEST = 3  # depth of the search for run folders
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Comparison:
    """Runs ranked by their scores, the highest first.

    Args:      names, scores: of the runs. differences: between the first and each of the others.
    """

    names: list[str]
    scores: list[Score]
    differences: list[Difference]
    _repr_html_ = as_html

    @property
    def lines(self) -> list[str]:
        """Sentences that state which run has the best score, and how the errors were computed."""
        lines = best_in_words(self.names, self.scores, self.differences)
        if self.differences and not self.differences[0].paired:
            lines.append("stored scores are not paired: --paired compares image by image, which gives a smaller error")
        return lines


def runs_in(folder: Path) -> tuple[list[Run], list[str]]:
    """The runs in a folder and its subfolders, in the order of their paths.

    Returns:   the runs whose stored scores can be compared, and a line for each of the others.
    Raises:    InputError: the folder has no run.
    """
    found = sorted(_run_folders(folder, DEEPEST))
    if not found:
        raise InputError(f"{folder} is not a run folder and contains none: check the path")
    kept, left = [], []
    for path in found:
        run = Run(path)
        if not run.finished:
            left.append(f"{path} is omitted: its training is not finished (continue it with --resume)")
        elif not any(score.split == "test" for score in run.scores()):
            left.append(f"{path} is omitted: it has no score of test images (compute one with: ancestral evaluate)")
        else:
            kept.append(run)
    return kept, left


def _run_folders(folder: Path, depth: int) -> Iterator[Path]:
    """Run folders down to a depth; the inside of a run is not searched."""
    if (folder / "settings.json").is_file():
        yield folder
    elif depth and folder.is_dir():
        for inner in folder.iterdir():
            if not inner.name.startswith(".") and not inner.is_symlink():
                yield from _run_folders(inner, depth - 1)


def compare_runs(runs: Sequence[Run], paired: bool = False, progress: Progress | None = None) -> Comparison:
    """Rank runs by their stored scores on test images.

    Args:      paired: compute the score of each image again, with the method of the stored score, so that the error is
               that of the differences per image. Nothing is stored. progress: called with (images done, total images).
    Raises:    InputError: a run has no score; the scores are of different pixel spaces or images; or, with `paired`,
               the values cannot be computed again.
    """
    scores = [best_of(run.scores(), str(run.path)) for run in runs]
    order = rank(scores)
    ordered, scores = [runs[i] for i in order], [scores[i] for i in order]
    if paired and len(runs) > 1:
        _refuse_other_images(ordered, scores)
        first, *others = _values(ordered, scores, progress)
        differences = [paired_difference(first, other) for other in others]
    else:
        differences = [unpaired_difference(scores[0], other) for other in scores[1:]]
    return Comparison([run.path.name for run in ordered], scores, differences)


def compare_on(used: Sequence[tuple[Run, str]], samples: int = 0, progress: Progress | None = None) -> Comparison:
    """Compute the scores of runs on other data and rank the runs by them; nothing is stored.

    Args:      used: runs with their data replaced, and the split, as `runs.new_data.on_data` returns them.
               samples: latent draws per image for the importance-weighted bound; 0 gives the ELBO. progress: called
               with (images done, total images).
               Raises:    InputError: the runs have different pixel spaces. NotComputable: a run has no likelihood.
    """
    keep_large_blocks()
    held = [run.data.held(split) for run, split in used]
    advance = counted(progress, sum(map(len, held)))
    found = [
        score_each(run.load(), images, Request(samples), dataset=run.data.name, split=split, progress=advance)
        for (run, split), images in zip(used, held, strict=True)
    ]
    order = rank([score for score, *_ in found])
    runs, scores = [used[i][0] for i in order], [found[i][0] for i in order]
    values = [found[i][1] for i in order]
    differences = [paired_difference(values[0], other) for other in values[1:]]
    return Comparison([run.path.name for run in runs], scores, differences)


def _values(runs: Sequence[Run], scores: Sequence[Score], progress: Progress | None) -> list[Tensor]:
    """For each run, log p(x) or its bound of each image, shape (N,), nats."""
    keep_large_blocks()
    advance = counted(progress, sum(score.count for score in scores))
    return [
        log_probs_with_errors(
            run.load(), run.data.held(score.split, score.count), request_of(score.method), progress=advance
        )[0]
        for run, score in zip(runs, scores, strict=True)
    ]


def _refuse_other_images(runs: Sequence[Run], scores: Sequence[Score]) -> None:
    """Raises:    InputError: the runs were not scored on the same images in the same order."""
    for score in scores:
        request_of(score.method)
    first, *others = (run.data.held(score.split, score.count) for run, score in zip(runs, scores, strict=True))
    for run, other in zip(runs[1:], others, strict=True):
        alike = len(first) == len(other) and first.event_shape == other.event_shape
        pairs = zip(first.in_order(ROWS), other.in_order(ROWS), strict=True) if alike else ()
        if not alike or not all(torch.equal(*pair) for pair in pairs):
            raise InputError(f"{runs[0].path} and {run.path} were scored on different images: leave --paired out")

"""Several runs in the order of their scores, and how certain that order is."""

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
from ancestral.evaluation.likelihood import counted, log_probs, request_of, score_each
from ancestral.evaluation.score import Score, best_of, rank
from ancestral.runs.run import Run

ROWS = 1000  # images compared at once
DEEPEST = 3  # folders between a folder and the runs in it
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Comparison:
    """Runs by their scores, the highest first.

    Args:      names, scores: of the runs. differences: of the first from each of the others, one fewer.
    """

    names: list[str]
    scores: list[Score]
    differences: list[Difference]
    _repr_html_ = as_html

    @property
    def lines(self) -> list[str]:
        """Which run has the best score, if one has, and what the errors rest on."""
        lines = best_in_words(self.names, self.scores, self.differences)
        if self.differences and not self.differences[0].paired:
            lines.append(
                "stored scores are not paired: --paired takes the difference of each image, which has a smaller error"
            )
        return lines


def runs_in(folder: Path) -> tuple[list[Run], list[str]]:
    """The runs in a folder, and in folders of it that are no runs, in the order of their paths.

    Returns:   those whose stored scores can be compared, and a line for each of the others.
    Raises:    InputError: there is no run in it.
    """
    found = sorted(_run_folders(folder, DEEPEST))
    if not found:
        raise InputError(f"{folder} is not a run folder, and holds none")
    kept, left = [], []
    for path in found:
        run = Run(path)
        if not run.finished:
            left.append(f"{path} is left out: its training is not finished (--resume continues it)")
        elif not any(score.split == "test" for score in run.scores()):
            left.append(f"{path} is left out: it has no score of test images")
        else:
            kept.append(run)
    return kept, left


def _run_folders(folder: Path, depth: int) -> Iterator[Path]:
    """Folders with settings, down to a depth; what is inside a run is not looked at."""
    if (folder / "settings.json").is_file():
        yield folder
    elif depth and folder.is_dir():
        for inner in folder.iterdir():
            if not inner.name.startswith(".") and not inner.is_symlink():
                yield from _run_folders(inner, depth - 1)


def compare_runs(runs: Sequence[Run], paired: bool = False, progress: Progress | None = None) -> Comparison:
    """Order runs by their stored scores on test images.

    Args:      paired: compute the value of each image again, by the method of the stored score, so that the error of a
               difference is that of the differences of single images. Nothing is stored. progress: called with
               (images done, images in all).
    Raises:    InputError: a run has no such score; they are of different spaces or images; or, where `paired`, of
               values that cannot be computed again.
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
    """Order runs by their scores on other data, which are computed here; nothing is stored.

    Args:      used: runs with other data in place of their own, and the split, as `runs.new_data.on_data` gives them.
               samples: latent draws per image for the importance-weighted bound; 0 gives the ELBO. progress: called
               with (images done, images in all).
    Raises:    InputError: the data are of different spaces for the runs. NotComputable: a run has no likelihood.
    """
    keep_large_blocks()
    held = [run.data.held(split) for run, split in used]
    advance = counted(progress, sum(map(len, held)))
    found = [
        score_each(run.load(), images, dataset=run.data.name, split=split, samples=samples, progress=advance)
        for (run, split), images in zip(used, held, strict=True)
    ]
    order = rank([score for score, *_ in found])
    runs, scores = [used[i][0] for i in order], [found[i][0] for i in order]
    values = [found[i][1] for i in order]
    differences = [paired_difference(values[0], other) for other in values[1:]]
    return Comparison([run.path.name for run in runs], scores, differences)


def _values(runs: Sequence[Run], scores: Sequence[Score], progress: Progress | None) -> list[Tensor]:
    """log p(x) or its bound of each image by each run, shape (N,) each."""
    keep_large_blocks()
    advance = counted(progress, sum(score.count for score in scores))
    return [
        log_probs(run.load(), run.data.held(score.split, score.count), *request_of(score.method), progress=advance)[0]
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
            raise InputError(f"{runs[0].path} and {run.path} were not scored on the same images: they cannot be paired")

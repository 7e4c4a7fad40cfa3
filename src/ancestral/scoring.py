"""Scores of a run on its own data, stored with it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ancestral.errors import InputError
from ancestral.evaluation.likelihood import score
from ancestral.evaluation.score import Score
from ancestral.numerics import keep_large_blocks
from ancestral.run import Run


def score_run(
    run: Run | Path | str,
    split: str = "test",
    samples: int = 0,
    from_prior: bool = False,
    count: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Score:
    """Score a trained run on a split of its data and add the score to the run.

    Args:      run: the run or its folder. samples: latent draws per image (0: exact value or ELBO).
               from_prior: draw them from the prior. count: only the first so many images.
               progress: called with (images done, images in all).
    Raises:    NotComputable: the model has no likelihood. InputError: nothing to score.
    """
    keep_large_blocks()
    run = run if isinstance(run, Run) else Run(run)
    model = run.load()
    images = run.data.held(split, count)
    if not len(images):
        raise InputError(f"{run.path} has no {split} images")
    done = 0

    def advance(more: int) -> None:
        nonlocal done
        done += more
        if progress:
            progress(done, len(images))

    found = score(
        model,
        images,
        dataset=run.data.name,
        split=split,
        samples=samples,
        from_prior=from_prior,
        progress=advance,
    )
    run.add_score(found)
    return found

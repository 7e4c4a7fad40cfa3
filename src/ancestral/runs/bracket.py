"""Upper and lower bounds on log p(x) of a run (a bracket), and the gap of its usual bounds; stored with the run."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ancestral.core.errors import InputError, NotComputable
from ancestral.core.maths import mean_and_error
from ancestral.core.random import seed_for, seeded_noise
from ancestral.core.text import type_in_words
from ancestral.core.threads import keep_large_blocks
from ancestral.data.pixels import PixelBatches, PixelSpace
from ancestral.evaluation.annealing import Annealing, ais, refuse_to_anneal
from ancestral.evaluation.bracket_record import Bracket, BracketScore
from ancestral.evaluation.likelihood import Progress, counted, elbo, importance_weighted
from ancestral.evaluation.score import Score
from ancestral.models.base import LatentModel, SamplesJointly
from ancestral.runs.records import BRACKET
from ancestral.runs.run import Run

SIMULATED = "simulated"
CONDITIONS = (
    "For images that the model sampled itself, the latents are known, so annealed importance sampling gives an upper "
    "and a lower bound on log p(x): in expectation, the true mean is between them. For real images no exact sample of "
    "the posterior is known, so there is no upper bound. A narrow bracket on simulated images is evidence that the "
    "lower bound on real images is tight too."
)


def bracket_run(
    run: Run | Path | str,
    images: int = 100,
    plan: Annealing | None = None,
    samples: int = 5000,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Bracket:
    """Compute a bracket of log p(x) on images that the model samples, and lower bounds on as many test images.

    The record is stored with the run.

    Args:      run: the run or its folder. images: number of images of each kind. plan: settings of annealed importance
               sampling. samples: K of the importance-weighted bound. seed: random seed. progress: called with (moves
               done, total moves).
    Raises:    NotComputable: as `refuse_to_anneal`. InputError: numbers below one, or more images than there are.
    """
    keep_large_blocks()
    run, plan = run if isinstance(run, Run) else Run(run), plan or Annealing()
    whole = run.load()
    with torch.no_grad():
        model = refuse_to_anneal(whole, run.data.held("test").first(1).to(whole.dtype))
    if not isinstance(model, SamplesJointly):
        raise NotComputable(
            f"{type_in_words(model)} cannot sample images together with their latents, which a bracket needs"
        )
    if not 1 <= images <= len(run.data.dataset.test):
        raise InputError(f"--images {images}: choose from 1 to {len(run.data.dataset.test)}, the number of test images")
    if samples < 1:
        raise InputError(f"--samples {samples}: give at least 1 sample per image")
    with seeded_noise(seed_for(seed, "bracket")):
        x, z = model.sample_joint(images)
    drawn = PixelBatches(x, PixelSpace("points", 0))  # no conversion: x is already in the pixel space of the model
    advance = counted(progress, images * (plan.moves(backward=True) + plan.moves()))
    above, lower, simulated_rate = _rungs(run, model, drawn, SIMULATED, z, plan, samples, seed, advance)
    _, held, test_rate = _rungs(run, model, run.data.held("test", images), "test", None, plan, samples, seed, advance)
    record = Bracket((*above, *lower, *held), plan, (simulated_rate, test_rate), seed)
    BRACKET.add(run, record)
    return record


def _rungs(
    run: Run,
    model: LatentModel,
    images: PixelBatches,
    split: str,
    latents: Tensor | None,
    plan: Annealing,
    samples: int,
    seed: int,
    advance: Progress,
) -> tuple[list[BracketScore], list[BracketScore], float]:
    """For some images: the upper bound if their latents are known, the lower bounds, and the acceptance rate."""
    found = ais(model, images, plan, latents, seed, advance)
    space = run.data.space.describe(run.data.name) + (", simulated by the model" if latents is not None else "")
    what: dict[str, Any] = {"kind": "bound", "space": space, "split": split, "discrete": model.discrete}

    def compared(values: Tensor, method: str, side: str, draws: int) -> BracketScore:
        dimensions, gap = math.prod(images.event_shape), found.lower - values
        score = Score.of(values, method=method, side=side, samples=draws, dimensions=dimensions, **what)
        return BracketScore(score, *mean_and_error(gap))

    name = f"AIS_{plan.temperatures}"
    above = [] if found.upper is None else [compared(found.upper, f"{name}, bidirectional", "upper", plan.chains + 1)]
    lower = [
        compared(found.lower, name, "lower", plan.chains),
        compared(importance_weighted(model, images, samples, seed), f"IWAE_{samples}", "lower", samples),
        compared(elbo(model, images, seed), "ELBO", "lower", 1),
    ]
    return above, lower, found.acceptance.mean().item()

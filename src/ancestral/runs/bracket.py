"""A bracket around log p(x) of a run, and how far its usual bounds lie below it; stored with the run."""

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
from ancestral.core.threads import keep_large_blocks
from ancestral.data.pixels import PixelBatches, PixelSpace
from ancestral.evaluation.annealing import Annealing, ais, refuse_to_anneal
from ancestral.evaluation.bracket_record import Bracket, Rung
from ancestral.evaluation.likelihood import Progress, counted, elbo, importance_weighted
from ancestral.evaluation.score import Score
from ancestral.models.base import LatentModel, SamplesJointly
from ancestral.runs.records import BRACKET
from ancestral.runs.run import Run

SIMULATED = "simulated"
CONDITIONS = (
    "On images that the model drew itself the latents behind them are known, so annealed importance sampling bounds "
    "log p(x) from both sides: the true mean lies in the bracket, in expectation. On real images nobody knows a draw "
    "of the posterior, so there is no upper bound; that the bracket is narrow on simulated images is why the lower "
    "bound is to be trusted there."
)


def bracket_run(
    run: Run | Path | str,
    images: int = 100,
    plan: Annealing | None = None,
    samples: int = 5000,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Bracket:
    """Bracket log p(x) on images that a trained run draws, bound it on as many test images, and store the record.

    Args:      images: how many of each. plan: of the annealing. samples: K of the importance-weighted bound beside it.
               seed: of all draws. progress: called with (moves done, moves in all).
    Raises:    NotComputable: as `refuse_to_anneal`. InputError: numbers below one, or more images than there are.
    """
    keep_large_blocks()
    run, plan = run if isinstance(run, Run) else Run(run), plan or Annealing()
    whole = run.load()
    with torch.no_grad():
        model = refuse_to_anneal(whole, run.data.held("test").first(1).to(whole.dtype))
    if not isinstance(model, SamplesJointly):
        raise NotComputable(f"a {type(model).__name__} draws no images together with the latents behind them")
    if not 1 <= images <= len(run.data.dataset.test):
        raise InputError(f"--images {images}: choose from 1 to {len(run.data.dataset.test)}, the number of test images")
    if samples < 1:
        raise InputError(f"--samples {samples}: give a number of draws per image")
    with seeded_noise(seed_for(seed, "bracket")):
        x, z = model.sample_joint(images)
    drawn = PixelBatches(x, PixelSpace("points", 0))  # as they are: pixels of the model's own space already
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
) -> tuple[list[Rung], list[Rung], float]:
    """Of some images: the upper bound where latents are known, the lower bounds, and the rate of acceptance."""
    found = ais(model, images, plan, latents, seed, advance)
    space = run.data.space.describe(run.data.name) + (", simulated by the model" if latents is not None else "")
    what: dict[str, Any] = {"kind": "bound", "space": space, "split": split, "discrete": model.discrete}

    def rung(values: Tensor, method: str, side: str, draws: int) -> Rung:
        dimensions, gap = math.prod(images.event_shape), found.lower - values
        score = Score.of(values, method=method, side=side, samples=draws, dimensions=dimensions, **what)
        return Rung(score, *mean_and_error(gap))

    name = f"AIS_{plan.temperatures}"
    above = [] if found.upper is None else [rung(found.upper, f"{name}, bidirectional", "upper", plan.chains + 1)]
    lower = [
        rung(found.lower, name, "lower", plan.chains),
        rung(importance_weighted(model, images, samples, seed), f"IWAE_{samples}", "lower", samples),
        rung(elbo(model, images, seed), "ELBO", "lower", 1),
    ]
    return above, lower, found.acceptance.mean().item()

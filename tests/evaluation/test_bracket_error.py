"""The standard error of the gap between two bounds is that of their differences per image, not that of a bound."""

from __future__ import annotations

from pathlib import Path

import pytest

from ancestral import fit
from ancestral.core.maths import mean_and_error
from ancestral.core.random import seed_for, seeded_noise
from ancestral.data.pixels import PixelBatches, PixelSpace
from ancestral.evaluation.annealing import Annealing, ais
from ancestral.evaluation.likelihood import elbo
from ancestral.runs.bracket import bracket_run


def test_gaps_are_paired_image_by_image(tmp_path: Path) -> None:
    run = fit("vae", tmp_path / "run", latents=2, hidden=(16,), epochs=3)
    plan = Annealing(temperatures=4, chains=2, leapfrogs=1)
    record = bracket_run(run, 12, plan, samples=5, seed=3)
    model = run.load()
    with seeded_noise(seed_for(3, "bracket")):
        x, z = model.sample_joint(12)
    images = PixelBatches(x, PixelSpace("points", 0))
    gap = ais(model, images, plan, z, 3).lower - elbo(model, images, 3)
    (bound,) = [one for one in record.scores if one.score.method == "ELBO" and "simulated" in one.score.space]
    assert (bound.gap, bound.gap_stderr) == pytest.approx(mean_and_error(gap), rel=1e-4)
    assert bound.gap_stderr < bound.score.stderr  # images differ more from each other than the bounds of one do

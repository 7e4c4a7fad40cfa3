"""Particles: the mean of their weights estimates the probability of the observed pixels without bias."""

from __future__ import annotations

import math

import pytest
import torch
import zoo

from ancestral.core.random import seeded_noise
from ancestral.evaluation.enumeration import all_images
from ancestral.models import particles
from ancestral.models.autoregressive import AutoregressiveModel
from ancestral.models.particles import Particles

COPIES, COUNT = 3000, 4


@pytest.mark.parametrize("fewest", [0.5, 0.999])
@torch.no_grad()
def test_weights_of_particles_are_unbiased_for_any_resampling(fewest: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Observed pixels after missing ones, of two images at once, against the sum over all values of the missing."""
    monkeypatch.setattr(particles, "FEWEST", fewest)
    model = zoo.seeded(zoo.ZOO["made, deep"])
    assert isinstance(model, AutoregressiveModel)
    every = all_images(model)
    observed = torch.tensor([False, True, True, False, True, False, True, True, True])
    given = every[[3, len(every) - 5]].flatten(1) * observed
    alike = (every.flatten(1)[None] * observed == given[:, None]).all(2)  # (2, images)
    truth = (alike * model.log_prob(every).exp()).sum(1)
    with seeded_noise(2):
        tried = Particles(given.repeat(COPIES, 1), observed.expand(2 * COPIES, -1), COUNT)
        noise = torch.rand(len(tried.given), *model.event_shape, dtype=model.dtype)
        drawn = model.draw(noise, tried).flatten(1)
    assert torch.equal(drawn * observed, tried.given)
    anew = int(tried.log_evidence.count_nonzero())  # of 6000 images whose particles were drawn anew
    assert anew > 100 if fewest > 0.9 else anew == 0
    estimates = tried.total().exp().view(COPIES, 2)
    assert ((estimates.mean(0) - truth).abs() < 5 * estimates.std(0) / math.sqrt(COPIES)).all()
    # of a draw in proportion to the weights the missing pixels have their conditional mean
    shares = tried.final_weights().exp()[..., None] * drawn.view(2 * COPIES, COUNT, -1)
    joint = shares.sum(1).view(COPIES, 2, -1)  # unbiased for the mean pixel times p(observed)
    expected = (alike * model.log_prob(every).exp()) @ every.flatten(1)
    assert ((joint.mean(0) - expected).abs() < 5 * joint.std(0) / math.sqrt(COPIES) + 1e-12).all()

"""The Metropolis part of completing points leaves the model's distribution as it is, wherever chains start."""

from __future__ import annotations

import math

import pytest
import torch

from ancestral.core.random import seeded_noise
from ancestral.distributions.bijections import Permutation
from ancestral.families.flow.points import NormalizingFlow

CHAINS = 2000


@pytest.mark.parametrize("start", [0.0, 3.0])
@torch.no_grad()
def test_chains_converge_to_the_normal_distribution_of_an_untrained_flow(start: float) -> None:
    """Mean 0 and variance 1, within five standard errors; an observed coordinate never moves."""
    model = NormalizingFlow(Permutation(2), [2]).eval()
    observed = torch.tensor([[False, False], [False, True]]).repeat(CHAINS // 2, 1)
    with seeded_noise(4):
        now = model._after_metropolis(torch.full((CHAINS, 2), start), observed, torch.ones(2), sweeps=150)
    assert (now[1::2, 1] == start).all()
    for free in (now[::2, 0], now[::2, 1], now[1::2, 0]):
        error = 1 / math.sqrt(len(free))
        assert abs(free.mean().item()) < 5 * error and abs(free.square().mean().item() - 1) < 5 * math.sqrt(2) * error

"""Levels as input of networks, and the variance of Gaussian pixels."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from ancestral.distributions.pixels import CategoricalPixels, GaussianPixels, bernoulli_log_prob
from ancestral.families.autoregressive.made import MADE


def test_levels_become_numbers_from_0_to_1() -> None:
    pixels = CategoricalPixels(nn.Identity(), (1, 1, 3), 17)
    assert pixels.to_unit(torch.tensor([0.0, 8.0, 16.0])).tolist() == [0.0, 0.5, 1.0]


def test_an_autoregressive_network_sees_levels_from_minus_1_to_1() -> None:
    model = MADE([1, 1, 2], output="logistic", levels=5, hidden=[3], components=1)
    assert model.centred(torch.tensor([0.0, 1.0, 2.0, 4.0])).tolist() == [-1.0, -0.5, 0.0, 1.0]


@pytest.mark.parametrize("learned", [False, True])
def test_gaussian_pixels_have_the_variance_that_is_asked_for(learned: bool) -> None:
    pixels = GaussianPixels(nn.Identity(), [1, 1, 3], variance=0.25, learned=learned)
    found = pixels(torch.zeros(2, 1, 1, 3))
    assert torch.allclose(found.variance, torch.full((2, 1, 1, 3), 0.25), rtol=1e-2)


def test_a_bernoullis_log_probability_is_exact_for_every_logit() -> None:
    """Also where softplus is replaced by its argument: an error of e^-20 there would add up over pixels."""
    logits = torch.linspace(-60, 60, 4801, dtype=torch.float64)
    for x in (0.0, 1.0):
        exact = x * logits - torch.logaddexp(logits, torch.zeros_like(logits))
        assert torch.allclose(bernoulli_log_prob(logits, torch.full_like(logits, x)), exact, rtol=0, atol=1e-13)

"""Penalties on the gradient of a linear critic, whose gradient is known; and draws of the components of a mixture."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from ancestral.families.gan.step import gradient_penalty, r1_penalty
from ancestral.families.mixture.model import MixtureOfBernoullis

SLOPE = torch.tensor([1.0, 2.0, 2.0])  # of length 3


def critic(x: Tensor, labels: Tensor | None = None) -> Tensor:
    return x @ SLOPE


def test_penalties_of_a_known_gradient() -> None:
    real, fake = torch.randn(4, 3), torch.randn(4, 3)
    assert gradient_penalty(critic, real, fake, None).tolist() == pytest.approx([4.0] * 4)  # (3 - 1)^2
    assert r1_penalty(critic, real, None).tolist() == pytest.approx([4.5] * 4)  # 3^2 / 2


def test_components_are_sampled_with_their_probabilities() -> None:
    torch.manual_seed(0)
    model = MixtureOfBernoullis([1, 1, 1], components=2)
    model.set_probabilities(torch.tensor([0.9, 0.1]), torch.tensor([[0.99], [0.01]]))
    # the mean of a pixel is 0.892; that of 4000 draws has a standard deviation of 0.005
    assert model.sample(4000).mean().item() == pytest.approx(0.892, abs=0.025)

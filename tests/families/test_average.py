"""The moving average of a generator: the untrained weights lose their influence soon, whatever the decay."""

from __future__ import annotations

import torch

from ancestral.data.pixels import Batch
from ancestral.families.family import DataSpec
from ancestral.families.gan.model import build_gan
from ancestral.families.gan.settings import GANSettings
from ancestral.families.gan.step import AVERAGE_WARMUP, AdversarialStep, build_critic
from ancestral.settings.training import TrainingSettings
from ancestral.training.engine import build_engine


def test_the_average_follows_its_weights() -> None:
    """w_(t+1) = w_t + max(1 - decay, c / (c + t)) (newest - w_t): the first update replaces the untrained weights."""
    settings = GANSettings(latents=2, hidden=(4,), critic_hidden=(4,), average=0.999)
    torch.manual_seed(0)
    model = build_gan(settings, DataSpec((2,), 0, "points"))
    critic = build_critic(settings, (2,))
    step = AdversarialStep(
        build_engine("cpu", "32-true"), model, critic, settings, TrainingSettings(learning_rate=0.1), 50
    )
    expected = [parameter.detach().clone() for parameter in model.parameters()]
    for number in range(20):
        step(Batch(torch.randn(8, 2)), number)
        weight = max(1 - 0.999, AVERAGE_WARMUP / (AVERAGE_WARMUP + number))
        newest = [parameter.detach() for parameter in step.trained.parameters()]
        expected = [old + weight * (new - old) for old, new in zip(expected, newest, strict=True)]
        for average, wanted in zip(model.parameters(), expected, strict=True):
            assert torch.allclose(average, wanted, atol=1e-6)
        if number == 0:
            assert all(torch.equal(a, b) for a, b in zip(model.parameters(), newest, strict=True))

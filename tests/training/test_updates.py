"""One update: the learning rate times the gradient of the mean loss, with the optimiser of the settings."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from ancestral.data.pixels import Batch
from ancestral.models.base import ExactModel
from ancestral.settings.training import TrainingSettings
from ancestral.training.engine import PlainEngine
from ancestral.training.objectives import nll
from ancestral.training.steps import GradientStep

X = torch.tensor([[1.0, 0.0], [3.0, 4.0], [2.0, 2.0]])  # mean (2, 2)
START = torch.tensor([1.0, -2.0])


class Slope(ExactModel):
    """log p(x) = -w . x: the gradient of the mean loss is the mean of x."""

    event_shape, spaces, levels = (2,), ("points",), None

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(START.clone())

    def log_prob(self, x: Tensor) -> Tensor:
        return -x @ self.w


def after(x: Tensor, steps: int, total: int = 10, **settings: object) -> Tensor:
    """The weights after some updates on the same batch."""
    model = Slope()
    step = GradientStep(PlainEngine(), model, nll, TrainingSettings(**settings), total)  # type: ignore[arg-type]
    for number in range(steps):
        step(Batch(x), number)
    return model.w.detach()


def test_an_update_is_the_rate_times_the_gradient_of_the_mean() -> None:
    sgd = {"optimizer": "sgd", "learning_rate": 0.1}
    assert torch.allclose(after(X, 1, **sgd), START - 0.1 * X.mean(0))
    assert torch.allclose(after(X.repeat(5, 1), 1, **sgd), START - 0.1 * X.mean(0))
    assert torch.allclose(after(X, 3, **sgd), START - 0.3 * X.mean(0))  # no gradient is used twice


def test_each_update_has_its_rate() -> None:
    warm = {"optimizer": "sgd", "learning_rate": 0.4, "warmup_steps": 4}
    assert torch.allclose(after(X, 2, **warm), START - (0.1 + 0.2) * X.mean(0))
    falling = {"optimizer": "sgd", "learning_rate": 1.0, "schedule": "cosine"}
    rates = [0.5 * (1 + math.cos(math.pi * done / 4)) for done in range(4)]  # of four updates
    assert torch.allclose(after(X, 4, total=4, **falling), START - sum(rates) * X.mean(0))


def test_a_gradient_is_clipped_to_the_norm() -> None:
    sgd = {"optimizer": "sgd", "learning_rate": 0.1}
    assert torch.allclose(after(X, 1, clip_norm=0.5, **sgd), START - 0.1 * 0.5 * X.mean(0) / X.mean(0).norm())
    assert torch.allclose(after(X, 1, clip_norm=100.0, **sgd), START - 0.1 * X.mean(0))


def test_momentum_adds_earlier_gradients() -> None:
    found = after(X, 2, optimizer="sgd", learning_rate=0.1, momentum=0.9)
    assert torch.allclose(found, START - 0.1 * (1 + 1 + 0.9) * X.mean(0))


def test_decay_shrinks_weights_in_adamw_and_joins_the_gradient_in_adam() -> None:
    nothing = torch.zeros(1, 2)
    decayed = after(nothing, 1, optimizer="adamw", learning_rate=0.1, weight_decay=0.5)
    assert torch.allclose(decayed, START * (1 - 0.1 * 0.5))
    # the first update of Adam has the size of the rate, whatever the gradient
    moved = after(nothing, 1, optimizer="adam", learning_rate=0.1, weight_decay=0.5)
    assert torch.allclose(moved, START - 0.1 * START.sign(), atol=1e-6)


@pytest.mark.parametrize("beta1", [0.5, 0.9])
def test_adams_first_moment_has_the_decay_of_the_settings(beta1: float) -> None:
    """After a gradient g and one of zero the corrected mean is beta1 g / (1 + beta1), by hand."""
    model = Slope()
    settings = TrainingSettings(learning_rate=0.1, beta1=beta1)
    step = GradientStep(PlainEngine(), model, nll, settings, 10)
    step(Batch(X), 0)
    before = model.w.detach().clone()
    step(Batch(torch.zeros(1, 2)), 1)
    mean, square = beta1 / (1 + beta1), 0.999 / (1 + 0.999)  # in units of g and of g^2
    assert torch.allclose(before - model.w.detach(), torch.full((2,), 0.1 * mean / math.sqrt(square)), atol=1e-5)

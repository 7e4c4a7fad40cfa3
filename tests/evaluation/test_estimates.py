"""Estimates from several latent samples: value and error for known weights, and the mode of models."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from ancestral.data.pixels import PixelBatches, PixelSpace
from ancestral.evaluation import likelihood
from ancestral.models.base import LatentModel

IMAGE = PixelBatches(torch.zeros(1, 1, 1, 1, dtype=torch.uint8), PixelSpace("threshold", 2))


class Weights(LatentModel):
    """A model whose weights are 1 and 3 in turn, over all draws that are asked for."""

    event_shape, spaces, levels = (1, 1, 1), ("threshold",), 2

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[int] = []
        self.modes: list[bool] = []

    def log_weights(self, x: Tensor, k: int) -> Tensor:
        first = sum(self.asked)
        self.asked.append(k)
        self.modes.append(self.training)
        return (1.0 + 2 * ((first + torch.arange(k)) % 2)).log().expand(len(x), k)


@pytest.mark.parametrize("samples", [2, 12, 14, 30])
def test_known_weights_give_their_mean_and_its_error(samples: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the last draws are fewer than those computed together: of 30, parts of 12, 12 and 6."""
    monkeypatch.setattr(likelihood, "ROWS", 12)
    model = Weights()
    values, errors, _ = likelihood.log_probs_with_errors(model, IMAGE, likelihood.Request(samples))
    assert errors is not None and sum(model.asked) == samples and max(model.asked) <= 12
    assert values.tolist() == pytest.approx([math.log(2)])
    deviation = math.sqrt(samples / (samples - 1))  # of samples that are 1 from their mean, half on each side
    assert errors.tolist() == pytest.approx([deviation / math.sqrt(samples) / 2])


def test_models_are_scored_in_evaluation_mode_and_left_as_they_were() -> None:
    for training in (True, False):
        model = Weights().train(training)
        likelihood.importance_weighted(model, IMAGE, 2)
        assert model.modes == [False] and model.training == training

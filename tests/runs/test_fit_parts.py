"""What a training is made of: weights of its seed, a schedule over all epochs, held-out images beside its draws."""

from __future__ import annotations

import pytest
import torch

from ancestral.data.pixels import PixelBatches, PixelSpace
from ancestral.families.run_settings import settings_for
from ancestral.models.base import LatentModel
from ancestral.runs.fit import build_step, initial_model
from ancestral.runs.run_data import RunData
from ancestral.runs.validation import _sample_readings, held_out_losses
from ancestral.training.engine import PlainEngine


def test_each_seed_has_its_own_initial_weights() -> None:
    weights = []
    for seed in (0, 1, 0):
        settings = settings_for("mixture", data="digits", pixels="threshold", components=3, seed=seed)
        weights.append(initial_model(settings, RunData(settings.data)).state_dict()["w"])
    assert torch.equal(weights[0], weights[2]) and not torch.equal(weights[0], weights[1])


def test_the_schedule_is_over_all_epochs() -> None:
    for family, own in (("mixture", {"pixels": "threshold", "components": 3}), ("gan", {"latents": 2})):
        settings = settings_for(family, data="digits", epochs=7, batch_size=100, train_size=350, **own)
        data = RunData(settings.data)
        train = data.training(0)
        step = build_step(settings, PlainEngine(), initial_model(settings, data), train)
        assert step.total_steps == 7 * 4  # type: ignore[attr-defined]


def test_samples_of_a_training_are_compared_with_validation_images() -> None:
    settings = settings_for("gan", data="digits", pixels="unit", latents=2)
    data = RunData(settings.data)
    found = _sample_readings(settings, data, torch.device("cpu"))
    assert torch.equal(found.x, data.held("valid").first(512))


class Parts(LatentModel):
    """A bound whose divergence is 1 nat in the first latent, 0 in the second, and 0 or 0.03 in the third."""

    event_shape, spaces, levels = (1, 1, 1), ("threshold",), 2

    def elbo_parts(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return -5 * torch.ones(len(x)), torch.stack([1 + 0 * x, 0 * x, 0.03 * x], 1).flatten(1)


def test_a_latent_is_active_by_its_mean_divergence_over_images() -> None:
    images = PixelBatches(torch.tensor([0, 1, 1, 0], dtype=torch.uint8).view(4, 1, 1, 1), PixelSpace("threshold", 2))
    found = held_out_losses(Parts(), images)
    assert found == pytest.approx({"negative_elbo": 6.015, "reconstruction": 5, "kl": 1.015, "active_units": 2})

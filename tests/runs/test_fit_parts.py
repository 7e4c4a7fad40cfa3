"""What a training is made of: weights of its seed, a schedule over all epochs, held-out images beside its draws."""

from __future__ import annotations

import torch

from ancestral.families.run_settings import settings_for
from ancestral.runs.fit import _sample_readings, build_step, initial_model
from ancestral.runs.run_data import RunData
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


def test_draws_of_a_training_stand_beside_validation_images() -> None:
    settings = settings_for("gan", data="digits", pixels="unit", latents=2)
    data = RunData(settings.data)
    found = _sample_readings(settings, data, torch.device("cpu"))
    assert torch.equal(found.x, data.held("valid").first(512))

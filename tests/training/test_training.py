"""Steps and data order: monotonic expectation-maximisation, learning rates of schedules, and content of batches."""

from __future__ import annotations

import pytest
import torch

from ancestral.data.datasets import load_dataset
from ancestral.data.pixels import Batch, PixelBatches, PixelSpace
from ancestral.families.build import build_model
from ancestral.families.family import DataSpec
from ancestral.families.mixture.em_step import EMStep
from ancestral.families.mixture.model import MixtureOfBernoullis
from ancestral.families.run_settings import settings_for
from ancestral.runs.run_data import RunData
from ancestral.runs.validation import validation
from ancestral.settings.training import TrainingSettings
from ancestral.training.steps import learning_rate_at

DIGITS = load_dataset("digits")


def em_model() -> MixtureOfBernoullis:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return MixtureOfBernoullis([1, 8, 8], 10, weight_scale=0.5).double()


def test_expectation_maximisation_never_goes_down() -> None:
    """The log-likelihood plus the Beta prior's log-density rises with every epoch, down to rounding."""
    model, smoothing = em_model(), 0.5
    step = EMStep(model, smoothing)
    x = PixelBatches(DIGITS.train.images, PixelSpace("threshold", 17)).first(1000).double()
    values = []
    for epoch in range(25):
        parts = [step(Batch(part), epoch)["loss"] for part in x.split(300)]
        with torch.no_grad():
            p = model.logits.sigmoid()
            prior = smoothing * (p.log() + (1 - p).log()).sum() + smoothing * model.component_probs.log().sum()
        values.append((-torch.cat(parts).sum() + prior).item())
        step.end_epoch()
    gains = torch.tensor(values).diff()
    assert (gains >= -1e-6).all()
    assert gains[0] > 100  # it really climbs


def test_one_component_is_the_smoothed_frequency_of_each_pixel() -> None:
    model = MixtureOfBernoullis([1, 8, 8], 1).double()
    step = EMStep(model, 0.5)
    x = PixelBatches(DIGITS.train.images, PixelSpace("threshold", 17)).first(1000).double()
    step(Batch(x), 0)
    step.end_epoch()
    assert torch.allclose(model.component_images[0].flatten(), (x.flatten(1).sum(0) + 0.5) / 1001)


@pytest.mark.parametrize("batch_size", [1, 7, 100, 1000, 5000])
def test_an_epoch_has_each_image_once_with_a_last_smaller_batch(batch_size: int) -> None:
    images = torch.arange(123, dtype=torch.uint8).reshape(-1, 1, 1, 1)
    batches = PixelBatches(images, PixelSpace("levels", 256), seed=1)
    seen = torch.cat([batch.x for batch in batches.shuffled(0, batch_size)]).flatten()
    assert torch.equal(seen.sort().values, torch.arange(123.0))
    assert not torch.equal(seen, torch.arange(123.0))


def test_order_is_a_pure_function_of_seed_and_epoch() -> None:
    images = torch.arange(200, dtype=torch.uint8).reshape(-1, 1, 1, 1)

    def order(seed: int, epoch: int, first: int = 0) -> torch.Tensor:
        batches = PixelBatches(images, PixelSpace("levels", 256), seed=seed)
        return torch.cat([batch.x for batch in batches.shuffled(epoch, 32, first)]).flatten()

    torch.manual_seed(9)
    assert torch.equal(order(0, 3), order(0, 3))
    assert not torch.equal(order(0, 3), order(0, 4))
    assert not torch.equal(order(0, 3), order(1, 3))
    assert torch.equal(order(0, 3, first=2), order(0, 3)[64:])  # resumed in the middle


def test_binary_pixels_are_sampled_each_epoch_with_probability_equal_to_their_grey_value() -> None:
    images = torch.tensor([0, 51, 128, 255], dtype=torch.uint8).repeat(5000).reshape(-1, 1, 1, 4)
    batches = PixelBatches(images, PixelSpace("binary", 256), fresh=True)
    epochs = [torch.cat([batch.x for batch in batches.shuffled(epoch, 1000)]) for epoch in range(2)]
    assert not torch.equal(*epochs)
    rates = epochs[0].mean((0, 1, 2))
    assert rates[0] == 0
    assert rates[3] == 1
    assert rates[1].item() == pytest.approx(0.2, abs=0.025)
    assert rates[2].item() == pytest.approx(128 / 255, abs=0.03)


def test_evaluation_and_static_pixels_do_not_depend_on_the_seed() -> None:
    images = DIGITS.test.images
    draws = [PixelBatches(images, PixelSpace("binary", 17), seed=seed).first(400) for seed in (0, 1)]
    assert torch.equal(*draws)
    assert torch.equal(PixelBatches(images, PixelSpace("static", 17), seed=3, fresh=True).first(400), draws[0])


@pytest.mark.parametrize(("name", "top"), [("threshold", 1), ("levels", 16), ("unit", 1)])
def test_pixel_spaces_of_17_levels(name: str, top: float) -> None:
    raw = torch.arange(17, dtype=torch.uint8)
    x = PixelSpace(name, 17).convert(raw)
    assert x.max() == top
    assert x.min() == 0
    if name == "threshold":
        assert torch.equal(x, (raw.float() / 16 > 0.5).float())
    assert torch.allclose(PixelSpace(name, 17).to_unit(x), x / top)


def test_the_learning_rate_warms_up_and_decays_to_zero() -> None:
    settings = TrainingSettings(learning_rate=2.0, schedule="cosine", warmup_steps=10)
    rates = [learning_rate_at(step, 110, settings) for step in range(110)]
    assert rates[:10] == pytest.approx([0.2 * (i + 1) for i in range(10)])
    assert rates[60] == pytest.approx(1.0)
    assert rates[-1] < 0.01
    constant = TrainingSettings(learning_rate=2.0)
    assert {learning_rate_at(step, 110, constant) for step in range(110)} == {2.0}


def test_held_out_readings_use_the_true_bound_for_any_training_weights() -> None:
    """Selection is by the true bound: beta and the importance-weighted loss of the training do not enter."""
    settings = {"data": "digits", "pixels": "threshold", "latents": 2, "hidden": (8,)}
    found = []
    for objective in ({"objective": "elbo", "beta": 10.0}, {"objective": "iwae"}):
        chosen = settings_for("vae", **settings, **objective)
        data = RunData(chosen.data)
        with torch.random.fork_rng():
            torch.manual_seed(0)
            model = build_model(chosen.family, chosen.model, DataSpec(data.event_shape, 17, "threshold"))
        found.append(validation(chosen, data, model, torch.device("cpu"))(model))
    assert found[0] == found[1]
    values = {reading.name: reading.value for reading in found[0]}
    assert list(values) == ["negative_elbo", "reconstruction", "kl", "active_units"]
    assert values["negative_elbo"] == pytest.approx(values["reconstruction"] + values["kl"])

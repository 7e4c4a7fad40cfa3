"""Averaged weights: their formula, their use in validation and in the saved model, and resumed trainings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import killed_at
from same_runs import assert_same
from torch import nn

import ancestral
from ancestral.core.errors import InputError
from ancestral.training.averaging import AveragedWeights
from ancestral.training.checkpoint import optimizer_tensors, restore_optimizer

BRIEF: dict[str, Any] = {"train_size": 200, "valid_size": 50, "epochs": 3, "batch_size": 20, "hidden": (8,)}
DECAY = 0.9


def test_the_average_follows_its_formula_and_the_weights_come_back_exactly() -> None:
    torch.manual_seed(0)
    model = nn.Linear(2, 3)
    averaged, expected = AveragedWeights(model, 0.5), model.weight.detach().clone()
    for step in range(20):
        with torch.no_grad():
            model.weight.add_(torch.randn(3, 2))
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * model.weight.detach()
        averaged.update(step)
    latest = model.weight.detach().clone()
    with averaged.in_use():
        assert torch.allclose(model.weight, expected, atol=1e-6)
        assert not torch.allclose(model.weight, latest, atol=1e-3)
    assert torch.equal(model.weight, latest)
    with pytest.raises(ZeroDivisionError), averaged.in_use():
        _ = 1 // 0
    assert torch.equal(model.weight, latest)


def test_a_frozen_weight_is_its_own_average_to_the_bit() -> None:
    model = nn.Linear(50, 50)
    averaged, before = AveragedWeights(model, 0.77), model.weight.detach().clone()
    for step in range(30):
        averaged.update(step)
    assert torch.equal(averaged.averages["weight"], before)


def test_averages_of_another_model_are_refused() -> None:
    with pytest.raises(InputError, match="averaged weights"):
        AveragedWeights(nn.Linear(2, 3), 0.5).restore(AveragedWeights(nn.Linear(3, 3), 0.5).state())


def fitted(out: Path, **settings: Any) -> ancestral.Run:
    return ancestral.fit("vae", out, **{**BRIEF, "latents": 2, "pixels": "threshold", **settings})


def test_validation_uses_the_average_and_the_steps_do_not(tmp_path: Path) -> None:
    """The training losses are those of a training without averages; validation and the saved model differ."""
    plain, averaged = fitted(tmp_path / "plain"), fitted(tmp_path / "averaged", average_weights=DECAY)
    losses = [[line.value for line in run.log() if line.split == "train"] for run in (plain, averaged)]
    assert losses[0] == losses[1]
    valid = [
        [line.value for line in run.log() if line.name == "negative_elbo" and line.split == "valid"]
        for run in (plain, averaged)
    ]
    assert all(a != b for a, b in zip(*valid, strict=True))
    weights = [run.load().state_dict() for run in (plain, averaged)]
    assert all(not torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_the_saved_model_has_the_average_that_formula_and_log_say(tmp_path: Path) -> None:
    """From the weights of trainings that stop after each epoch, with one step in each epoch."""
    whole = {"train_size": 200, "batch_size": 200, "validate_every": None}
    weights = [fitted(tmp_path / f"to-{e}", epochs=e, **whole, valid_size=0).load().state_dict() for e in (1, 2, 3)]
    found = fitted(tmp_path / "averaged", epochs=3, average_weights=DECAY, **whole, valid_size=0).load().state_dict()
    for name, value in found.items():
        later = [state[name] for state in weights]
        decays = [min(DECAY, (1 + step) / (10 + step)) for step in range(3)]
        rest = value - (1 - decays[2]) * later[2] - decays[2] * (1 - decays[1]) * later[1]
        rest = rest - decays[2] * decays[1] * (1 - decays[0]) * later[0]
        assert rest.abs().max() < decays[0] * decays[1] * decays[2] * 1.5  # what is left is its share of w0


@pytest.mark.parametrize("precision", ["32-true", pytest.param("bf16-mixed", marks=pytest.mark.slow)])
@pytest.mark.parametrize("family", ["vae", "any-order"])
def test_a_killed_and_resumed_training_is_the_same_to_the_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, family: str, precision: str
) -> None:
    settings: dict[str, Any] = {**BRIEF, "average_weights": DECAY, "precision": precision, "clip_norm": 5.0}
    if family == "any-order":
        del settings["hidden"]
        settings |= {"width": 6, "dense": 8}

    def train(out: str, resume: bool = False) -> Any:
        return ancestral.fit(family, tmp_path / out, resume=resume, checkpoint_seconds=0.0, **settings)

    train("reference")
    assert killed_at(20, monkeypatch, lambda: train("run"))
    train("run", resume=True)
    assert_same(tmp_path / "run", tmp_path / "reference")


def test_the_moments_of_an_optimiser_get_the_layout_of_their_weights() -> None:
    """The fused optimisers go through the memory of weight and moments in parallel."""

    def trained(restored: bool) -> torch.Tensor:
        torch.manual_seed(0)
        layer = nn.Conv2d(3, 5, 2).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        optimiser = torch.optim.Adam(layer.parameters(), fused=True)
        for step in range(4):
            if step == 2 and restored:
                moments = {name: value.contiguous().clone() for name, value in optimizer_tensors(optimiser).items()}
                optimiser = torch.optim.Adam(layer.parameters(), fused=True)
                restore_optimizer(optimiser, moments)
            optimiser.zero_grad()
            layer(torch.randn(2, 3, 4, 4)).square().sum().backward()
            optimiser.step()
        return layer.weight.detach()

    assert torch.equal(trained(True), trained(False))


def test_frozen_parts_and_training_without_gradients(tmp_path: Path) -> None:
    first = fitted(tmp_path / "first")
    second = fitted(
        tmp_path / "second", init_from=str(first.path), freeze=("encoder",), average_weights=DECAY, epochs=1
    )
    before, after = first.load().state_dict(), second.load().state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before if name.startswith("encoder"))
    settings = {**BRIEF, "components": 3, "method": "em"}
    del settings["hidden"]
    runs = [ancestral.fit("mixture", tmp_path / f"em-{d}", average_weights=d, **settings) for d in (None, DECAY)]
    states = [run.load().state_dict() for run in runs]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


@pytest.mark.parametrize("decay", [0.0, 1.0, -0.5, 1.5])
def test_a_decay_outside_its_range_is_refused(decay: float) -> None:
    with pytest.raises(InputError, match="--average-weights"):
        ancestral.fit("vae", "nowhere", average_weights=decay)

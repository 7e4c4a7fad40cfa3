"""Lightning's Trainer with a model and an objective of this package: the same training, to the bit."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import refused
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import ancestral

pl = pytest.importorskip("pytorch_lightning")

from ancestral.lightning import GenerativeData, LightningGenerative, RunFolder  # noqa: E402

SETTINGS: dict[str, Any] = {"data": "digits", "latents": 3, "hidden": (16,)}
EPOCHS = 30  # 240 updates


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def trainer(*callbacks: Any, epochs: int = EPOCHS) -> Any:
    return pl.Trainer(
        accelerator="cpu",
        max_epochs=epochs,
        callbacks=list(callbacks),
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_the_same_training_by_both_ways(tmp_path: Path, schedule: str) -> None:
    chosen: dict[str, Any] = {"schedule": schedule, "warmup_steps": 5, "learning_rate": 2e-3, "seed": 4}
    plain = ancestral.fit("vae", tmp_path / "plain", epochs=EPOCHS, **SETTINGS, **chosen)
    data = GenerativeData("digits", seed=4)
    module = LightningGenerative(
        ancestral.build("vae", **SETTINGS, seed=4), training=ancestral.TrainingSettings(epochs=EPOCHS, **chosen)
    )
    trainer(RunFolder(tmp_path / "run", data)).fit(module, data)
    run = ancestral.Run(tmp_path / "run", into=ancestral.build("vae", **SETTINGS))
    ours, theirs = ancestral.evaluate(plain), ancestral.evaluate(run)
    if schedule == "constant":
        weights = plain.load().state_dict()
        assert all(torch.equal(weights[name], tensor) for name, tensor in run.load().state_dict().items())
        assert ours.nats == theirs.nats
    else:  # the Trainer's rate is that of ours times a factor: it may differ in the last bit
        assert ours.nats == pytest.approx(theirs.nats, abs=0.01)
    logged = {(line.step, line.split, line.name): line.value for line in run.log()}
    for line in plain.log():
        if line.split == "valid":
            assert logged[line.step, "valid", line.name] == pytest.approx(
                line.value, rel=1e-6 if schedule == "constant" else 1e-3
            )
    assert run.finished and all(check.passed for check in ancestral.verify(run))


def test_binary_pixels_are_drawn_as_in_a_run(tmp_path: Path) -> None:
    data = GenerativeData("digits", pixels="binary")
    module = LightningGenerative(ancestral.build("made", data="digits", pixels="binary", hidden=(8,)))
    trainer(RunFolder(tmp_path / "run", data), epochs=3).fit(module, data)
    plain = ancestral.fit("made", tmp_path / "plain", data="digits", pixels="binary", hidden=(8,), epochs=3)
    weights = plain.load().state_dict()
    assert all(torch.equal(weights[name], tensor) for name, tensor in module.model.state_dict().items())


def test_the_best_weights_by_validation_are_stored(tmp_path: Path) -> None:
    """A rate at which the last epochs are worse than an earlier one."""
    data = GenerativeData("digits")
    module = LightningGenerative(
        ancestral.build("vae", **SETTINGS), training=ancestral.TrainingSettings(learning_rate=0.2)
    )
    trainer(RunFolder(tmp_path / "run", data), epochs=12).fit(module, data)
    run = ancestral.Run(tmp_path / "run", into=ancestral.build("vae", **SETTINGS))
    losses = {line.step: line.value for line in run.log() if line.split == "valid" and line.name == "negative_elbo"}
    best = min(losses, key=losses.__getitem__)
    assert best != max(losses), "the last weights are not the best ones here"
    assert run.outcome["steps"] == best
    plain = ancestral.fit("vae", tmp_path / "plain", **SETTINGS, learning_rate=0.2, epochs=12)
    weights = plain.load().state_dict()  # those with the best validation loss, which is not that of the last epoch
    assert all(torch.equal(weights[name], tensor) for name, tensor in run.load().state_dict().items())


def test_batches_of_a_loader_of_one_s_own(tmp_path: Path) -> None:
    images = torch.rand(300, 1, 8, 8).round()
    module = LightningGenerative(ancestral.build("vae", **SETTINGS))
    before = module.model.encoder.network.layers[0].weight.clone()
    loader = DataLoader(TensorDataset(images, torch.zeros(300).long()), batch_size=50, shuffle=True)
    trainer(RunFolder(tmp_path / "run", "digits"), epochs=1).fit(module, loader)
    assert not torch.equal(module.model.encoder.network.layers[0].weight, before)
    assert ancestral.Run(tmp_path / "run", into=ancestral.build("vae", **SETTINGS)).finished


def test_what_cannot_be_trained_is_refused(tmp_path: Path) -> None:
    vae = ancestral.build("vae", **SETTINGS)
    refused(lambda: LightningGenerative(ancestral.build("gan", data="digits")), "objective")
    refused(lambda: LightningGenerative(nn.Linear(1, 1)), "ancestral.Model, not a Linear")

    def mean(model: Any, batch: ancestral.Batch) -> dict[str, Tensor]:
        return {"loss": -model.elbo(batch.x).mean()}

    data = GenerativeData("digits")
    refused(lambda: trainer(epochs=1).fit(LightningGenerative(vae, mean), data), "shape (B,)", "B = ")
    grey = ancestral.build("vae", data="digits", pixels="levels", latents=2, hidden=(8,))
    refused(
        lambda: trainer(epochs=1).fit(LightningGenerative(grey), data), "these data have threshold pixels", "levels"
    )
    (tmp_path / "held").mkdir()
    (tmp_path / "held" / "file").touch()
    refused(lambda: RunFolder(tmp_path / "held", data), "not empty")
    refused(lambda: GenerativeData("no such set"), "unknown")
    refused(lambda: GenerativeData(ancestral.DataSettings("digits"), pixels="unit"), "pixels")

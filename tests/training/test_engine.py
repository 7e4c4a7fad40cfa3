"""Engines: results of the plain engine are bit-identical to those of Fabric, and Fabric is used only if needed."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning_fabric import Fabric
from torch import nn
from torch.optim import SGD, Adam

from ancestral import fit
from ancestral.core.errors import InputError
from ancestral.training.engine import PlainEngine, build_engine
from ancestral.training.steps import eager

TINY: dict[str, Any] = {"data": "digits", "train_size": 96, "valid_size": 32, "batch_size": 32, "epochs": 2}
WAYS: dict[str, tuple[str, dict[str, Any]]] = {
    "adam, clipped": ("vae", {"clip_norm": 1.0}),
    "adamw": ("vae", {"optimizer": "adamw", "weight_decay": 0.1}),
    "adamax": ("vae", {"optimizer": "adamax"}),
    "rmsprop": ("vae", {"optimizer": "rmsprop", "momentum": 0.9}),
    "sgd, clipped": ("vae", {"optimizer": "sgd", "momentum": 0.9, "clip_norm": 0.5}),
    "a game": ("gan", {"clip_norm": 1.0, "r1": 1.0}),
}


def results(folder: Path, family: str, settings: dict[str, Any]) -> tuple[bytes, list[Any]]:
    hidden = {"hidden": (16,), "latents": 3} | ({"critic_hidden": (16,)} if family == "gan" else {})
    run = fit(family, folder, device="cpu", **TINY, **hidden, **settings)
    readings = [(line.split, line.name, line.step, line.value) for line in run.log()]
    return (run.model_folder / "model.safetensors").read_bytes(), readings


@pytest.mark.parametrize("way", WAYS)
def test_weights_and_log_are_those_of_fabric(way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fabric, with torch's optimisers as they are, leaves the same weights and the same log."""
    plain = results(tmp_path / "plain", *WAYS[way])
    monkeypatch.setattr("ancestral.runs.fit.build_engine", lambda device, precision: Fabric(accelerator="cpu"))
    monkeypatch.setattr("ancestral.training.steps.eager", lambda kind: kind)
    assert results(tmp_path / "fabric", *WAYS[way]) == plain


def test_fabric_only_where_it_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(build_engine("cpu", "32-true"), PlainEngine)
    assert isinstance(build_engine("cpu", "64-true"), Fabric)
    assert isinstance(build_engine("cpu", "bf16-mixed"), Fabric)
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: False)
    assert isinstance(build_engine("auto", "32-true"), PlainEngine)
    asked: list[dict[str, Any]] = []
    monkeypatch.setattr("lightning_fabric.Fabric", lambda **settings: asked.append(settings))
    build_engine("cuda:1", "32-true")
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    build_engine("auto", "16-mixed")
    build_engine("auto", "32-true")
    assert asked == [
        {"accelerator": "cuda", "devices": [1], "precision": "32-true"},
        {"accelerator": "auto", "devices": 1, "precision": "16-mixed"},
        {"accelerator": "auto", "devices": 1, "precision": "32-true"},
    ]


@pytest.mark.parametrize("device", ["nonsense", "cpu:x", "cuda:99"])
def test_a_device_that_is_not_here_is_refused_in_one_line(device: str) -> None:
    with pytest.raises(InputError, match=f"device '{device}' cannot be used: ") as refused:
        build_engine(device, "32-true")
    assert "\n" not in str(refused.value)


def test_a_missing_fabric_is_refused_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lightning_fabric", None)
    with pytest.raises(InputError, match="device 'cuda' cannot be used: import of lightning_fabric"):
        build_engine("cuda", "32-true")


def test_a_gradient_that_is_not_finite_is_not_clipped() -> None:
    for engine in (PlainEngine(), Fabric(accelerator="cpu")):
        network = nn.Linear(2, 1)
        module, optimizer = engine.setup(network, SGD(network.parameters()))
        engine.backward((module(torch.ones(1, 2)) * torch.inf).sum())
        with pytest.raises(RuntimeError, match="non-finite"):
            engine.clip_gradients(module, optimizer, max_norm=1.0, error_if_nonfinite=True)


def test_an_eager_optimiser_keeps_torchs_class_and_hooks() -> None:
    network = nn.Linear(2, 1)
    optimizer = eager(Adam)(network.parameters(), fused=True)
    calls: list[str] = []
    optimizer.register_step_pre_hook(lambda *arguments: calls.append("before"))
    optimizer.register_step_post_hook(lambda *arguments: calls.append("after"))
    network(torch.ones(3, 2)).sum().backward()
    optimizer.step()
    assert isinstance(optimizer, Adam) and type(optimizer).__name__ == "Adam"
    assert calls == ["before", "after"]
    assert not any(tensor.requires_grad for state in optimizer.state.values() for tensor in state.values())

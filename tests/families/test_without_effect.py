"""Settings that have no effect beside the others are named; those that have one are not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from helpers import Captured, refused, train_without_page

from ancestral.families.run_settings import setting_names, without_effect
from ancestral.settings.data import DataSettings
from ancestral.settings.training import TrainingSettings
from ancestral.sweeps.plan import Plan

CASES: list[tuple[str, dict[str, Any], set[str]]] = [
    ("vae", {}, set()),
    ("vae", {"momentum": 0.5}, {"momentum"}),
    ("vae", {"momentum": 0.5, "optimizer": "sgd"}, set()),
    ("vae", {"momentum": 0.5, "optimizer": "rmsprop"}, set()),
    ("vae", {"beta1": 0.5, "optimizer": "sgd"}, {"beta1"}),
    ("vae", {"beta1": 0.5, "optimizer": "adamax"}, set()),
    ("vae", {"watch_size": 9}, {"watch_size"}),
    ("vae", {"watch_size": 9, "watch": ("test",)}, set()),
    ("vae", {"samples_at": (3,), "epochs": 2}, {"samples_at"}),
    ("vae", {"samples_at": (0, 3), "epochs": 2}, set()),
    ("vae", {"channels": (4,), "strides": (1,)}, {"channels", "strides"}),
    ("vae", {"channels": (4,), "strides": (1,), "network": "cnn"}, set()),
    ("vae", {"hidden": (4,), "network": "cnn"}, {"hidden"}),
    ("vae", {"variance": 0.1, "likelihood": "logistic"}, {"variance"}),
    ("vae", {"variance": 0.1}, set()),
    ("vae", {"components": 4}, {"components"}),
    ("vae", {"components": 4, "prior": "vamp"}, set()),
    ("vae", {"free_bits": 1.0, "beta": 2.0, "objective": "dreg"}, {"free_bits", "beta"}),
    ("vae", {"free_bits": 1.0, "importance_samples": 3}, {"importance_samples"}),
    ("autoencoder", {"strides": (1,), "channels": (3,)}, {"strides", "channels"}),
    ("mixture", {"smoothing": 1.0}, {"smoothing"}),
    ("mixture", {"smoothing": 1.0, "method": "em"}, set()),
    (
        "mixture",
        {"method": "em", "learning_rate": 0.1, "optimizer": "sgd", "warmup_steps": 3},
        {"learning_rate", "optimizer", "warmup_steps"},
    ),
    ("belief-net", {"particles": 3, "phase": "both"}, {"particles", "phase"}),
    ("belief-net", {"particles": 3, "phase": "both", "method": "vimco"}, {"phase"}),
    ("belief-net", {"particles": 3, "phase": "both", "method": "wake-sleep"}, set()),
    ("made", {"components": 3, "output": "bernoulli"}, {"components"}),
    ("made", {"components": 3}, set()),
    ("made", {"activation": "tanh", "hidden": ()}, {"activation"}),
    ("pixelcnn", {"components": 3, "output": "categorical"}, {"components"}),
    ("flow", {"bins": 3, "layers": "affine"}, {"bins"}),
    ("flow", {"depth": 3, "width": 3}, {"depth"}),
    ("flow", {"depth": 3, "width": 3, "data": "moons"}, {"width"}),
    ("flow", {"depth": 3, "width": 3, "data": "mine.csv"}, set()),
    ("gan", {"gradient_penalty": 1.0, "channels": (3,)}, {"gradient_penalty", "channels"}),
    ("gan", {"gradient_penalty": 1.0, "loss": "wasserstein"}, set()),
    ("gan", {"hidden": (3,), "dropout": 0.2, "critic_dropout": 0.2, "network": "cnn"}, {"hidden", "dropout"}),
]


@pytest.mark.parametrize(
    ("family", "values", "unused"), CASES, ids=lambda value: str(sorted(value) if isinstance(value, set) else value)
)
def test_settings_without_effect_are_named(family: str, values: dict[str, Any], unused: set[str]) -> None:
    parts = setting_names(family)
    model, data, training = (
        part(**{name: value for name, value in values.items() if parts[name] is part})
        for part in (parts[next(iter(parts))], DataSettings, TrainingSettings)
    )
    assert set(without_effect(model, data, training)) == unused


def test_a_training_reports_unused_settings_and_continues(capsys: Captured, tmp_path: Path) -> None:
    words = ["--epochs", 1, "--train-size", 64, "--valid-size", 16, "--components", 2, "--out", tmp_path / "run"]
    train_without_page("mixture", *words, "--smoothing", 3, "--momentum", 0.5)
    lines = capsys.readouterr().err.splitlines()
    assert "--smoothing has no effect: only used with --method em" in lines
    assert "--momentum has no effect: only used with --optimizer sgd or rmsprop" in lines


def plan(folder: Path, family: str, axes: dict[str, Any], **base: Any) -> Plan:
    return Plan(family, folder, {"epochs": 1, "train_size": 64, "valid_size": 16, **base}, axes)


def test_a_sweep_over_an_unused_setting_is_refused(tmp_path: Path) -> None:
    rates = {"learning_rate": (0.1, 0.2)}
    refused(plan(tmp_path, "mixture", rates, method="em").check, "--learning-rate has no effect", "gradient")
    refused(plan(tmp_path, "mixture", {"smoothing": (0.05, 1.0)}).check, "--smoothing has no effect", "em")
    plan(tmp_path, "mixture", {"smoothing": (0.05, 1.0), "method": ("em", "gradient")}).check()


def test_a_sweep_with_too_many_runs_is_refused(tmp_path: Path) -> None:
    refused(lambda: plan(tmp_path, "vae", {"latents": tuple(range(1, 1001)), "beta": tuple(range(101))}), "101000 runs")
    refused(lambda: Plan("vae", tmp_path, {}, {"latents": (1, 2)}, seeds=10**30), "runs")
    refused(lambda: Plan("vae", tmp_path, {}, {"latents": (1, 2)}, trials=10**9), "1000000000 runs")

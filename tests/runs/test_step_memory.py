"""A batch whose activations exceed the memory is refused before a run begins; what fits is never refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import refused

import ancestral
from ancestral.commands.main import main
from ancestral.core.errors import InputError
from ancestral.runs import step_memory
from ancestral.runs.step_memory import free_memory, most_bytes

SMALL: dict[str, Any] = {"data": "digits", "train_size": 64, "valid_size": 16, "epochs": 1, "hidden": (8,)}


def available(monkeypatch: pytest.MonkeyPatch, free: int) -> None:
    monkeypatch.setattr(step_memory, "available_memory", lambda: free)


def needed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, **values: Any) -> int:
    """Bytes of a step, as they are measured."""
    found: list[int] = []
    measure = step_memory.activation_bytes

    def remember(*arguments: Any) -> int | None:
        found.append(measure(*arguments) or 0)
        return found[0]

    with monkeypatch.context() as inside:
        inside.setattr(step_memory, "activation_bytes", remember)
        inside.setattr(step_memory, "available_memory", lambda: 1)
        with pytest.raises(InputError, match="not enough memory"):
            ancestral.fit("vae", tmp_path / "never", **SMALL, **values)
    assert not (tmp_path / "never").exists()
    return found[0]


def test_a_step_that_just_fits_the_memory_is_trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free = needed(monkeypatch, tmp_path)
    available(monkeypatch, free)
    assert ancestral.fit("vae", tmp_path / "run", **SMALL).finished
    available(monkeypatch, free - 1)
    refused(lambda: ancestral.fit("vae", tmp_path / "other", **SMALL), "not enough memory", "--batch-size", "64 images")
    assert not (tmp_path / "other").exists()


def test_the_suggested_batch_size_may_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free = needed(monkeypatch, tmp_path) // 4
    available(monkeypatch, free)
    refused(lambda: ancestral.fit("vae", tmp_path / "run", **SMALL), "at most 16 fit")
    refused(lambda: ancestral.fit("vae", tmp_path / "run", **SMALL, batch_size=17), "not enough memory")
    assert ancestral.fit("vae", tmp_path / "run", **SMALL, batch_size=15).finished
    available(monkeypatch, needed(monkeypatch, tmp_path, batch_size=1) - 1)
    refused(lambda: ancestral.fit("vae", tmp_path / "one", **SMALL, batch_size=1), "choose a smaller model")


def test_batches_are_never_larger_than_the_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert needed(monkeypatch, tmp_path) == needed(monkeypatch, tmp_path, batch_size=100_000)


def test_the_command_line_reports_too_little_memory_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    available(monkeypatch, 10_000)
    words = ["train", "vae", "--data", "digits", "--train-size", "64", "--hidden", "8", "--out", str(tmp_path / "run")]
    assert main(words) == 2 and not (tmp_path / "run").exists()
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("ancestral: ")]
    assert len(lines) == 1 and "not enough memory" in lines[0] and "--batch-size" in lines[0]


def test_memory_is_not_measured_if_the_step_certainly_fits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: Any) -> int:
        raise AssertionError("measured")

    monkeypatch.setattr(step_memory, "activation_bytes", fail)
    available(monkeypatch, 2 * 10**9)  # a small machine
    assert ancestral.fit("vae", tmp_path / "run", **SMALL).finished


def test_double_precision_takes_twice_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    available(monkeypatch, needed(monkeypatch, tmp_path))
    fit = lambda precision: ancestral.fit("vae", tmp_path / "run", **SMALL, precision=precision)  # noqa: E731
    refused(lambda: fit("64-true"), "not enough memory")
    assert fit("bf16-mixed").finished


def test_larger_settings_raise_the_memory_bound() -> None:
    from ancestral.data.pixels import PixelBatches, PixelSpace
    from ancestral.families.run_settings import settings_for

    train = PixelBatches(torch.zeros(2, 1, 4, 4, dtype=torch.uint8), PixelSpace("levels", 256))
    bound = lambda **values: most_bytes(settings_for("vae", **values).model, train)  # noqa: E731
    usual = bound()
    assert usual == step_memory.MOST_BYTES * 16
    assert bound(importance_samples=50) == 10 * usual and bound(hidden=(512, 1024)) == 3 * usual
    assert bound(hidden=(8,), beta=0.001) == usual
    many = PixelBatches(torch.zeros(2, 1, 4, 4, dtype=torch.uint8), PixelSpace("levels", 1024))
    assert most_bytes(settings_for("vae").model, many) == 4 * usual


def test_memory_of_other_devices_is_not_known() -> None:
    assert free_memory(torch.device("meta")) is None and (free_memory(torch.device("cpu")) or 0) > 10**6

"""Every file that decides a number is hashed, and the hash is checked before the file is used."""

from __future__ import annotations

import errno
import importlib.util
import json
import logging
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors
import safetensors.torch
import torch
from helpers import ROOT, killed_at, refused

from ancestral import fit
from ancestral.commands.main import main
from ancestral.core import files
from ancestral.core.files import write_json
from ancestral.runs.evaluate import score_run
from ancestral.runs.manifest import DECIDING, MANIFEST
from ancestral.runs.run import Run
from ancestral.runs.verify import verify_run
from ancestral.training.checkpoint import load_state, save_state
from ancestral.training.log import Reading, TrainingLog
from ancestral.training.loop import Loop

SMALL: dict[str, Any] = {"train_size": 120, "valid_size": 30, "batch_size": 60, "epochs": 2, "components": 3}


def small(out: Path, resume: bool = False) -> Run:
    return fit("mixture", out, resume=resume, checkpoint_seconds=0.0, **SMALL)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained run that no test changes."""
    return small(tmp_path_factory.mktemp("runs") / "run").path


@pytest.fixture
def copy(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "copy"))


def flipped(path: Path, bit: int) -> None:
    """Change one bit of a file."""
    content = bytearray(path.read_bytes())
    content[bit // 8 % len(content)] ^= 1 << bit % 8
    path.write_bytes(content)


def failed(path: Path) -> dict[str, str]:
    return {check.name: check.detail for check in verify_run(path) if not check.passed}


# ---- the checkpoint and the log


def test_a_checkpoint_with_any_flipped_bit_is_refused(copy: Path) -> None:
    path = Run(copy).checkpoint
    whole = path.read_bytes()
    for bit in np.random.default_rng(0).integers(0, 8 * len(whole), 80).tolist():
        flipped(path, bit)
        refused(lambda: load_state(path), "checkpoint", "train again")
        path.write_bytes(whole)
    load_state(path)


def test_a_damaged_checkpoint_is_left_as_it_is(copy: Path) -> None:
    flipped(Run(copy).checkpoint, 8 * (Run(copy).checkpoint.stat().st_size - 4))
    before = contents(copy)
    refused(lambda: small(copy, resume=True), "SHA-256")
    assert contents(copy) == before


def test_a_log_that_differs_from_its_checkpoint_is_refused(copy: Path) -> None:
    (copy / MANIFEST).unlink()
    log = (copy / "log.jsonl").read_bytes()
    (copy / "log.jsonl").write_bytes(log.replace(b'"epoch": 1', b'"epoch": 2', 1))
    before = contents(copy)
    refused(lambda: small(copy, resume=True), "log.jsonl", "SHA-256", "train again")
    (copy / "log.jsonl").unlink()
    refused(lambda: small(copy, resume=True), "log.jsonl", "missing")
    assert contents(copy) == {name: content for name, content in before.items() if name != "log.jsonl"}


def test_a_checkpoint_of_an_earlier_version_is_used_with_a_notice(
    copy: Path, finished: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = Run(copy).checkpoint
    tensors, facts = load_state(path)
    del facts["log_sha256"]
    (copy / MANIFEST).unlink()
    path.write_bytes(safetensors.torch.save(tensors, {"facts": json.dumps(facts)}))
    small(copy, resume=True)
    assert "has no SHA-256" in caplog.text
    assert (copy / "model/model.safetensors").read_bytes() == (finished / "model/model.safetensors").read_bytes()


def test_a_new_checkpoint_without_its_hash_is_refused(copy: Path) -> None:
    path = Run(copy).checkpoint
    tensors, facts = load_state(path)
    for metadata in ({"facts": json.dumps(facts)}, {"facts": json.dumps(facts), "sha255": "0"}):
        path.write_bytes(safetensors.torch.save(tensors, metadata))
        refused(lambda: load_state(path), "SHA-256")


def test_the_hash_covers_names_types_and_shapes(tmp_path: Path) -> None:
    path = tmp_path / "state.safetensors"
    tensors = {"a": torch.arange(4.0), "b": torch.zeros(0), "c": torch.tensor(True), "d": torch.ones(2).bfloat16()}
    save_state(path, tensors, {"log_bytes": 0})
    again, _ = load_state(path)
    assert all(torch.equal(again[name], tensors[name]) for name in tensors)
    with safetensors.safe_open(path, "pt") as file:
        metadata = file.metadata()
    for changed in ({"a": tensors["a"].view(2, 2)}, {"a": tensors["a"].view(torch.int32)}, {"e": torch.zeros(1)}):
        path.write_bytes(safetensors.torch.save({**tensors, **changed}, metadata))
        refused(lambda: load_state(path), "SHA-256")


# ---- the manifest


def test_the_manifest_lists_every_file_that_affects_a_number(finished: Path) -> None:
    listed = json.loads((finished / MANIFEST).read_text())["files"]
    assert set(listed) == set(DECIDING)
    assert {name: entry["bytes"] for name, entry in listed.items()} == {
        name: (finished / name).stat().st_size for name in DECIDING
    }
    assert failed(finished) == {}


@pytest.mark.parametrize("name", DECIDING)
def test_a_changed_file_fails_the_verification(copy: Path, name: str) -> None:
    flipped(copy / name, 8 * ((copy / name).stat().st_size - 3))
    assert name in failed(copy)["the files are those that were written"]


@pytest.mark.parametrize(
    ("name", "use"),
    [
        ("settings.json", lambda run: run.record),
        ("model/config.json", lambda run: run.load()),
        ("model/model.safetensors", lambda run: run.load()),
        ("log.jsonl", lambda run: run.log()),
        ("training.json", lambda run: run.outcome),
        ("health.json", lambda run: run.health),
    ],
)
def test_a_changed_file_is_refused_before_it_is_used(copy: Path, name: str, use: Callable[[Run], Any]) -> None:
    content = (copy / name).read_bytes()
    (copy / name).write_bytes(content[:-1] + b" " if name.endswith("json") else content[:-1] + bytes([content[-1] ^ 1]))
    refused(lambda: use(Run(copy)), name, "SHA-256")


@pytest.mark.parametrize("text", ["", "[]", '{"files": 3}', '{"files": {"../x": {"sha256": "", "bytes": 1}}}'])
def test_a_damaged_manifest_is_refused(copy: Path, text: str) -> None:
    (copy / MANIFEST).write_text(text)
    refused(lambda: Run(copy).load(), MANIFEST)
    assert failed(copy)


def assert_whole(path: Path, reference: Path) -> None:
    assert Run(path).finished and list(Run(path).manifest.problems()) == []
    for name in ("model/model.safetensors", "model/config.json", "log.jsonl", "health.json"):
        assert (path / name).read_bytes() == (reference / name).read_bytes(), name


def test_a_kill_before_any_write_is_resumed_bit_identically(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(1, 100):
        out = tmp_path / f"fresh-{number}"
        if not killed_at(number, monkeypatch, lambda: small(out)):  # noqa: B023
            break
        assert not Run(out).finished and not (out / MANIFEST).exists()
        small(out, resume=True)
        assert_whole(out, finished)
    assert number > 8, "settings, checkpoints, model, description, outcome, health and manifest"


def test_a_kill_while_a_finished_run_is_resumed(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(1, 100):
        out = Path(shutil.copytree(finished, tmp_path / f"again-{number}"))
        if not killed_at(number, monkeypatch, lambda: small(out, resume=True)):  # noqa: B023
            break
        assert list(Run(out).manifest.problems()) == [], "no manifest describes another state"
        small(out, resume=True)
        assert_whole(out, finished)
    assert number > 5


def test_a_kill_while_a_score_is_stored(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = score_run(shutil.copytree(finished, tmp_path / "scored"))
    score_run(tmp_path / "scored")
    for number in range(1, 10):
        out = Path(shutil.copytree(tmp_path / "scored", tmp_path / f"scored-{number}"))
        if not killed_at(number, monkeypatch, lambda: score_run(out)):  # noqa: B023
            break
        assert list(Run(out).manifest.problems()) == []
        assert score_run(out) == expected and Run(out).scores() == [expected]
    assert number == 4, "the entry out, the records, the entry in"


def test_a_run_without_a_manifest_is_opened_with_one_notice(
    copy: Path, caplog: pytest.LogCaptureFixture, finished: Path
) -> None:
    (copy / MANIFEST).unlink()
    Run(copy).load(), Run(copy).load()
    assert [r.levelno for r in caplog.records if MANIFEST in r.getMessage()] == [logging.WARNING]
    assert not Run(copy).finished and "the files are those that were written" in failed(copy)
    small(copy, resume=True)
    assert_whole(copy, finished)


# ---- the folder itself


@pytest.mark.parametrize("how", ["deleted", "moved"])
def test_a_training_whose_folder_is_deleted_ends_with_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], how: str
) -> None:
    out, save = tmp_path / "run", Loop._save

    def lost(loop: Loop) -> None:
        save(loop)
        if loop.position.step == 0:
            shutil.rmtree(out) if how == "deleted" else out.rename(tmp_path / "elsewhere")

    monkeypatch.setattr(Loop, "_save", lost)
    words = ["train", "mixture", "--train-size", "60", "--epochs", "2", "--samples-at", "1", "--out", str(out)]
    assert main(words) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "log.jsonl was deleted, moved or replaced during the training" in line
    assert not out.exists(), "it is not made again"


def test_a_disk_error_names_the_final_file_not_the_temporary_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(OSError) as caught:
        write_json(tmp_path / "scores.json", [])
    assert caught.value.filename == str(tmp_path / "scores.json") and caught.value.errno == errno.ENOSPC
    with pytest.raises(OSError) as caught:
        TrainingLog(tmp_path / "log.jsonl").position()
    assert caught.value.filename == str(tmp_path / "log.jsonl")
    monkeypatch.undo()
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError) as caught:
        write_json(tmp_path / "file" / "scores.json", [])
    assert caught.value.filename == str(tmp_path / "file" / "scores.json")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no device that is always full")
def test_a_full_disk_names_the_log_when_it_is_closed(tmp_path: Path) -> None:
    """Lines wait in a buffer: the end of a training, or an error before it, is what writes them."""
    log = TrainingLog(tmp_path / "log.jsonl")
    with open("/dev/full", "wb") as full:
        os.dup2(full.fileno(), log._file.fileno())
    log.write(1, 1, [Reading("train", "loss", 2.0)])
    with pytest.raises(OSError) as caught:
        log.close()
    assert caught.value.filename == str(tmp_path / "log.jsonl") and caught.value.errno == errno.ENOSPC


# ---- damage of any kind


def test_damaged_runs_are_refused_or_opened(tmp_path: Path) -> None:
    """A part of what scripts/fuzz_runs.py does, which also limits the memory."""
    spec = importlib.util.spec_from_file_location("fuzz_runs", ROOT / "scripts" / "fuzz_runs.py")
    assert spec is not None and spec.loader is not None
    fuzz = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fuzz)
    found, faults = fuzz.run_cases(40, 7, tmp_path, seconds=60)
    assert faults == []
    assert found["refused"] > 20 and found["opened"] > 2

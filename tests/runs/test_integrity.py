"""Every file that decides a number is hashed, and the hash is checked before the file is used."""

from __future__ import annotations

import importlib.util
import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors
import safetensors.torch
import torch
from helpers import ROOT, refused

from ancestral import fit
from ancestral.commands.main import main
from ancestral.core import files
from ancestral.core.errors import InputError
from ancestral.core.files import json_text, write_json
from ancestral.evaluation.score import Score
from ancestral.runs import run_data
from ancestral.runs.evaluate import score_run
from ancestral.runs.manifest import DECIDING, MANIFEST
from ancestral.runs.provenance import new_record
from ancestral.runs.records import QUALITY
from ancestral.runs.run import Run
from ancestral.runs.run_data import RunData
from ancestral.runs.stored_settings import refuse_changes
from ancestral.runs.verify import verify_run
from ancestral.settings.data import DataSettings
from ancestral.training.checkpoint import load_state, save_state

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
        refused(lambda: load_state(path), "checkpoint", "train anew")
        path.write_bytes(whole)
    load_state(path)


def test_a_damaged_checkpoint_is_left_as_it_is(copy: Path) -> None:
    flipped(Run(copy).checkpoint, 8 * (Run(copy).checkpoint.stat().st_size - 4))
    before = contents(copy)
    refused(lambda: small(copy, resume=True), "SHA-256")
    assert contents(copy) == before


def test_a_log_that_its_checkpoint_does_not_know_is_refused(copy: Path) -> None:
    (copy / MANIFEST).unlink()
    log = (copy / "log.jsonl").read_bytes()
    (copy / "log.jsonl").write_bytes(log.replace(b'"epoch": 1', b'"epoch": 2', 1))
    before = contents(copy)
    refused(lambda: small(copy, resume=True), "log.jsonl", "SHA-256", "train anew")
    (copy / "log.jsonl").unlink()
    refused(lambda: small(copy, resume=True), "log.jsonl", "missing")
    assert contents(copy) == {name: content for name, content in before.items() if name != "log.jsonl"}


def test_a_checkpoint_of_an_earlier_version_is_used_with_a_notice(
    copy: Path, finished: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = Run(copy).checkpoint
    tensors, facts = load_state(path)
    del facts["log_sha256"]
    path.write_bytes(safetensors.torch.save(tensors, {"facts": json.dumps(facts)}))
    small(copy, resume=True)
    assert "has no SHA-256" in caplog.text
    assert (copy / "model/model.safetensors").read_bytes() == (finished / "model/model.safetensors").read_bytes()


def test_a_checkpoint_whose_hash_was_lost_does_not_pass_for_an_old_one(copy: Path) -> None:
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


def test_the_manifest_lists_every_file_that_decides_a_number(finished: Path) -> None:
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


class Killed(BaseException):
    """Stands for the end of the process."""


def killed_at(number: int, monkeypatch: pytest.MonkeyPatch, action: Callable[[], Any]) -> bool:
    """Whether an action was ended before its write of that number."""
    write, seen = files._write_atomically, 0

    def counting(path: Path, content: bytes) -> None:
        nonlocal seen
        seen += 1
        if seen == number:
            raise Killed
        write(path, content)

    with monkeypatch.context() as patch:
        patch.setattr(files, "_write_atomically", counting)
        try:
            action()
        except Killed:
            return True
    return False


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


# ---- records


def test_a_score_knows_its_weights_and_its_data(copy: Path) -> None:
    found, run = score_run(copy), Run(copy)
    assert found.weights_sha256 == files.sha256_of((copy / "model/model.safetensors").read_bytes())
    assert found.data_sha256 == run.record["data"]["sha256"]
    assert Score.from_json(found.to_json()) == found
    old = {name: value for name, value in found.to_json().items() if not name.endswith("sha256")}
    assert Score.from_json(old).weights_sha256 is None


def test_a_score_on_other_data_replaces_nothing(copy: Path) -> None:
    found, run = score_run(copy), Run(copy)
    run.add_score(Score(**{**vars(found), "data_sha256": "1" * 64}))
    assert len(run.scores()) == 2
    run.add_score(found)
    assert len(run.scores()) == 2


def test_a_score_of_an_earlier_version_is_replaced(copy: Path) -> None:
    found = score_run(copy)
    old = {name: value for name, value in found.to_json().items() if not name.endswith("sha256")}
    Run(copy).manifest.replace("scores.json", json.dumps([old]).encode())
    assert Run(copy).scores()[0].data_sha256 is None
    score_run(copy)
    assert Run(copy).scores() == [found]


def test_a_score_of_other_weights_is_ignored_with_a_notice(copy: Path, caplog: pytest.LogCaptureFixture) -> None:
    found = score_run(copy)
    stale = {**found.to_json(), "weights_sha256": "2" * 64, "method": "ELBO"}
    Run(copy).manifest.replace("scores.json", json.dumps([stale, found.to_json()]).encode())
    assert Run(copy).scores() == [found]
    assert "other weights" in caplog.text
    write_json(copy / "quality.json", [{"weights_sha256": "2" * 64}])
    assert QUALITY.of(Run(copy)) == []


def test_a_score_edited_by_hand_is_refused(copy: Path) -> None:
    score_run(copy)
    text = (copy / "scores.json").read_text()
    (copy / "scores.json").write_text(text.replace('"nats": -', '"nats": -1'))
    refused(lambda: Run(copy).scores(), "scores.json", "evaluate anew")
    (copy / "scores.json").unlink()
    assert Run(copy).scores() == []
    assert score_run(copy) == Run(copy).scores()[0]
    assert list(Run(copy).manifest.problems()) == []


# ---- the data


def test_replaced_data_are_refused(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 2, (90, 4, 4), dtype=np.uint8)
    source = tmp_path / "mine.npz"
    np.savez(source, images=images)
    run = fit("mixture", tmp_path / "run", data=str(source), epochs=1, components=2)
    assert main(["evaluate", str(run.path)]) == 0
    before = contents(run.path)
    np.savez(source, images=1 - images)
    refused(lambda: Run(run.path).data, "mine", "have changed", "--data")
    assert main(["evaluate", str(run.path)]) == 2
    assert contents(run.path)["scores.json"] == before["scores.json"]
    assert list(failed(run.path)) == ["the data are those it was trained on"]
    np.savez(source, images=images[:60])
    refused(lambda: Run(run.path).data, "have changed")
    source.unlink()
    assert failed(run.path)


def test_another_division_is_refused(copy: Path) -> None:
    record = json.loads((copy / "settings.json").read_text())
    record["data"]["counts"]["valid"] = 29
    Run(copy).manifest.replace("settings.json", json.dumps(record).encode())
    refused(lambda: Run(copy).data, "29 valid before, 30 now")


def test_loading_and_sampling_do_not_open_the_data(copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def opened(*arguments: Any, **options: Any) -> None:
        raise InputError("the data were opened")

    for name in ("load_dataset", "load_points"):
        monkeypatch.setattr(run_data, name, opened)
    Run(copy).load()
    for out in ("a.npy", "a.png"):
        assert main(["sample", str(copy), "-n", "3", "--out", str(tmp_path / out)]) == 0
    refused(lambda: Run(copy).data, "were opened")


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


# ---- settings.json


def changed(path: Path, change: Callable[[dict[str, Any]], Any]) -> Path:
    """The run with another record, as a person would edit it who writes the manifest anew."""
    record = json.loads((path / "settings.json").read_text())
    change(record)
    write_json(path / "settings.json", record)
    (path / MANIFEST).unlink(missing_ok=True)
    return path


WRONG: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "epochs": (lambda r: r["settings"]["training"].update(epochs="five"), "epochs"),
    "true": (lambda r: r["settings"]["training"].update(epochs=True), "epochs"),
    "negative": (lambda r: r["settings"]["model"].update(components=-3), "components"),
    "source": (lambda r: r["settings"]["data"].update(data=5), "data"),
    "list": (lambda r: r["settings"].update(model=[]), "model"),
    "unknown": (lambda r: r["settings"]["model"].update(colour="red"), "colour"),
    "choice": (lambda r: r["settings"]["model"].update(method=["em"]), "method"),
    "word": (lambda r: r["settings"]["training"].update(watch=[1]), "watch"),
    "family": (lambda r: r["settings"].update(family={}), "family"),
    "missing": (lambda r: r["settings"].pop("training"), "training"),
    "counts": (lambda r: r["data"].update(counts={"train": "all"}), "counts"),
    "shape": (lambda r: r["data"].update(event_shape=None), "event_shape"),
    "sha256": (lambda r: r["data"].pop("sha256"), "sha256"),
    "versions": (lambda r: r.update(versions=[]), "versions"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_setting_of_a_wrong_type_is_refused_in_a_line(copy: Path, case: str) -> None:
    change, word = WRONG[case]
    refused(lambda: Run(changed(copy, change)).settings, word)


def test_a_run_of_a_newer_version_says_so(copy: Path) -> None:
    def newer(record: dict[str, Any]) -> None:
        record["settings"]["model"]["invented_later"] = 1
        record["versions"]["ancestral"] = "99.0.1"

    refused(lambda: Run(changed(copy, newer)).settings, "invented_later", "ancestral 99.0.1", "update")


def test_settings_are_compared_as_json() -> None:
    begun = {"family": "mixture", "model": {"components": 3}, "data": {}, "training": {}}
    described = {"family": "mixture", "model": {}, "data": {}, "training": {}}
    refuse_changes({"settings": begun}, {**described, "model": {"components": 3}})
    refused(lambda: refuse_changes({"settings": begun}, {**described, "model": {"components": 4}}), "components")
    assert json_text({"a": float("nan"), "b": (1, (2,))}) == json_text({"b": [1, [2]], "a": float("nan")})


def test_the_command_is_kept_without_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["train", "mixture", "--seed", "1", "--out", f"{tmp_path}/run", f"--recipe={tmp_path}/r.yaml", "/"]
    monkeypatch.setattr("sys.argv", ["/usr/bin/ancestral", *words])
    command = new_record({}, RunData(DataSettings()))["command"]
    assert command == ["ancestral", "train", "mixture", "--seed", "1", "--out", "run", "--recipe=r.yaml", "/"]

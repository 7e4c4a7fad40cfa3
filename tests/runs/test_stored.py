"""Records and settings of a run: which weights and data they are of, and values of a wrong type."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import refused

from ancestral import fit
from ancestral.commands.main import main
from ancestral.core import files
from ancestral.core.errors import InputError
from ancestral.core.files import json_text, write_json
from ancestral.evaluation.score import Score
from ancestral.families.run_settings import settings_for
from ancestral.runs import run_data
from ancestral.runs.evaluate import score_run
from ancestral.runs.manifest import MANIFEST
from ancestral.runs.provenance import Origin, new_record
from ancestral.runs.records import QUALITY
from ancestral.runs.run import Run
from ancestral.runs.run_data import RunData
from ancestral.runs.stored_settings import refuse_changes, settings_from_json, settings_to_json
from ancestral.runs.verify import verify_run
from ancestral.settings.data import DataSettings

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


def failed(path: Path) -> dict[str, str]:
    return {check.name: check.detail for check in verify_run(path) if not check.passed}


# ---- records


def test_a_score_stores_the_hashes_of_its_weights_and_data(copy: Path) -> None:
    found, run = score_run(copy), Run(copy)
    assert found.weights_sha256 == files.sha256_of((copy / "model/model.safetensors").read_bytes())
    assert found.data_sha256 == run.record["data"]["sha256"]
    assert Score.from_json(found.to_json()) == found
    old = {name: value for name, value in found.to_json().items() if not name.endswith("sha256")}
    assert Score.from_json(old).weights_sha256 is None


def test_a_score_on_other_data_replaces_no_other_score(copy: Path) -> None:
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
    refused(lambda: Run(copy).scores(), "scores.json", "evaluate again")
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
    refused(lambda: Run(run.path).data.dataset, "mine", "have changed", "--data")
    assert main(["evaluate", str(run.path)]) == 2
    assert contents(run.path)["scores.json"] == before["scores.json"]
    assert list(failed(run.path)) == ["the data are those it was trained on"]
    np.savez(source, images=images[:60])
    refused(lambda: Run(run.path).data.dataset, "have changed")
    source.unlink()
    assert failed(run.path)


def test_another_split_is_refused(copy: Path) -> None:
    record = json.loads((copy / "settings.json").read_text())
    record["data"]["counts"]["valid"] = 29
    Run(copy).manifest.replace("settings.json", json.dumps(record).encode())
    refused(lambda: Run(copy).data.dataset, "29 valid before, 30 now")


def test_loading_and_sampling_do_not_open_the_data(copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def opened(*arguments: Any, **options: Any) -> None:
        raise InputError("the data were opened")

    for name in ("load_dataset", "load_points"):
        monkeypatch.setattr(run_data, name, opened)
    Run(copy).load()
    for out in ("a.npy", "a.png"):
        assert main(["sample", str(copy), "-n", "3", "--out", str(tmp_path / out)]) == 0
    refused(lambda: Run(copy).data.dataset, "were opened")


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


def test_former_names_of_settings_of_all_parts_are_read() -> None:
    record = settings_to_json(settings_for("circuit", conditional=True, protocol=None))
    record["model"]["by_class"] = record["model"].pop("conditional")
    record["data"]["split"] = record["data"].pop("protocol")
    assert settings_from_json(record) == settings_for("circuit", conditional=True)
    record["model"]["colour"] = "red"
    with pytest.raises(InputError, match="choose states, components, conditional"):
        settings_from_json(record)


def test_a_run_of_a_newer_version_is_refused_with_the_reason(copy: Path) -> None:
    def newer(record: dict[str, Any]) -> None:
        record["settings"]["model"]["invented_later"] = 1
        record["versions"]["ancestral"] = "99.0.1"

    refused(lambda: Run(changed(copy, newer)).settings, "invented_later", "ancestral 99.0.1", "update")


def test_settings_are_compared_as_json() -> None:
    started = {"family": "mixture", "model": {"components": 3}, "data": {}, "training": {}}
    described = {"family": "mixture", "model": {}, "data": {}, "training": {}}
    refuse_changes({"settings": started}, {**described, "model": {"components": 3}})
    refused(lambda: refuse_changes({"settings": started}, {**described, "model": {"components": 4}}), "components")
    assert json_text({"a": float("nan"), "b": (1, (2,))}) == json_text({"b": [1, [2]], "a": float("nan")})


def test_the_command_is_kept_without_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["train", "mixture", "--seed", "1", "--out", f"{tmp_path}/run", f"--recipe={tmp_path}/r.yaml", "/"]
    monkeypatch.setattr("sys.argv", ["/usr/bin/ancestral", *words])
    command = new_record({}, RunData(DataSettings()), tmp_path / "run", Origin())["command"]
    assert command == ["ancestral", "train", "mixture", "--seed", "1", "--out", "run", "--recipe=r.yaml", "/"]

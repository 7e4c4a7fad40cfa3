"""Runs on a model hub: put there and loaded again, over HTTP on this machine; what a stranger may not send."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import printed, refused, run
from hub_server import Hub, hub_server
from small_runs import SmallRuns

import ancestral
from ancestral.api.run import Run
from ancestral.runs.evaluate import score_run
from ancestral.runs.export import CARD
from ancestral.runs.hub import Place, fetch_run
from ancestral.runs.run import Run as StoredRun

hub_package = pytest.importorskip("huggingface_hub")
NAME = "someone/digits"


@pytest.fixture(scope="module")
def trained(small_runs: SmallRuns, tmp_path_factory: pytest.TempPathFactory) -> Run:
    opened = Run(small_runs.copied(["mixture"], tmp_path_factory.mktemp("hub")) / "mixture")
    score_run(opened)
    opened.report()
    return opened


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """An empty hub, and an empty cache."""
    with hub_server() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        yield server


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_a_run_is_published_and_loaded(hub: Hub, trained: Run, caplog: pytest.LogCaptureFixture) -> None:
    place = trained.push_to_hub(NAME, licence="mit")
    assert place == f"hub:{NAME}@{hub.newest[NAME]}" and hub.private[NAME]
    assert "omitted: the checkpoint" in caplog.text
    model = ancestral.load(f"hub:{NAME}")
    assert f"hub:{NAME}@{hub.newest[NAME]} for exactly this revision" in caplog.text
    own = ancestral.load(trained.path)
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), own.state_dict().values(), strict=True))
    again = Run(f"hub:{NAME}")
    assert again.scores() == trained.scores() and again.finished and list(again.manifest.problems()) == []
    assert torch.equal(ancestral.sample(again, 4), ancestral.sample(trained, 4))


def test_a_revision_is_loaded_again_without_the_hub(hub: Hub, trained: Run) -> None:
    place = trained.push_to_hub(NAME)
    assert place is not None
    first = fetch_run(place)
    hub.asked.clear()
    hub.commit(NAME, {"README.md": b"emptied"})
    assert fetch_run(place) == first and hub.asked == []
    refused(lambda: fetch_run(f"hub:{NAME}"), "is not a run of ancestral", "settings.json")


def test_commands_take_a_run_of_the_hub(hub: Hub, trained: Run, tmp_path: Path, capsys: Any) -> None:
    _, told = printed(capsys, "publish", trained.path, NAME, "--public")
    assert f"published: hub:{NAME}@" in told and not hub.private[NAME]
    _, told = printed(capsys, "sample", f"hub:{NAME}", "-n", 3, "--out", tmp_path / "x.npy")
    assert (tmp_path / "x.npy").exists() and "for exactly this revision" in told
    out, _ = printed(capsys, "evaluate", f"hub:{NAME}", "--json")
    assert json.loads(out)[0]["nats"] == trained.scores()[0].nats


def test_only_files_of_a_run_are_fetched(hub: Hub, trained: Run, tmp_path: Path) -> None:
    trained.push_to_hub(NAME, folder=tmp_path / "copy")
    files = files_of(tmp_path / "copy")
    assert "report.html" in files and "figures/components.png" in files
    strange = {
        "figures/../../x.png": b"x",
        "run.py": b"raise SystemExit",
        "model/model.pkl": b"x",
        "figures/A.png": b"x",
    }
    hub.commit(NAME, {**files, **strange})
    found = files_of(fetch_run(f"hub:{NAME}"))
    assert set(found) == {name for name in files if name != "report.html"}, "a page from a stranger is made anew"
    assert all(found[name] == files[name] for name in found)
    assert not any("run.py" in line or ".pkl" in line for line in hub.asked)


def test_a_changed_or_too_large_file_is_refused(hub: Hub, trained: Run, tmp_path: Path) -> None:
    trained.push_to_hub(NAME, folder=tmp_path / "copy")
    files = files_of(tmp_path / "copy")
    weights = files["model/model.safetensors"]
    hub.commit(NAME, {**files, "model/model.safetensors": weights[:-1] + bytes([weights[-1] ^ 1])})
    refused(lambda: fetch_run(f"hub:{NAME}"), "model.safetensors", "changed")
    hub.commit(NAME, files)
    hub.sizes["manifest.json"] = 1 << 40
    refused(lambda: fetch_run(f"hub:{NAME}"), "manifest.json", "limit")
    hub.sizes["manifest.json"] = len(files["manifest.json"]) - 1
    refused(lambda: fetch_run(f"hub:{NAME}"), "manifest.json")
    assert not list((tmp_path / "cache").rglob("settings.json")), "nothing of these is kept"


def test_a_missing_run_of_the_hub_is_reported_in_one_line(
    hub: Hub, trained: Run, capsys: Any, monkeypatch: Any
) -> None:
    refused(lambda: ancestral.load("hub:nobody/nothing"), "hub:nobody/nothing", "no such model")
    trained.push_to_hub(NAME)
    refused(lambda: ancestral.load(f"hub:{NAME}@no-branch"), "no such revision")
    assert run("sample", "hub:nobody/nothing", "--out", "x.npy") == 2
    assert "no such model" in capsys.readouterr().err and not Path("x.npy").exists()
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    refused(lambda: ancestral.load(f"hub:{NAME}"), "cannot be reached")
    refused(lambda: trained.push_to_hub(NAME), "cannot be reached")


@pytest.mark.parametrize(
    "text", ["hub:", "hub:a/b/c", "hub:../x", "hub:a/b@", "hub:a/b@../x", "hub:/etc/passwd", "hub:a b"]
)
def test_names_of_other_forms_are_refused(text: str) -> None:
    refused(lambda: Place.of(text), "OWNER/NAME")


def test_publishing_to_a_folder_sends_nothing(hub: Hub, trained: Run, tmp_path: Path, capsys: Any) -> None:
    printed(capsys, "publish", trained.path, NAME, "--folder", tmp_path / "copy")
    assert hub.asked == [] and StoredRun(tmp_path / "copy").scores() == trained.scores()
    assert run("publish", trained.path, NAME, "--folder", tmp_path / "copy") == 2
    assert "not an empty folder" in capsys.readouterr().err


def test_the_card_has_the_metadata_that_the_hub_reads(trained: Run, tmp_path: Path) -> None:
    trained.push_to_hub(NAME, licence="mit", folder=tmp_path / "copy")
    read = hub_package.ModelCard.load(tmp_path / "copy" / CARD)
    data = read.data
    assert (data.license, data.library_name, data.model_name) == ("mit", "ancestral", NAME)
    (score,) = trained.scores()
    nats, bits = data.eval_results
    assert (nats.metric_value, nats.metric_type, nats.dataset_name) == (score.nats, "log-likelihood", "digits")
    assert nats.dataset_split == "test" and nats.metric_args["standard_error_nats"] == score.stderr
    assert "exact" in nats.metric_name and bits.metric_value == score.bits_per_dim
    assert f"{score.nats:.2f}" in read.text and "Health of the training" in read.text
    assert "ancestral train mixture" in read.text and "![samples](figures/samples.png)" in read.text


def test_a_missing_package_is_named(trained: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ancestral.runs.hub.find_spec", lambda name: None)
    refused(lambda: ancestral.load(f"hub:{NAME}"), "ancestral[hub]")
    refused(lambda: trained.push_to_hub(NAME), "ancestral[hub]")

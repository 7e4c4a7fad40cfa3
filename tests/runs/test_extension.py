"""A run that is resumed with more epochs is the run that had them from the start, bit for bit."""

from __future__ import annotations

import json
import logging
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from helpers import Stopping, killed_at, quality_of, record_of, refused

import ancestral
from ancestral import fit
from ancestral.core.errors import InputError
from ancestral.core.files import write_json
from ancestral.evaluation.annealing import Annealing
from ancestral.evaluation.bracket_record import Bracket, BracketScore
from ancestral.reports.measurements import earlier_measurements, measurements
from ancestral.reports.run_page import write_run_page
from ancestral.runs.evaluate import score_run
from ancestral.runs.fit import fit_or_reuse
from ancestral.runs.records import BRACKET, DETECTIONS, QUALITY
from ancestral.runs.run import Run
from ancestral.training.checkpoint import load_state

BRIEF: dict[str, Any] = {"train_size": 100, "valid_size": 20, "batch_size": 40}
GAME: dict[str, Any] = {"hidden": (8,), "critic_hidden": (8,), "latents": 3}
# each kind of step, with what it keeps beside the weights: moments, counts, a baseline, a critic, a moving average
STEPS: dict[str, tuple[str, dict[str, Any]]] = {
    "gradient": ("vae", {"latents": 3, "hidden": (8,), "warmup_steps": 4, "validate_every": 2}),
    "warm-up of beta": (
        "vae",
        {"latents": 3, "hidden": (8,), "beta_warmup": 2, "free_bits": 0.1, "free_bits_decay": 2},
    ),
    "momentum": ("autoencoder", {"latents": 3, "hidden": (8,), "optimizer": "sgd", "momentum": 0.9}),
    "em": ("mixture", {"components": 3, "method": "em"}),
    "counts of trees": ("circuit", {"states": 3, "components": 2, "method": "em"}),
    "counts of pairs": ("circuit", {"states": 1}),
    "score function": ("belief-net", {"latents": (4,), "method": "score"}),
    "wake-sleep": ("belief-net", {"latents": (4,), "method": "wake-sleep"}),
    "orderings": ("made", {"hidden": (8,), "orderings": 3}),
    "pixelcnn": ("pixelcnn", {"channels": 4, "hidden_channels": 4, "blocks": 1, "first_kernel": 3}),
    "flow": ("flow", {"width": 4, "couplings": 1, "pixels": "levels"}),
    "points": ("flow", {"data": "moons", "depth": 2}),
    "gan": ("gan", {**GAME, "average": 0.9, "critic_steps": 2, "classes": 10}),
    "critic with penalty": ("gan", {**GAME, "loss": "wasserstein", "r1": 1.0}),
}
SMALL: dict[str, Any] = {"components": 3, "learning_rate": 0.05, **BRIEF}


def small(out: Path, epochs: int = 2, resume: bool = False, **settings: Any) -> Run:
    return fit("mixture", out, resume=resume, epochs=epochs, checkpoint_seconds=0.0, **{**SMALL, **settings})


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def assert_same(path: Path, reference: Path) -> None:
    """Everything that a training makes is the same; the record of the extension is in `settings.json` alone."""
    assert Run(path).finished and list(Run(path).manifest.problems()) == []
    for name in ("model/model.safetensors", "model/config.json", "log.jsonl", "health.json"):
        assert (path / name).read_bytes() == (reference / name).read_bytes(), name
    (tensors, facts), (other, of_other) = (load_state(Run(each).checkpoint) for each in (path, reference))
    assert tensors.keys() == other.keys() and all(tensors[name].equal(other[name]) for name in tensors)
    assert facts["position"] == of_other["position"] and facts["log_sha256"] == of_other["log_sha256"]
    assert Run(path).settings == Run(reference).settings
    reasons = [{k: v for k, v in Run(p).outcome.items() if "second" not in k} for p in (path, reference)]
    assert reasons[0] == reasons[1]


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two epochs with a score, that no test changes."""
    path = small(tmp_path_factory.mktemp("runs") / "two").path
    score_run(path)
    return path


@pytest.fixture(scope="module")
def four(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of four epochs at once."""
    return small(tmp_path_factory.mktemp("runs") / "four", 4).path


@pytest.fixture
def copy(two: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(two, tmp_path / "copy"))


# ---- the law


@pytest.mark.parametrize("case", STEPS)
def test_two_trainings_of_half_the_epochs_equal_one_of_all(tmp_path: Path, case: str) -> None:
    family, settings = STEPS[case]
    settings = {**settings, **BRIEF, "log_every": 2}
    fit(family, tmp_path / "parts", epochs=1, **settings)
    fit(family, tmp_path / "parts", resume=True, epochs=3)  # what is not given is the run's own
    fit(family, tmp_path / "whole", epochs=3, **settings)
    assert_same(tmp_path / "parts", tmp_path / "whole")


def test_an_interrupted_run_is_extended(tmp_path: Path, four: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        fit("mixture", tmp_path / "run", epochs=2, checkpoint_seconds=0.0, reporter=Stopping(4), **SMALL)
    small(tmp_path / "run", 4, resume=True)
    assert_same(tmp_path / "run", four)


def test_an_interrupted_run_is_shortened_to_what_is_done(tmp_path: Path, two: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        fit("mixture", tmp_path / "run", epochs=9, checkpoint_seconds=0.0, reporter=Stopping(5), **SMALL)
    refused(lambda: small(tmp_path / "run", 1, resume=True), "epoch 2", "at least 2")
    small(tmp_path / "run", 2, resume=True)
    assert_same(tmp_path / "run", two)


def test_a_run_of_one_epoch_at_a_time(tmp_path: Path, four: Path) -> None:
    for epochs in (1, 2, 3, 4):
        small(tmp_path / "run", epochs, resume=epochs > 1)
    assert_same(tmp_path / "run", four)
    assert [(e["before"], e["after"]) for e in Run(tmp_path / "run").record["extensions"]] == [(1, 2), (2, 3), (3, 4)]


# ---- what is recorded


def test_an_extension_is_recorded_and_the_rest_is_kept(copy: Path) -> None:
    before, weights = json.loads((copy / "settings.json").read_text()), Run(copy).weights_sha256
    small(copy, 4, resume=True)
    after = json.loads((copy / "settings.json").read_text())
    (entry,) = after.pop("extensions")
    assert {name: entry[name] for name in ("setting", "before", "after", "epoch", "step")} == {
        "setting": "epochs",
        "before": 2,
        "after": 4,
        "epoch": 2,
        "step": 6,
    }
    assert entry["weights_sha256"] == weights and entry["date"][:2] == "20"
    before["settings"]["training"]["epochs"] = 4
    assert after == before


def test_a_run_that_is_only_resumed_is_not_changed(copy: Path) -> None:
    before = (copy / "settings.json").read_bytes()
    small(copy, 2, resume=True)
    assert (copy / "settings.json").read_bytes() == before


@pytest.mark.parametrize(
    "entry", [3, {}, {"date": 3, "setting": "epochs", "epoch": 1, "step": 1, "weights_sha256": None}]
)
def test_a_hostile_list_of_extensions_is_refused(copy: Path, entry: Any) -> None:
    record = json.loads((copy / "settings.json").read_text())
    (copy / "manifest.json").unlink()
    write_json(copy / "settings.json", {**record, "extensions": [entry]})
    refused(lambda: Run(copy).record, "settings.json")
    write_json(copy / "settings.json", {**record, "extensions": entry})
    refused(lambda: Run(copy).record, "extensions")


# ---- scores of before


def test_earlier_scores_keep_the_hash_of_their_weights(copy: Path) -> None:
    (old,) = Run(copy).scores()
    small(copy, 4, resume=True)
    run = Run(copy)
    assert run.scores() == [] and run.earlier_scores() == [old]
    assert old.weights_sha256 != run.weights_sha256
    new = score_run(copy)
    assert Run(copy).scores() == [new] and Run(copy).earlier_scores() == [old]
    assert score_run(copy) == new and len(json.loads((copy / "scores.json").read_text())) == 2
    page = write_run_page(Run(copy), redraw=False).read_text()
    assert "Scores (earlier weights)" in page
    assert f"after 2 epochs (weights {str(old.weights_sha256)[:8]})" in page
    assert "epochs changed from 2 to 4" in page


def test_earlier_scores_are_ignored_without_a_warning(copy: Path, caplog: pytest.LogCaptureFixture) -> None:
    small(copy, 4, resume=True)
    caplog.clear()
    assert Run(copy).scores() == [] and caplog.text == ""
    refused(lambda: ancestral.compare([copy]), "no score")


def test_scores_without_a_hash_get_that_of_their_weights(copy: Path) -> None:
    (score,) = Run(copy).scores()
    record = {name: value for name, value in score.to_json().items() if not name.endswith("sha256")}
    Run(copy).manifest.replace("scores.json", json.dumps([record]).encode())
    small(copy, 4, resume=True)
    assert Run(copy).scores() == [] and Run(copy).earlier_scores()[0].weights_sha256 == score.weights_sha256


def test_a_single_record_becomes_a_list(copy: Path) -> None:
    old = {"weights_sha256": Run(copy).weights_sha256, "data_sha256": None}
    write_json(copy / "bracket.json", old)
    small(copy, 4, resume=True)
    assert BRACKET.of(Run(copy)) == [] and QUALITY.of(Run(copy)) == []
    assert json.loads((copy / "bracket.json").read_text()) == old


def test_earlier_measurements_are_on_the_page(copy: Path) -> None:
    """Those of earlier weights have sections of their own; those of the present weights have the usual ones."""
    before = Run(copy)
    bounds = (BracketScore(replace(before.scores()[0], side="upper"), -0.5, 0.1),)
    old = str(before.weights_sha256)
    QUALITY.add(before, quality_of(fid=7.125))
    DETECTIONS.add(before, record_of({1: 20, 10: 97}, against="frankenstein"))
    BRACKET.add(before, Bracket(bounds, Annealing(), (0.7, 0.8), 0))
    usual = ("Scores", "Bracket: lower and upper bounds on log p(x)", "Sample quality", "Out-of-distribution images")
    assert [section.title for section in measurements(before, before.scores())] == [*usual]
    assert earlier_measurements(before) == []
    small(copy, 4, resume=True)
    run = Run(copy)
    assert measurements(run, run.scores()) == []
    named = f"after 2 epochs (weights {old[:8]})"
    scores, bounds, quality, detected = earlier_measurements(run)
    assert bounds.title == f"{usual[1]}, {named} (earlier weights)" and "0.500" in str(bounds)
    for section, title, value in ((scores, "Scores", ""), (quality, usual[2], "7.125"), (detected, usual[3], "0.900")):
        assert section.title == f"{title} (earlier weights)"
        assert str(run.weights_sha256)[:8] in section.text and named in str(section.tables) and value in str(section)
    QUALITY.add(run, quality_of(fid=5.0))
    (now,) = measurements(run, run.scores())
    assert now.title == "Sample quality" and "7.125" not in str(now) and "7.125" in str(earlier_measurements(run))


# ---- early stopping

PATIENT: dict[str, Any] = {"latents": 2, "hidden": (8,), "learning_rate": 0.5, "validate_every": 1, **BRIEF}


def test_a_run_that_stopped_early_continues_with_more_patience(tmp_path: Path) -> None:
    out = tmp_path / "run"
    run = fit("vae", out, epochs=20, patience=2, **PATIENT)
    ended = run.outcome["epochs"]
    assert run.outcome["reason"] == "patience" and ended < 15
    before = contents(out)
    refused(lambda: fit("vae", out, resume=True, epochs=30), "--patience 2", f"after {ended} epochs", "larger")
    refused(lambda: fit("vae", out, resume=True, patience=1), "with --patience 2", "larger")
    assert contents(out) == before
    fit("vae", out, resume=True)
    for name in ("log.jsonl", "settings.json", "model/model.safetensors"):
        assert (out / name).read_bytes() == before[name], "it is over, with the patience that it had"
    fit("vae", out, resume=True, patience=6)
    fit("vae", tmp_path / "whole", epochs=20, patience=6, **PATIENT)
    assert_same(out, tmp_path / "whole")
    fit("vae", out, resume=True, patience=None, epochs=21)
    fit("vae", tmp_path / "unbounded", epochs=21, **PATIENT)
    assert_same(out, tmp_path / "unbounded")


# ---- what is refused


def test_a_schedule_over_all_epochs_is_refused(tmp_path: Path) -> None:
    settings = {**BRIEF, "latents": 2, "hidden": (8,), "epochs": 1}
    for name, own in (("cosine", {"schedule": "cosine"}), ("cycles", {"beta_cycles": 2})):
        fit("vae", tmp_path / name, **settings, **own)
        before = contents(tmp_path / name)
        refused(
            lambda: fit("vae", tmp_path / name, resume=True, epochs=2),  # noqa: B023
            "--" + next(iter(own)).replace("_", "-"),
            "number of epochs (1)",
            "--init-from",
        )
        assert contents(tmp_path / name) == before


def test_another_model_is_refused_and_nothing_is_written(copy: Path) -> None:
    before = contents(copy)
    refused(lambda: small(copy, 4, resume=True, components=4), "components")
    refused(lambda: small(copy, 1, resume=True), "at least 2")
    refused(lambda: fit("made", copy, resume=True, epochs=4, hidden=(8,), **BRIEF), "mixture", "made")
    refused(lambda: small(copy, 4), "already contains a run")
    assert contents(copy) == before


def test_a_run_of_a_study_is_not_extended(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        fit("mixture", tmp_path / "run", epochs=2, checkpoint_seconds=0.0, reporter=Stopping(4), **SMALL)
    settings = Run(tmp_path / "run").settings
    longer = settings.__class__(
        settings.family,
        settings.model,
        settings.data,
        type(settings.training)(**{**vars(settings.training), "epochs": 4}),
    )
    with pytest.raises(InputError, match="2 epochs"):
        fit_or_reuse(longer, tmp_path / "run")


# ---- the device


def test_a_change_of_device_is_printed_and_recorded(
    copy: Path, two: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As if the run had been trained on a graphics card; here there is only the processor."""
    record = json.loads((copy / "settings.json").read_text())
    assert record["machine"]["device"] == "cpu"
    record["machine"]["device"], record["settings"]["training"]["device"] = "cuda:0", "cuda"
    (copy / "manifest.json").unlink()
    write_json(copy / "settings.json", record)
    small(copy, 2, resume=True, device="cpu")  # it was over: nothing is trained
    assert "extensions" not in Run(copy).record
    with caplog.at_level(logging.INFO, "ancestral"):
        small(copy, 4, resume=True, device="cpu")
    assert "cuda:0 to cpu" in caplog.text and "not bit-identical" in caplog.text
    entry = Run(copy).record["extensions"][1]
    assert (entry["setting"], entry["before"], entry["after"]) == ("device", "cuda:0", "cpu")
    assert Run(copy).settings.training.device == "cpu"
    caplog.clear()
    small(copy, 5, resume=True)
    assert "bit-identical" not in caplog.text


# ---- kills


def test_a_kill_before_any_write_of_an_extension_is_resumed(
    two: Path, four: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (old,) = Run(two).scores()
    for number in range(1, 100):
        out = Path(shutil.copytree(two, tmp_path / f"run-{number}"))
        if not killed_at(number, monkeypatch, lambda: small(out, 4, resume=True)):  # noqa: B023
            break
        assert list(Run(out).manifest.problems()) == [] and not Run(out).finished
        assert Run(out).load() is not None, "the weights of before can be used meanwhile"
        small(out, 4, resume=True)
        assert_same(out, four)
        assert Run(out).earlier_scores() == [old]
        assert len(Run(out).record["extensions"]) == 1
    assert number > 8, "settings, checkpoints, model, description, outcome, health and manifest"


def test_a_kill_at_the_first_write_leaves_a_run_that_finishes_as_it_was(
    two: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = Path(shutil.copytree(two, tmp_path / "run"))
    assert killed_at(1, monkeypatch, lambda: small(out, 4, resume=True))
    assert Run(out).settings.training.epochs == 2
    small(out, 2, resume=True)
    assert_same(out, two)

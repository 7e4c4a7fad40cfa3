"""Runs written by commit e7fe433 are still read, scored, sampled, shown and resumed.

The runs and the expected values are in `fixtures/runs_e7fe433`; its README says how they were made.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
import torch
from helpers import train_without_page

from ancestral.commands.main import main
from ancestral.core.errors import NotComputable
from ancestral.families.run_settings import renamed
from ancestral.reports.run_page import write_run_page
from ancestral.runs.records import BRACKET, DETECTIONS, QUALITY, SCORES, RecordStore
from ancestral.runs.run import Run

FIXTURES = Path(__file__).parents[1] / "fixtures" / "runs_e7fe433"
EXPECTED: dict[str, dict[str, Any]] = json.loads((FIXTURES / "expected.json").read_text())["runs"]
INTERRUPTED = "interrupted"
FINISHED = sorted(set(EXPECTED) - {INTERRUPTED})
SCORED = [name for name in FINISHED if "nats" in EXPECTED[name]["score"]]
NEWER_NAMES = {"floor": "real", "rungs": "scores"}  # of fields of records
TOLERANCE = 1e-5  # relative; on the machine that made the fixtures everything is equal to the last bit


@pytest.fixture(scope="module")
def arrays() -> dict[str, np.ndarray]:
    with np.load(FIXTURES / "expected.npz", allow_pickle=False) as stored:
        return dict(stored)


def copied(name: str, folder: Path) -> Path:
    """A copy of a fixture that a test may change."""
    return Path(shutil.copytree(FIXTURES / name, folder / name))


def first_images(name: str, arrays: dict[str, np.ndarray]) -> np.ndarray:
    """The first test images as the old commit gave them to the model of a run."""
    return arrays[f"x/{Run(FIXTURES / name).record['data']['space']}"]


def assert_agrees(actual: np.ndarray, expected: np.ndarray) -> None:
    """Same shape and type, and the same values up to rounding."""
    assert actual.shape == expected.shape
    assert actual.dtype == expected.dtype
    np.testing.assert_allclose(actual, expected, rtol=TOLERANCE, atol=TOLERANCE)


def sha256_of(array: np.ndarray) -> str:
    """SHA-256 of the bytes of an array."""
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()


def assert_contains(new: Any, old: Any, where: str = "") -> None:
    """Everything of an old JSON value is in the new one, which may have further fields and newer names."""
    if isinstance(old, dict):
        old = {name if name in new else NEWER_NAMES.get(name, name): value for name, value in old.items()}
        assert set(old) <= set(new), f"{where}: {set(old) - set(new)} are missing"
        for key, value in old.items():
            assert_contains(new[key], value, f"{where}/{key}")
    elif isinstance(old, (list, tuple)):
        assert len(new) == len(old), where
        for i, value in enumerate(old):
            assert_contains(new[i], value, f"{where}/{i}")
    else:
        assert new == old, where


def evaluated(run: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """The test score that `evaluate` prints."""
    capsys.readouterr()
    assert main(["evaluate", str(run), "--json"]) == 0
    (score,) = json.loads(capsys.readouterr().out)
    return score


def assert_same_score(score: dict[str, Any], expected: dict[str, Any]) -> None:
    for name, value in expected.items():
        assert score[name] == (pytest.approx(value, rel=TOLERANCE) if isinstance(value, float) else value), name


def test_every_fixture_has_expected_values() -> None:
    assert {path.parent.name for path in FIXTURES.glob("*/settings.json")} == set(EXPECTED)


@pytest.mark.parametrize("name", FINISHED)
def test_an_old_run_opens(name: str, tmp_path: Path) -> None:
    run = Run(copied(name, tmp_path))
    record = json.loads((FIXTURES / name / "settings.json").read_text())
    assert type(run.load()).__name__ == EXPECTED[name]["class"]
    assert run.finished
    assert run.health is not None
    assert len(run.log()) == len((FIXTURES / name / "log.jsonl").read_text().splitlines())
    assert run.settings.family == record["settings"]["family"]
    for part in ("model", "data", "training"):
        now = vars(getattr(run.settings, part))
        assert_contains(now, renamed(record["settings"][part], now), part)


@pytest.mark.parametrize("name", SCORED)
def test_an_old_run_has_the_same_score(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = copied(name, tmp_path)
    assert_same_score(evaluated(run, capsys), EXPECTED[name]["score"])
    old = json.loads((FIXTURES / name / "scores.json").read_text())
    assert len(Run(run).scores()) == len(old)  # the stored score was replaced, others are kept


@pytest.mark.parametrize("name", sorted(set(FINISHED) - set(SCORED)))
def test_an_old_run_without_a_likelihood_has_no_score(
    name: str, tmp_path: Path, arrays: dict[str, np.ndarray], capsys: pytest.CaptureFixture[str]
) -> None:
    run = copied(name, tmp_path)
    assert main(["evaluate", str(run)]) == EXPECTED[name]["score"]["exit_code"]
    notice, refusal = capsys.readouterr().err.splitlines()
    assert "manifest.json" in notice and refusal.startswith("ancestral: ")
    with pytest.raises(NotComputable):
        Run(run).load().log_prob(torch.from_numpy(first_images(name, arrays)))


@pytest.mark.parametrize("name", FINISHED)
def test_an_old_run_draws_the_same_samples(name: str, tmp_path: Path, arrays: dict[str, np.ndarray]) -> None:
    run, out = copied(name, tmp_path), tmp_path / "sample.npy"
    assert main(["sample", str(run), "--seed", "3", "-n", "4", "--out", str(out)]) == 0
    drawn, expected = np.load(out), EXPECTED[name]["sample"]
    if sha256_of(drawn) != expected["sha256"]:
        assert_agrees(drawn, arrays[f"{name}/sample"])
    assert drawn.sum(dtype=np.float64) == pytest.approx(expected["sum"], rel=TOLERANCE)


@pytest.mark.parametrize("name", FINISHED)
def test_the_test_images_are_the_same(name: str, arrays: dict[str, np.ndarray]) -> None:
    assert_agrees(Run(FIXTURES / name).data.held("test").first(4).numpy(), first_images(name, arrays))


@pytest.mark.parametrize("name", SCORED)
def test_an_old_model_assigns_the_same_probabilities(name: str, arrays: dict[str, np.ndarray]) -> None:
    model, x = Run(FIXTURES / name).load(), torch.from_numpy(first_images(name, arrays))
    with torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(3)
        values = getattr(model, EXPECTED[name]["quantity"])(x)
    assert_agrees(values.numpy(), arrays[f"{name}/values"])


@pytest.mark.parametrize("name", FINISHED)
def test_an_old_run_has_a_page(name: str, tmp_path: Path) -> None:
    run = Run(copied(name, tmp_path))
    page = write_run_page(run, redraw=False).read_text()
    assert EXPECTED[name]["score"].get("space", "") in page
    assert run.record["git_commit"] in page or "e7fe433" in page


@pytest.mark.slow
@pytest.mark.parametrize("name", FINISHED)
def test_an_old_run_has_a_page_with_pictures(name: str, tmp_path: Path) -> None:
    run = Run(copied(name, tmp_path))
    page = write_run_page(run).read_text()
    assert "data:image/png;base64," in page
    assert {path.stem for path in run.figures.glob("*.png")} >= {"samples", "curves"}


@pytest.mark.parametrize("name", FINISHED)
def test_an_old_run_is_verified(name: str, tmp_path: Path) -> None:
    assert main(["verify", str(copied(name, tmp_path))]) == 0


@pytest.mark.parametrize(
    ("name", "store"),
    [("gan", QUALITY), ("made", DETECTIONS), ("vae", SCORES), ("vae", BRACKET)],
    ids=lambda part: getattr(part, "file", part),
)
def test_old_records_are_read(name: str, store: RecordStore[Any]) -> None:
    records = [record.to_json() for record in store.of(Run(FIXTURES / name))]
    stored = json.loads((FIXTURES / name / store.file).read_text())
    assert_contains(records, [stored] if store.alone else stored)


def test_an_old_interrupted_training_is_resumed(
    tmp_path: Path, arrays: dict[str, np.ndarray], capsys: pytest.CaptureFixture[str]
) -> None:
    # a training started today has other draws of the pixels; this one keeps those that it was started with
    resumed, expected = copied(INTERRUPTED, tmp_path), EXPECTED[INTERRUPTED]
    train = Run(resumed).record["command"][1:-1]  # but for the folder
    train_without_page(*train[1:], resumed, "--resume")
    stored = safetensors.numpy.load_file(resumed / "model" / "model.safetensors")
    weights = np.concatenate([stored[name].ravel() for name in sorted(stored)])
    if sha256_of(weights) != expected["weights_sha256"]:
        assert_agrees(weights, arrays[f"{INTERRUPTED}/weights"])
    assert type(Run(resumed).load()).__name__ == expected["class"]
    assert_same_score(evaluated(resumed, capsys), expected["score"])

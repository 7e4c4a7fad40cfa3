"""Circuits as runs: settings, data that fit or do not, classes, pictures, and the health of a fitted start."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers import refused

import ancestral
from ancestral.families.circuit.model import Circuit
from ancestral.health.curves import Case, Facts
from ancestral.health.history import History
from ancestral.runs.explain import explain_run
from ancestral.runs.verify import verify_run
from ancestral.training.log import LogLine

BRIEF: dict[str, Any] = {"data": "digits", "epochs": 3, "train_size": 300, "valid_size": 50, "batch_size": 100}


def model_of(run: ancestral.Run) -> Circuit:
    model = run.load()
    assert isinstance(model, Circuit)
    return model


@pytest.fixture(scope="module")
def classes(tmp_path_factory: pytest.TempPathFactory) -> ancestral.Run:
    return ancestral.fit("circuit", tmp_path_factory.mktemp("circuit") / "classes", states=4, by_class=True, **BRIEF)


@pytest.mark.parametrize(
    "settings",
    [
        {"states": 4},
        {"states": 1},
        {"states": 1, "pixels": "levels"},
        {"states": 3, "components": 2, "method": "em"},
        {"states": 3, "components": 2, "assignment": "posterior"},
        {"states": 3, "components": 2, "by_class": True},
        {"states": 3, "method": "gradient"},
        {"states": 3, "method": "gradient", "precision": "bf16-mixed"},
        {"states": 3, "pixels": "levels"},
        {"states": 3, "pixels": "levels", "output": "logistic", "start": "random"},
    ],
    ids=str,
)
def test_every_kind_of_circuit_trains_and_is_loaded_as_it_was(tmp_path: Path, settings: dict[str, Any]) -> None:
    run = ancestral.fit("circuit", tmp_path / "run", **settings, **BRIEF)
    read = [line.value for line in run.log() if (line.split, line.name) == ("valid", "nll")]
    images = run.data.held("valid").first(50)
    with torch.no_grad():
        stored = -model_of(run).log_prob(images).mean().item()
    assert stored == pytest.approx(min(read), abs=1e-4)
    uniform = 64 * np.log(run.data.spec.levels if settings.get("pixels") else 2)
    assert stored < uniform - 5


def test_a_model_of_classes_is_a_classifier_and_samples_classes(classes: ancestral.Run) -> None:
    model = model_of(classes)
    assert (model.classes, model.components) == (10, 10)
    images = classes.data.held("test").first(447)
    labels = classes.data.stored("test").labels
    assert labels is not None
    with torch.no_grad():
        accuracy = (model.class_posterior(images).probs.argmax(1) == labels).double().mean()
    assert accuracy > 0.8
    drawn = ancestral.sample(classes, 20, label=3)
    assert drawn.shape == (20, 1, 8, 8)
    with torch.no_grad():
        assert (model.class_posterior(torch.as_tensor(drawn).float()).probs.argmax(1) == 3).double().mean() > 0.7


@pytest.mark.parametrize("name", ["trees", "mean-images", "information"])
def test_the_drawings_show_numbers_of_the_model(classes: ancestral.Run, name: str) -> None:
    figure = classes.show(name, count=4 if name != "information" else 10)
    texts = " ".join(text.get_text() for axes in figure.axes for text in axes.texts)
    texts += " ".join(text.get_text() for text in figure.texts)
    assert {"trees": "the root", "mean-images": "%", "information": "±"}[name] in texts


def test_the_terms_of_the_score_add_up(classes: ancestral.Run) -> None:
    found = explain_run(classes, count=40)
    with torch.no_grad():
        exact = model_of(classes).log_prob(classes.data.held("test").first(40))
    assert len(found.names) == 4 and torch.allclose(found.natural.sum(1).float(), exact, atol=1e-3)


def test_a_run_keeps_the_contract(classes: ancestral.Run) -> None:
    assert all(check.passed for check in verify_run(classes))


def test_completions_of_a_run_are_exact(classes: ancestral.Run) -> None:
    done = ancestral.complete(classes, hide="bottom", count=3, draws=2)
    assert done.how == "exact" and done.score is not None and done.score.kind == "exact"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"pixels": "unit"}, ["--pixels levels"]),
        ({"data": "moons", "output": "categorical"}, ["--output categorical needs pixels with levels"]),
        ({"data": "moons", "states": 1}, ["at least 2 states"]),
        ({"output": "logistic"}, ["--output logistic cannot be used with threshold pixels"]),
        ({"states": 60_000}, ["not enough memory", "choose smaller sizes"]),
    ],
    ids=str,
)
def test_what_a_circuit_cannot_be_built_for_is_refused(
    tmp_path: Path, settings: dict[str, Any], words: list[str]
) -> None:
    refused(lambda: ancestral.fit("circuit", tmp_path / "run", epochs=1, **settings), *words)
    assert not (tmp_path / "run").exists()


def test_classes_need_labels(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 2, (40, 5, 5)).astype(np.uint8)
    np.savez(tmp_path / "x.npz", images=images)
    build = {"data": str(tmp_path / "x.npz"), "pixels": "threshold", "epochs": 1}
    refused(
        lambda: ancestral.fit("circuit", tmp_path / "run", by_class=True, **build), "--conditional needs labelled data"
    )


def test_constant_pixels_and_tiny_images_train(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 2, (60, 4, 4)).astype(np.uint8)
    images[:, 0], images[:, 1] = 0, 1
    np.savez(tmp_path / "x.npz", images=images)
    run = ancestral.fit(
        "circuit", tmp_path / "run", data=str(tmp_path / "x.npz"), pixels="threshold", states=3, epochs=2
    )
    model = model_of(run)
    x = torch.as_tensor(images[:, None]).float()
    with torch.no_grad():
        assert model.log_prob(x).isfinite().all() and model.log_prob(1 - x).isfinite().all()
        assert model.log_prob(x).mean() > -10 > model.log_prob(1 - x).mean()


def test_after_a_fitted_start_the_first_loss_is_not_that_of_an_untrained_model() -> None:
    """The start has already a low loss; without the fact, a small rise would be judged as a divergence."""
    log = [LogLine(1, 1, "train", "loss", 20.0), LogLine(2, 1, "valid", "nll", 21.0)]
    facts = Facts(100, 1, 2, uniform=44.0)
    assert Case(History(log), facts).held_beginning == 20.0
    assert Case(History(log), facts._replace(fitted_start=True)).held_beginning == 44.0

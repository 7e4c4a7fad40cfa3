"""Pictures that show classes name them as the data do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import ancestral
from ancestral.reports.pictures import latents, samples
from ancestral.reports.pictures.catalogue import caption_of
from ancestral.reports.pictures.class_names import class_in_words, learned_class_in_words
from ancestral.runs.run import Run
from ancestral.runs.sample import present_classes

NAMES = ["bird", "cat", "dog", "fish"]
ABSENT = 2


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A conditional GAN of four named classes, one of which has no images; the classes differ in brightness."""
    folder = tmp_path_factory.mktemp("classes")
    labels = np.resize(np.array([0, 1, 3]), 300)
    images = np.random.default_rng(0).integers(0, 40, (300, 6, 6)) + 60 * labels[:, None, None]
    np.savez(folder / "data.npz", images=images.astype(np.uint8), labels=labels, class_names=np.array(NAMES))
    small: dict[str, Any] = {"hidden": (8,), "critic_hidden": (8,), "latents": 3, "epochs": 1}
    return Run(ancestral.fit("gan", folder / "run", data=str(folder / "data.npz"), classes=4, **small).path)


def texts(figure: Any) -> list[str]:
    return [text.get_text() for text in figure.texts if text.get_text()]


def shown(monkeypatch: pytest.MonkeyPatch, module: Any) -> list[dict[str, Any]]:
    """The arguments of the sheets that a module draws from here on."""
    calls: list[dict[str, Any]] = []
    draw = module.image_grid

    def remember(images: torch.Tensor, **how: Any) -> Any:
        calls.append({"images": images, **how})
        return draw(images, **how)

    monkeypatch.setattr(module, "image_grid", remember)
    return calls


def test_rows_of_samples_are_of_one_named_class(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    model = run.load()
    asked: list[torch.Tensor] = []
    draw = type(model).sample_classes
    monkeypatch.setattr(
        type(model), "sample_classes", lambda model, labels: (asked.append(labels), draw(model, labels))[1]
    )
    written = texts(samples.samples(run))
    assert [text for text in written if text in NAMES] == ["bird", "cat", "fish"], "no row for a class without images"
    assert asked[0].tolist() == [0] * 8 + [1] * 8 + [3] * 8
    assert any("24 samples by class" in text for text in written)
    assert "Each row is of one class." in caption_of(run, "samples")


@pytest.mark.parametrize(("count", "rows", "columns"), [(1, 1, 1), (3, 3, 1), (8, 3, 2), (30, 3, 10)])
def test_as_many_samples_as_asked_for(
    run: Run, monkeypatch: pytest.MonkeyPatch, count: int, rows: int, columns: int
) -> None:
    calls = shown(monkeypatch, samples)
    samples.samples(run, count)
    assert len(calls[0]["images"]) == rows * columns <= count and len(calls[0]["row_titles"]) == rows


def test_of_many_classes_the_first_are_shown(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(samples, "CLASSES_SHOWN", 2)
    written = texts(samples.samples(run))
    assert "bird" in written and "cat" in written and "fish" not in written
    assert any("16 samples by class (2 of 3 classes)" in " ".join(text.split()) for text in written)


def test_walks_and_traversals_name_the_class_that_they_hold(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = shown(monkeypatch, latents)
    latents.walks(run, 3)
    assert calls[0]["row_titles"] == ["class bird", "", "class cat", "", "class fish", ""]
    latents.traversals(run)
    assert any(f"the values of a sample of z, of class {name}." in calls[1]["note"] for name in NAMES)


def test_codes_are_named(run: Run) -> None:
    figure = latents.latents(run, 30)
    written = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert {"bird", "cat", "fish"} <= set(written)


def test_names_and_numbers(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert [class_in_words(run, label) for label in (0, ABSENT, 4, -1)] == ["bird", "dog", "4", "unlabelled"]
    assert learned_class_in_words(run, 3) == "fish"
    monkeypatch.setattr(type(run.data), "classes", property(lambda data: ("x", "y", "z", "w")))  # other data
    assert class_in_words(run, 3) == "w" and learned_class_in_words(run, 3) == "fish"
    monkeypatch.setattr(type(run.data), "classes", property(lambda data: ("x" * 24, "y" * 25)))
    assert class_in_words(run, 0) == "x" * 24 and class_in_words(run, 1) == "y" * 23 + "…"


def test_a_model_without_a_condition_has_no_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small: dict[str, Any] = {"hidden": (8,), "critic_hidden": (8,), "latents": 3, "epochs": 1, "train_size": 64}
    plain = Run(ancestral.fit("gan", tmp_path / "run", valid_size=16, **small).path)
    calls = shown(monkeypatch, latents)
    latents.walks(plain, 2)
    latents.traversals(plain)
    assert calls[0]["row_titles"] == [""] * 4 and "the values of a sample of z." in calls[1]["note"]
    assert not any("class" in text for text in [*texts(samples.samples(plain)), caption_of(plain, "samples")])


def test_classes_of_a_model_that_does_not_know_which_it_has_seen() -> None:
    class Conditional:
        classes = 3

        def sample_classes(self, labels: torch.Tensor) -> torch.Tensor:
            return labels

    assert present_classes(Conditional()) == [0, 1, 2]

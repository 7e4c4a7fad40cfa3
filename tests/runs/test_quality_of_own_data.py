"""Sample quality of a person's own data: without labels, with few, and beside other images than the run's own."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock as Mock

import numpy as np
import pytest
import torch
from helpers import quality_of, refused
from torch import Tensor

from ancestral import fit
from ancestral.commands.main import main
from ancestral.data.datasets import load_dataset
from ancestral.data.pixels import PixelSpace
from ancestral.data.splits import Split
from ancestral.evaluation import recogniser_training
from ancestral.evaluation.pixel_features import fit_pixels
from ancestral.evaluation.quality import CLASS_MEASURES, MEASURES, Quality, rank_quality
from ancestral.evaluation.recogniser import recogniser_for, why_not_learned
from ancestral.models.base import Model
from ancestral.reports.quality_tables import quality_table
from ancestral.reports.run_page import write_run_page
from ancestral.runs import quality
from ancestral.runs.new_data import on_data
from ancestral.runs.quality import View, measure_images, measure_run
from ancestral.runs.records import QUALITY
from ancestral.runs.run import Run
from ancestral.settings.data import OtherData
from ancestral.studies import workshop

DIGITS = load_dataset("digits", valid_size=0)
IMAGES = torch.cat([DIGITS.train.images, DIGITS.test.images]).numpy()
LABELS = torch.cat([DIGITS.train.labels, DIGITS.test.labels]).numpy()  # type: ignore[list-item]
SETTINGS: dict[str, Any] = {"components": 5, "method": "em", "epochs": 1}


@pytest.fixture(scope="module", autouse=True)
def quick_recogniser(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A poor recogniser, soon trained, in a cache of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        patch.setattr(recogniser_training, "IMAGES_SEEN", 3000)
        patch.setattr(recogniser_training, "EPOCHS", 1)
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on images without labels, one on the same with labels, and one on some of the labels."""
    folder = tmp_path_factory.mktemp("own")
    some = np.where(np.arange(len(LABELS)) % 3, -1, LABELS)
    for name, labels in (("plain", {}), ("labelled", {"labels": LABELS}), ("some", {"labels": some})):
        (folder / name).mkdir()
        np.savez(folder / name / "own.npz", images=IMAGES, **labels)
        fit("mixture", folder / name / "run", data=folder / name / "own.npz", split_seed=3, **SETTINGS)
    return folder


@pytest.fixture
def no_training(monkeypatch: pytest.MonkeyPatch) -> None:
    """A recogniser that is trained, or a sample that is drawn, fails the test."""

    def fail(*args: object, **kwargs: object) -> None:
        raise AssertionError("computed before the refusal")

    monkeypatch.setattr(quality, "recogniser_for", fail)
    monkeypatch.setattr(View, "drawn", fail)


def test_images_without_labels_are_measured_in_their_pixels(folder: Path) -> None:
    run = Run(folder / "plain" / "run")
    record = measure_run(run)
    assert record.network == "61 principal components of the pixels of own's training images"
    assert {getattr(record, name) for name in CLASS_MEASURES} == {None} and record.network_accuracy == {}
    samples, real = record.fid
    assert record.count == 179 and 0 < real < samples
    assert record.recall[0] < record.recall[1] and record.coverage[0] < record.coverage[1]
    assert QUALITY.of(run) == [record]
    whole = load_dataset(str(folder / "plain" / "own.npz"), valid_size=0, split_seed=3)
    assert record.network_sha256 == fit_pixels(whole.train, 17, "own").sha256  # and no test image is among these
    stored = json.loads((run.path / "quality.json").read_text())[0]
    assert stored["inception_score"] is None and stored["data_sha256"] == run.record["data"]["sha256"]
    page = write_run_page(run, redraw=False).read_text()
    assert "61 principal components" in page and "coverage" in page and "None" not in page


def test_pixels_that_are_asked_for_do_not_depend_on_labels(tmp_path: Path) -> None:
    """Of the same images, divided alike, every value is the same with labels and without."""
    parts = {"train_images": IMAGES[:400], "test_images": IMAGES[400:800]}
    labels = {"train_labels": LABELS[:400], "test_labels": LABELS[400:800]}
    records = []
    for name, arrays in (("with", parts | labels), ("without", parts)):
        (tmp_path / name).mkdir()
        np.savez(tmp_path / name / "own.npz", **arrays)
        run = fit("mixture", tmp_path / name / "run", data=tmp_path / name / "own.npz", valid_size=0, **SETTINGS)
        view = View(run.data)
        drawn = torch.from_numpy(IMAGES[800:1200]).float() / 16 > 0.5
        records.append(measure_images(view, drawn.float(), features="pixels"))
    assert records[0].compared == records[1].compared
    assert {getattr(record, name) for name in CLASS_MEASURES for record in records} == {None}
    for name in MEASURES.keys() - set(CLASS_MEASURES):
        # the training images come in another order, and so do the random subsets of KID
        close = 0.2 if name == "kid" else 1e-6
        assert tuple(getattr(records[0], name)) == pytest.approx(tuple(getattr(records[1], name)), rel=close), name


def test_the_features_depend_on_the_share_of_labelled_images(folder: Path) -> None:
    """A third has labels: pixels, unless the classifier is asked for, which learns from the labelled ones alone."""
    assert measure_run(folder / "labelled" / "run").network == "own recogniser 1"
    run = Run(folder / "some" / "run")
    assert "principal components" in measure_run(run).network
    asked = measure_run(run, features="recogniser")
    assert asked.network == "own recogniser 1" and asked.recognised is not None
    whole = quality._whole(run.data)
    found = recogniser_for(whole)
    assert found.facts.classes == tuple(range(10)) and found.facts.test_count < len(whole.test) / 2
    assert len(QUALITY.of(run)) == 2
    refused(lambda: rank_quality(QUALITY.of(run)), "cannot be ranked")


def test_a_classifier_that_cannot_be_trained_is_refused(folder: Path, no_training: None) -> None:
    run = Run(folder / "plain" / "run")
    refused(lambda: measure_run(run, features="recogniser"), "own has no labels", "--features pixels")
    unlabelled = replace(DIGITS, train=Split(DIGITS.train.images, torch.full((len(DIGITS.train),), -1)))
    assert "no labels" in why_not_learned(unlabelled)
    assert "labelled training images" in why_not_learned(replace(DIGITS, train=_labels_of(DIGITS.train, 60)))
    assert "no test image" in why_not_learned(replace(DIGITS, test=_labels_of(DIGITS.test, 0)))
    assert not why_not_learned(DIGITS)


def _labels_of(split: Split, count: int) -> Split:
    """The split with labels of its first images only."""
    assert split.labels is not None
    return Split(split.images, torch.where(torch.arange(len(split)) < count, split.labels, -1))


def test_too_few_images_are_refused_first(folder: Path, no_training: None) -> None:
    plain, labelled = (Run(folder / name / "run") for name in ("plain", "labelled"))
    refused(lambda: measure_run(plain, 61), "61 images of own are too few", "61 features", "at least 62")
    refused(lambda: measure_run(labelled, 32), "32 features", "at least 33")
    with pytest.raises(AssertionError, match="before the refusal"):
        measure_run(plain, 62)


def test_unlabelled_images_of_mnist_size_use_its_classifier_without_class_measures(tmp_path: Path) -> None:
    grey = np.repeat(np.repeat(IMAGES[:900, :, :7, :7], 4, 2), 4, 3)
    np.savez(tmp_path / "big.npz", images=grey)
    run = fit("mixture", tmp_path / "run", data=tmp_path / "big.npz", **SETTINGS)
    record = measure_run(run)
    assert record.network == "features of the mnist recogniser 1, which was trained on other images"
    assert record.recognised is None and "test accuracy" not in record.conditions and record.fid.value > 0
    assert "principal components" in measure_run(run, features="pixels").network


def test_sampled_binary_pixels_do_not_depend_on_the_block_size(monkeypatch: pytest.MonkeyPatch) -> None:
    class Drawn:
        space, name = PixelSpace("binary", 17), "digits"

    view = View(Drawn())  # type: ignore[arg-type]
    whole = view.real(DIGITS.train.images, "training")
    monkeypatch.setattr(Split.blocks, "__defaults__", (100,))
    parts = list(view.blocks(DIGITS.train, "training"))
    assert len(parts) == 14 and torch.equal(torch.cat(parts), whole)


def test_the_nearest_training_image_is_that_of_all_blocks(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(folder / "plain" / "run")
    at_once = measure_run(run, 70)
    monkeypatch.setattr(Split.blocks, "__defaults__", (100,))
    assert measure_run(run, 70) == at_once


def test_a_classifier_is_trained_on_the_chosen_rows() -> None:
    rows = torch.arange(100, 300)
    labels = torch.from_numpy(LABELS).long()[rows]
    apart, chosen = Split(DIGITS.train.images[rows], None), Split(DIGITS.train.images, None, chosen=rows)
    first, second = (recogniser_training.train_classifier(part, labels, 10, 17) for part in (apart, chosen))
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


def test_a_study_does_not_reuse_a_record_without_classes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(folder / "labelled" / "run")
    asked: list[int] = []
    monkeypatch.setattr(workshop, "measure_run", lambda run, count, **options: asked.append(count))
    study = Mock(runs={"it": run}, titles={}, size=lambda most, quick: 150)
    measure_run(run, 150, features="pixels")
    workshop.Workshop.quality(study, "it")
    assert asked == [150]
    found = measure_run(run, 150)
    assert workshop.Workshop.quality(study, "it") == found and asked == [150]


def test_one_repeated_image_is_found_in_the_pixels(folder: Path) -> None:
    run = Run(folder / "plain" / "run")

    class Collapsed(Model):
        def sample(self, n: int) -> Tensor:
            return run.data.held("test").first(1).expand(n, 1, 8, 8)

    real = measure_run(run)
    run.load = lambda: Collapsed()  # type: ignore[method-assign]
    found = measure_run(run)
    assert found.recall.value < 0.05 < real.recall.value and found.coverage.value < 0.1 < real.coverage.value


def test_other_images_replace_the_test_images(folder: Path, tmp_path: Path, capsys: Any) -> None:
    run = Run(folder / "plain" / "run")
    own = measure_run(run)
    before = (run.path / "quality.json").read_bytes()
    np.save(tmp_path / "same.npy", run.data.stored("test").images.numpy())
    np.save(tmp_path / "noise.npy", np.random.default_rng(0).integers(0, 17, (200, 8, 8), np.uint8))
    same, other = (measure_run(on_data(run, OtherData(str(tmp_path / f"{name}.npy")))[0]) for name in ("same", "noise"))
    for name in ("fid", "kid", "recall", "density", "near_copies", "nearest"):
        assert getattr(same, name) == getattr(own, name)  # only the name of the data is another
    assert same.network_sha256 == other.network_sha256 == own.network_sha256
    assert same.space == "same, binary, threshold 0.5" and other.fid.value > own.fid.value
    assert other.count == 200 and other.nearest[1] > own.nearest[1]
    argv = ["quality", str(run.path), "--data", str(tmp_path / "noise.npy"), "--count", "100"]
    assert main(argv) == 0
    out, err = capsys.readouterr()
    assert "FID" in out and "IS" not in out.split() and "61 principal components" in err
    assert "records are not stored" in err and (run.path / "quality.json").read_bytes() == before


def test_parts_of_other_data_are_chosen_by_split(folder: Path, tmp_path: Path, capsys: Any) -> None:
    run = folder / "plain" / "run"
    np.savez(tmp_path / "parts.npz", train_images=IMAGES[:150], test_images=IMAGES[150:250])
    argv = ["quality", str(run), "--json", "--data", str(tmp_path / "parts.npz")]
    counts = []
    for more in ([], ["--split", "train"]):
        assert main([*argv, *more]) == 0
        counts += [(record["count"], record["space"].split(",")[0]) for record in json.loads(capsys.readouterr().out)]
    assert counts == [(100, "parts (test)"), (150, "parts (train)")]
    assert main(["quality", str(run), "--split", "train"]) == 2
    out, err = capsys.readouterr()
    assert not out and err.count("\n") == 1 and "--data" in err


def test_own_data_are_read_with_the_stored_settings(tmp_path: Path) -> None:
    """With the levels and the size that the run was given, in its version of the reading, and without its padding."""
    large = np.repeat(np.repeat(IMAGES[:400], 2, 2), 2, 3)
    np.savez(tmp_path / "own.npz", images=large)
    options: dict[str, Any] = {"levels": 32, "resize": 8, "pad_to": 10}
    run = fit(
        "mixture", tmp_path / "run", data=tmp_path / "own.npz", train_size=250, valid_size=20, **options, **SETTINGS
    )
    whole = quality._whole(run.data)
    assert (whole.event_shape, whole.levels, whole.sha256) == ((1, 8, 8), 32, run.record["data"]["sha256"])
    assert len(whole.train) == 360
    held = {tuple(image.flatten().tolist()) for image in whole.test.images}
    assert held == {tuple(image.flatten().tolist()) for image in run.data.stored("test").images[:, :, 1:-1, 1:-1]}
    refused(lambda: measure_run(run), "40 images of own padded to 10x10 are too few")


def test_absent_values_are_left_out_of_tables_and_kept_in_records() -> None:
    known = quality_of(fid=1.0)
    absent: Any = dict.fromkeys(CLASS_MEASURES)
    bare = replace(known, **absent, network="pixels of own", network_accuracy={})
    assert Quality.from_json(json.loads(json.dumps(bare.to_json()))) == bare
    refused(lambda: Quality.from_json({**bare.to_json(), "fid": None}), "not a record")
    alone = quality_table([("a", bare)])
    assert {"IS", "recognised", "classes", "class KL"}.isdisjoint(row[0] for row in alone.rows) and len(alone.rows) == 8
    both = quality_table([("a", known), ("b", bare)])
    assert ["IS", "0.500", "-", "0.100", "-"] in both.rows
    assert ["features", "a network", "pixels of own", "a network", "pixels of own"] in both.rows
    better = replace(bare, fid=bare.fid._replace(value=0.5))
    assert rank_quality([bare, better]) == [1, 0]
    refused(lambda: rank_quality([bare, better], "recognised"), "recognised", "classifier")


def test_a_class_that_no_real_image_shows_is_named(folder: Path, tmp_path: Path) -> None:
    names = [f"digit {i}" for i in range(10)]
    data = Run(folder / "labelled" / "run").data
    data.record = {**data.record, "classes": names}  # type: ignore[attr-defined]
    rows = LABELS == 3
    found = recogniser_for(quality._whole(data))
    seen = found(torch.from_numpy(IMAGES[rows]).float() / 16)
    missing = sorted(set(range(10)) - set(seen.classes.tolist()))
    refused(lambda: quality._refuse_missing_classes(seen, found, data.classes), *(names[i] for i in missing))

"""Runs on data in memory: what they record, how they find the data again, and what is refused."""

from __future__ import annotations

import gc
import json
import shutil
import signal
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers import printed, refused
from sklearn.datasets import load_digits
from torch.utils.data import Dataset, TensorDataset

import ancestral
from ancestral.core.errors import Interrupted
from ancestral.data import memory
from ancestral.reports.run_page import repeat_command, write_run_page
from ancestral.runs.records import DETECTIONS
from ancestral.runs.unusual import Ranking
from ancestral.training.loop import Reporter

PIXELS, TARGETS = load_digits(return_X_y=True)
IMAGES, LABELS = PIXELS[:400].reshape(-1, 8, 8).astype(np.uint8), TARGETS[:400]
SMALL: dict[str, Any] = {"latents": 2, "hidden": (8,), "epochs": 1}


class Augmented(Dataset):
    """Images that a random transform changes."""

    def __len__(self) -> int:
        return 400

    def __getitem__(self, place: int) -> Any:
        return torch.from_numpy(IMAGES[place] / np.float32(16))[None] * torch.rand(1), int(LABELS[place])


class Stops(Reporter):
    """Interrupts a training once, after so many steps, as Ctrl-C does."""

    def __init__(self, steps: int) -> None:
        self.steps = steps
        self.asked = False

    def advance(self, step: int, readings: Any) -> None:
        if step >= self.steps and not self.asked:
            self.asked = True
            signal.raise_signal(signal.SIGINT)


def forget() -> None:
    """Make this process as a new one: no data are held."""
    memory._held.clear()
    memory._last.clear()


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> ancestral.Run:
    return ancestral.fit("vae", tmp_path_factory.mktemp("memory") / "run", data=(IMAGES, LABELS), **SMALL)


@pytest.fixture(scope="module")
def augmented(tmp_path_factory: pytest.TempPathFactory) -> ancestral.Run:
    return ancestral.fit("vae", tmp_path_factory.mktemp("augmented") / "run", data=Augmented(), **SMALL)


@pytest.fixture
def run(trained: ancestral.Run, tmp_path: Path) -> ancestral.Run:
    """A copy of the run, as a new process finds it: no data are held."""
    forget()
    return ancestral.Run(shutil.copytree(trained.path, tmp_path / "run"))


def test_a_run_records_its_data(trained: ancestral.Run) -> None:
    record = json.loads((trained.path / "settings.json").read_text())
    assert record["settings"]["data"]["data"].startswith("memory:") and len(record["data"]["sha256"]) == 64
    assert (record["data"]["levels"], record["data"]["event_shape"]) == (17, [1, 8, 8])
    assert record["data"]["counts"] == {"train": 320, "valid": 40, "test": 40}
    assert "absolute_path" not in record["data"]


def test_a_run_without_its_data_requests_them(run: ancestral.Run, capsys: Any) -> None:
    assert ancestral.sample(run, 2).shape == (2, 1, 8, 8)  # no data are needed
    for asked in (ancestral.evaluate, ancestral.infer, ancestral.detect):
        refused(lambda asked=asked: asked(run), str(run.path), "data in memory", "data=...", "Run(FOLDER, data=...)")


def test_data_with_equal_contents_are_the_run_s_own(
    run: ancestral.Run, tmp_path: Path, capsys: Any, caplog: Any
) -> None:
    first = ancestral.evaluate(run, data=(IMAGES, LABELS))
    assert first.count == 40 and first.data_sha256 == run.record["data"]["sha256"]
    forget()
    forms: list[Any] = [
        TensorDataset(torch.from_numpy(IMAGES), torch.from_numpy(LABELS)),
        {"images": IMAGES.astype(np.int32), "labels": LABELS.tolist()},
    ]
    for same in forms:
        again = ancestral.evaluate(run.path, data=same)
        assert (again.nats, again.split, again.data_sha256) == (first.nats, "test", first.data_sha256)
    assert len(run.scores()) == 1 and "results are not stored" not in caplog.text
    forget()
    given = ancestral.Run(run.path, data=forms[1])
    forget()
    assert ancestral.evaluate(given).nats == first.nats
    refused(lambda: ancestral.Run(run.path, data=IMAGES[:50]), "these are not the data of")
    np.savez(tmp_path / "same.npz", images=IMAGES, labels=LABELS)
    forget()
    out, _ = printed(capsys, "evaluate", run.path, "--data", tmp_path / "same.npz")
    assert f"{first.nats:.2f}" in out and len(run.scores()) == 1


def test_data_with_other_contents_are_other_data(run: ancestral.Run, caplog: Any) -> None:
    score = ancestral.evaluate(run, data=(IMAGES[::-1], LABELS[::-1]))
    assert (score.count, score.split) == (400, "given") and run.scores() == []
    assert "are not the data of" in caplog.text and "results are not stored" in caplog.text
    assert ancestral.infer(run, data=torch.from_numpy(IMAGES[:5])).z.shape == (5, 2)
    assert ancestral.complete(run, "left", data=list(IMAGES[:3]), count=2).drawn.shape == (4, 2, 1, 8, 8)
    assert ancestral.explain(run, data=IMAGES[:20]).total.count == 20


def test_a_training_resumes_with_the_same_data(tmp_path: Path) -> None:
    settings = {**SMALL, "epochs": 3, "batch_size": 50}
    whole = ancestral.fit("vae", tmp_path / "whole", data=(IMAGES, LABELS), **settings)
    with pytest.raises(Interrupted):
        ancestral.fit("vae", tmp_path / "part", data=(IMAGES, LABELS), reporter=Stops(9), **settings)
    forget()
    files = sorted(path.name for path in (tmp_path / "part").iterdir())
    for other in ((IMAGES[::-1], LABELS[::-1]), IMAGES, Augmented()):
        refused(
            lambda other=other: ancestral.fit("vae", tmp_path / "part", data=other, resume=True, **settings),
            "other data in memory",
        )
    assert sorted(path.name for path in (tmp_path / "part").iterdir()) == files
    same = (torch.from_numpy(IMAGES), torch.from_numpy(LABELS))
    resumed = ancestral.fit("vae", tmp_path / "part", data=same, resume=True, **settings)
    assert resumed.weights_sha256 == whole.weights_sha256


def test_nothing_is_written_if_the_data_are_refused(tmp_path: Path) -> None:
    for bad in ((IMAGES, LABELS[1:]), np.zeros((0, 8, 8)), IMAGES[:2], PIXELS[:, :, None, None, None]):
        with pytest.raises(ancestral.InputError):
            ancestral.fit("vae", tmp_path / "run", data=bad, **SMALL)
    assert not (tmp_path / "run").exists()
    refused(lambda: ancestral.sweep("vae", tmp_path / "sweep", {"latents": [2, 3]}, data=IMAGES), "save them to a file")


def test_a_run_keeps_its_data_in_memory(tmp_path: Path) -> None:
    arrays = [IMAGES[place:] for place in range(6)]
    runs = [ancestral.fit("vae", tmp_path / str(i), data=array, **SMALL) for i, array in enumerate(arrays)]
    for run, array in zip(runs, arrays, strict=True):
        assert sum(run.record["data"]["counts"].values()) == len(array)
        assert ancestral.evaluate(run).count == len(run.data.dataset.test)
    twice = ancestral.fit("vae", tmp_path / "twice", data=arrays[0], **{**SMALL, "seed": 1})
    ancestral.evaluate(twice.path)  # by its folder alone
    assert len(ancestral.compare([runs[0].path, twice], paired=True).differences) == 1
    refused(lambda: ancestral.compare(runs[:2]), "not comparable")
    held = weakref.ref(memory._held[runs[1].settings.data.data])
    folder = runs[1].path
    del runs[1], run
    gc.collect()
    assert held() is None
    refused(lambda: ancestral.evaluate(folder), "data in memory")


def test_data_that_change_are_recorded_without_a_hash(augmented: ancestral.Run, caplog: Any) -> None:
    record = augmented.record["data"]
    assert record["sha256"] is None and "data not reproducible" in record["name"]
    score = ancestral.evaluate(augmented)
    assert score.data_sha256 is None and "data not reproducible" in score.space
    assert ancestral.evaluate(augmented) == score and augmented.scores() == [score]  # they were read once
    ancestral.detect(augmented, "noise", trials=10)
    assert "data not reproducible" in DETECTIONS.of(augmented)[0].space
    other = ancestral.evaluate(augmented, data=Augmented())
    assert other.split == "given" and augmented.scores() == [score]
    assert "cannot be recognised" in caplog.text


def test_pages_and_checks_work_for_data_without_a_hash(augmented: ancestral.Run) -> None:
    ancestral.evaluate(augmented)
    page = write_run_page(augmented, redraw=False).read_text()
    assert "data not reproducible" in page and "no SHA-256" in page
    assert all(check.passed for check in ancestral.verify(augmented))
    assert ancestral.compare([augmented]).names == ["run"]
    settings = augmented.settings
    refused(
        lambda: ancestral.fit("vae", augmented.path, data=Augmented(), resume=True, **SMALL),
        "other data in memory",
    )
    assert settings == ancestral.Run(augmented.path).settings


def test_data_that_change_cannot_be_read_in_another_process(augmented: ancestral.Run) -> None:
    kept = dict(memory._held)
    forget()
    refused(lambda: ancestral.evaluate(augmented.path), "change with each reading")
    memory._held.update(kept)


def test_the_page_says_how_to_repeat_a_run_on_data_in_memory(trained: ancestral.Run) -> None:
    command = repeat_command(trained)
    assert "memory:" not in command and "--data FILE.npz" in command
    memory.hold((IMAGES, LABELS))
    assert "save them to FILE.npz" in write_run_page(trained, redraw=False).read_text()


def test_new_data_are_ranked(run: ancestral.Run, caplog: Any) -> None:
    noise = np.random.default_rng(0).integers(0, 17, (10, 8, 8)).astype(np.uint8)
    ancestral.evaluate(run, data=(IMAGES, LABELS))  # p-values count its validation images
    found = ancestral.detect(run, data=np.concatenate([IMAGES[:20], noise]))
    assert isinstance(found, Ranking) and sorted(found.order.tolist()) == list(range(30))
    assert bool((found.p_value[found.order].diff() >= 0).all()) and len(found.log_prob) == 30
    assert found.calibration == 40
    assert ancestral.detect(run, data=IMAGES[:30], count=7, samples=3).log_prob.shape == (7,)
    record = ancestral.detect(run, noise.repeat(5, 0), trials=20)
    assert record.against.startswith("memory:") and record.counts[1] == 50
    assert ancestral.detect(run, trials=20).against == "frankenstein"


def test_arguments_for_anomalies_and_for_new_data_cannot_be_combined(run: ancestral.Run) -> None:
    for wrong in ({"against": "noise"}, {"trials": 5}, {"sizes": [3]}, {"alpha": 0.1}, {"seed": 1}):
        name = next(iter(wrong))
        refused(
            lambda wrong=wrong: ancestral.detect(run, data=IMAGES[:9], **wrong), name, "cannot be combined with data"
        )
    refused(lambda: ancestral.detect(run, "noise", split="train"), "split", "give data too")
    refused(lambda: ancestral.detect(run, "noise", levels=17), "levels", "give data too")
    refused(lambda: ancestral.detect(run, data=IMAGES[:9], colour=3), "unknown argument")
    run = ancestral.Run(run.path, data=(IMAGES, LABELS))
    refused(lambda: ancestral.detect(run, np.zeros((50, 9, 9), np.uint8)), "9x9")
    refused(lambda: ancestral.detect(run, IMAGES[:50]), "training images")

"""Data in memory: arrays, tensors, pairs, dicts and datasets are read as files with the same contents are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers import refused
from PIL import Image
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

import ancestral
from ancestral.data import memory
from ancestral.data.datasets import load_dataset
from ancestral.data.memory import hold

PIXELS, TARGETS = load_digits(return_X_y=True)
IMAGES, LABELS = PIXELS[:200].reshape(-1, 8, 8).astype(np.uint8), TARGETS[:200]


class Items(Dataset):
    """A map-style dataset. Args: of: the items."""

    def __init__(self, of: list[Any], **attributes: Any) -> None:
        self.of = of
        for name, value in attributes.items():
            setattr(self, name, value)

    def __len__(self) -> int:
        return len(self.of)

    def __getitem__(self, place: int) -> Any:
        return self.of[place]


class Stream(IterableDataset):
    def __iter__(self) -> Any:
        return iter([(image, int(label)) for image, label in zip(IMAGES, LABELS, strict=True)])


class Noisy(Items):
    def __getitem__(self, place: int) -> Any:
        return torch.rand(1, 4, 4)


class Names:
    def __init__(self, names: list[str]) -> None:
        self.names = names


def as_pictures() -> list[Any]:
    return [(Image.fromarray(image), int(label)) for image, label in zip(IMAGES, LABELS, strict=True)]


FORMS = {
    "pair": lambda: (IMAGES, LABELS),
    "list": lambda: [IMAGES, LABELS],
    "tensors": lambda: (torch.from_numpy(IMAGES), torch.from_numpy(LABELS)),
    "dict": lambda: {"images": IMAGES, "labels": LABELS},
    "x and y": lambda: {"x": IMAGES, "y": LABELS},
    "tensor dataset": lambda: TensorDataset(torch.from_numpy(IMAGES), torch.from_numpy(LABELS)),
    "pictures": lambda: Items(as_pictures()),
    "loader": lambda: DataLoader(Items(as_pictures()), batch_size=7),
    "stream": lambda: Stream(),
    "hugging face": lambda: Items(
        [{"image": image, "label": label} for image, label in as_pictures()], column_names=["image", "label"]
    ),
}


@pytest.fixture
def expected(tmp_path: Path) -> Any:
    np.savez(tmp_path / "same.npz", images=IMAGES, labels=LABELS)
    return load_dataset(str(tmp_path / "same.npz"))


@pytest.mark.parametrize("form", FORMS)
def test_all_forms_are_read_as_the_same_file(form: str, expected: Any) -> None:
    found = load_dataset(hold(FORMS[form]()))
    assert found.sha256 == expected.sha256 and found.levels == 17 and found.own
    for part in ("train", "valid", "test"):
        assert torch.equal(found.split(part).images, expected.split(part).images)
        assert torch.equal(found.split(part).labels, expected.split(part).labels)


def test_splits_stay_splits() -> None:
    arrays = {"train": (IMAGES[:150], LABELS[:150]), "test": (IMAGES[150:], LABELS[150:])}
    for data in (
        arrays,
        ((IMAGES[:150], LABELS[:150]), (IMAGES[150:], LABELS[150:])),
        {name: Items(list(zip(*pair, strict=True))) for name, pair in arrays.items()},
    ):
        found = load_dataset(hold(data))
        assert (
            np.array_equal(found.test.images[:, 0].numpy(), IMAGES[150:]) and len(found.train) + len(found.valid) == 150
        )
        assert found.test.labels is not None and found.test.labels.tolist() == LABELS[150:].tolist()


def test_floats_and_class_names_are_understood() -> None:
    named = Items([(torch.rand(3, 5, 5), i % 2) for i in range(40)], classes=["cat", "dog"])
    found = load_dataset(hold(named))
    assert found.classes == ("cat", "dog") and found.event_shape == (3, 5, 5) and found.levels == 256
    features = Items([{"img": IMAGES[i], "label": i % 2} for i in range(40)], features={"label": Names(["no", "yes"])})
    assert load_dataset(hold(features)).classes == ("no", "yes")


def test_a_name_stands_for_the_contents(monkeypatch: pytest.MonkeyPatch) -> None:
    first = hold(IMAGES)
    assert hold(IMAGES.copy()) == first != hold(IMAGES[1:]) and first.startswith("memory:")
    for i in range(memory.HELD):
        hold(IMAGES[i + 2 :])
    refused(lambda: load_dataset(first), "given in memory", "data=")
    refused(lambda: load_dataset("memory:0000"), "given in memory")


def test_items_that_change_are_reported(caplog: pytest.LogCaptureFixture) -> None:
    hold(Noisy([0] * 10))
    assert "cannot be repeated" in caplog.text


def test_what_cannot_be_read_is_refused() -> None:
    refused(lambda: hold(5), "not int")
    refused(lambda: hold([]), "no items")
    refused(lambda: hold({}), "empty")
    refused(lambda: hold({"images": "x"}), "neither")
    refused(lambda: hold([IMAGES[0], IMAGES[0, :4]]), "item 1 is")
    refused(lambda: hold(np.array([None, 1])), "objects")
    refused(lambda: hold(Items([{"text": 1}])), "no image among text")


def test_a_model_is_trained_scored_and_used_on_arrays(tmp_path: Path) -> None:
    run = ancestral.fit("vae", tmp_path / "run", data=(IMAGES, LABELS), latents=2, hidden=(8,), epochs=1)
    score = ancestral.evaluate(run)
    assert run.record["data"]["levels"] == 17 and score.count == 20
    again = ancestral.evaluate(tmp_path / "run", data=(IMAGES, LABELS))
    assert again.nats == score.nats and len(run.scores()) == 1  # the run's own data, divided as before
    other = ancestral.evaluate(run, data=IMAGES[:30])
    assert other.count == 30 and len(run.scores()) == 1
    assert ancestral.infer(run, data=torch.from_numpy(IMAGES[:5])).z.shape == (5, 2)
    resumed = ancestral.fit(
        "vae", tmp_path / "run", data=(IMAGES, LABELS), latents=2, hidden=(8,), epochs=1, resume=True
    )
    assert torch.equal(resumed.load().sample_mean(1).isnan().any(), torch.tensor(False))
    memory._held.clear()
    assert ancestral.sample(tmp_path / "run", 2).shape == (2, 1, 8, 8)  # no data are needed
    refused(lambda: ancestral.evaluate(tmp_path / "run"), "given in memory", "data=")
    with pytest.raises(ancestral.InputError, match="this run started with"):
        ancestral.fit("vae", tmp_path / "run", data=IMAGES, latents=2, hidden=(8,), epochs=1, resume=True)

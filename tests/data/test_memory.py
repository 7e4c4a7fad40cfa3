"""Data in memory: all common forms are read like a file with the same content."""

from __future__ import annotations

import copy
import gc
import pickle
import weakref
from typing import Any

import numpy as np
import pytest
import torch
from helpers import refused
from sources_in_memory import (
    IMAGES,
    LABELS,
    UNIT,
    HuggingFace,
    Items,
    Stream,
    coloured,
    pictures,
    with_labels,
)
from torch.utils.data import (
    ConcatDataset,
    DataLoader,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
    random_split,
)

from ancestral.data import memory
from ancestral.data.datasets import load_dataset
from ancestral.data.memory import hold, in_python

NAMES = [f"digit {number}" for number in range(10)]
TENSORS = TensorDataset(torch.from_numpy(IMAGES), torch.from_numpy(LABELS))
ROWS = [{"image": image, "label": label} for image, label in with_labels(pictures())]
FORMS = {
    "pair": lambda: (IMAGES, LABELS),
    "list": lambda: [IMAGES, LABELS],
    "labels in a list": lambda: (IMAGES, LABELS.tolist()),
    "labels in a list of tensors": lambda: (IMAGES, [torch.tensor(int(label)) for label in LABELS]),
    "pictures and labels": lambda: (pictures(), LABELS),
    "tensors": lambda: (torch.from_numpy(IMAGES), torch.from_numpy(LABELS)),
    "not contiguous": lambda: (torch.from_numpy(IMAGES.transpose(0, 2, 1).copy()).transpose(1, 2), LABELS),
    "fortran": lambda: (np.asfortranarray(IMAGES), LABELS),
    "int64": lambda: (IMAGES.astype(np.int64), LABELS),
    "big-endian": lambda: (IMAGES.astype(">u2"), LABELS.astype(">i4")),
    "one-hot": lambda: (IMAGES, np.eye(10)[LABELS]),
    "dict": lambda: {"images": IMAGES, "labels": LABELS},
    "dict of lists": lambda: {"images": list(IMAGES), "labels": LABELS.tolist()},
    "x and y": lambda: {"x": IMAGES, "y": LABELS},
    "tensor dataset": lambda: TENSORS,
    "subset": lambda: Subset(TENSORS, range(200)),
    "concatenated": lambda: ConcatDataset([Subset(TENSORS, range(50)), Subset(TENSORS, range(50, 200))]),
    "items": lambda: list(zip(IMAGES, LABELS, strict=True)),
    "pictures": lambda: Items(with_labels(pictures())),
    "grey pictures in colour": lambda: Items(with_labels([picture.convert("RGB") for picture in pictures()])),
    "loader": lambda: DataLoader(Items(with_labels(pictures())), batch_size=7, shuffle=True),
    "stream": Stream,
    "iterator": lambda: iter(Stream()),
    "hugging face": lambda: HuggingFace(ROWS, NAMES),
    "labels of another name": lambda: HuggingFace(
        [{"img": row["image"], "digit": row["label"]} for row in ROWS], NAMES, "digit"
    ),
    "array of objects": lambda: (np.array([*IMAGES, None], object)[:-1], LABELS),
}


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> Any:
    path = tmp_path_factory.mktemp("same") / "same.npz"
    np.savez(path, images=IMAGES, labels=LABELS)
    return load_dataset(str(path))


def notes(data: Any) -> str:
    return " | ".join(load_dataset(hold(data)).assumptions)


@pytest.mark.parametrize("form", FORMS)
def test_all_forms_are_read_as_the_same_file(form: str, expected: Any) -> None:
    found = load_dataset(hold(FORMS[form]()))
    assert found.sha256 == expected.sha256 and found.levels == 17 and found.own
    for part in ("train", "valid", "test"):
        assert torch.equal(found.split(part).images, expected.split(part).images)
        assert torch.equal(found.split(part).labels, expected.split(part).labels)
    said = {in_python(line) for line in expected.assumptions}
    assert said <= set(found.assumptions)  # and what is particular to the form


@pytest.mark.parametrize("values", [UNIT.bfloat16(), UNIT.half(), UNIT.clone().requires_grad_(), UNIT.to_sparse()])
def test_tensors_of_every_kind_become_numbers(values: torch.Tensor) -> None:
    found = load_dataset(hold(values))
    assert found.levels == 256 and len(found.train) == 160 and found.train.labels is None
    same = load_dataset(hold(UNIT))
    assert (found.train.images.int() - same.train.images.int()).abs().max() <= (values.dtype == torch.float16)


HALVES = {"train": (IMAGES[:150], LABELS[:150]), "test": (IMAGES[150:], LABELS[150:])}
PARTS = {
    "pairs": lambda: HALVES,
    "pairs in a row": lambda: tuple(HALVES.values()),
    "datasets": lambda: {name: Items(list(zip(*pair, strict=True))) for name, pair in HALVES.items()},
    "datasets in a row": lambda: [Subset(TENSORS, range(150)), Subset(TENSORS, range(150, 200))],
    "loaders": lambda: {
        "train": DataLoader(Subset(TENSORS, range(150))),
        "test": DataLoader(Subset(TENSORS, range(150, 200))),
    },
    "dicts": lambda: {name: {"x": pair[0], "y": pair[1]} for name, pair in HALVES.items()},
    "names": lambda: {"x_train": IMAGES[:150], "y_train": LABELS[:150], "x_test": IMAGES[150:], "y_test": LABELS[150:]},
    "hugging face": lambda: {"train": HuggingFace(ROWS[:150], NAMES), "test": HuggingFace(ROWS[150:], NAMES)},
    "lists of pictures": lambda: {
        "training": list(zip(pictures()[:150], LABELS[:150], strict=True)),
        "testing": list(zip(pictures()[150:], LABELS[150:], strict=True)),
    },
}


@pytest.mark.parametrize("form", PARTS)
def test_parts_stay_parts(form: str) -> None:
    found = load_dataset(hold(PARTS[form]()))
    assert np.array_equal(found.test.images[:, 0].numpy(), IMAGES[150:])
    assert len(found.train) + len(found.valid) == 150
    assert found.test.labels is not None and found.test.labels.tolist() == LABELS[150:].tolist()
    assert found.train.labels is not None


def test_three_parts_in_a_row_are_training_validation_and_test() -> None:
    parts = random_split(TENSORS, [120, 50, 30], generator=torch.Generator().manual_seed(0))
    found = load_dataset(hold(parts))
    assert [len(found.split(part)) for part in ("train", "valid", "test")] == [120, 50, 30]
    assert torch.equal(found.test.images[:, 0], torch.stack([image for image, _ in parts[2]]))
    assert "3 sources are used as train, valid and test" in found.assumptions
    named = load_dataset(hold(dict(zip(("train", "validation", "test"), parts, strict=True))))
    assert named.sha256 == found.sha256


def test_unused_settings_of_a_loader_cause_a_notice() -> None:
    dataset = TensorDataset(UNIT)
    assert "order and collate function are not used" in notes(DataLoader(dataset, shuffle=True))
    assert "draws" not in notes(DataLoader(dataset, shuffle=True))
    some = DataLoader(dataset, sampler=SubsetRandomSampler(range(20)))
    assert "SubsetRandomSampler samples 20 of 200 items, but all 200 are read" in notes(some)
    weighted = DataLoader(dataset, sampler=WeightedRandomSampler(torch.ones(200).tolist(), 200))
    assert "WeightedRandomSampler samples 200 of 200 items" in notes(weighted)


def test_training_data_of_a_known_set_are_not_all_of_it() -> None:
    train, test = Items(with_labels(pictures()), train=True), Items(with_labels(pictures(50)), train=False)
    assert "train=True, so it has no test images" in notes(train)
    assert "train=True" not in notes({"train": train, "test": test})
    refused(lambda: hold((test, train)), "train=False", "training data first")


def test_notices_use_keywords_instead_of_flags() -> None:
    assert "(use levels=... for another number)" in notes(IMAGES) and "split_seed=0" in notes(IMAGES)
    refused(lambda: load_dataset(hold(UNIT * 2 - 1)), "value_range=(-1, 1)")
    assert in_python("--levels 17 --value-range 0 3.5: --grey") == "levels=17 value_range=(0, 3.5): grey=..."


def test_a_name_is_a_function_of_the_content() -> None:
    first = hold(IMAGES)
    assert hold(IMAGES.copy()) == first != hold(IMAGES[1:]) and first.startswith("memory:")
    assert hold(IMAGES.astype(np.int16)) != first != hold({"train": IMAGES})
    refused(lambda: load_dataset("memory:0000"), "were in memory", "data=")


def test_data_are_available_as_long_as_their_name() -> None:
    names = [hold(IMAGES[place:]) for place in range(5)]
    assert all(len(load_dataset(name).train) for name in names)
    kept, array = str(names[0]), weakref.ref(names[0].held.arrays["images"])
    copies = [copy.deepcopy(names[0]), copy.copy(names[0])]
    assert all(one is names[0] for one in copies)
    assert type(pickle.loads(pickle.dumps(names[0]))) is str  # the data do not travel
    del names[0], copies
    gc.collect()
    assert array() is None
    refused(lambda: load_dataset(kept), "were in memory")
    last = str(names.pop())
    assert len(load_dataset(last).train)  # what was held last stays


def test_a_change_after_holding_has_no_effect() -> None:
    mine = IMAGES.copy()
    name = hold({"train": mine, "test": mine[:50]})
    before = load_dataset(name)
    mine[:] = 0
    assert load_dataset(name).sha256 == before.sha256 and bool(before.test.images.any())


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (5, ["not int"]),
        (None, ["not NoneType"]),
        (lambda: 1, ["not function"]),
        ([], ["no items"]),
        ({}, ["empty"]),
        ({"images": object()}, ["'images' is an object"]),
        ([IMAGES[0], IMAGES[0, :4]], ["item 1 is"]),
        (np.array([None, 1]), ["Python objects"]),
        (np.arange(9), ["shape (9,)", "(N, H, W)"]),
        ((IMAGES, LABELS[1:]), ["200 images and 199 labels"]),
        ((IMAGES, IMAGES), ["is not (images, labels)"]),
        ((IMAGES[:150], IMAGES[150:]), ["is not (images, labels)"]),
        ({"train": (IMAGES, LABELS), "extra": (IMAGES, LABELS)}, ["'extra' is not a part"]),
        ({"val": (IMAGES, LABELS), "valid": (IMAGES, LABELS), "train": (IMAGES, LABELS)}, ["two parts valid"]),
        (np.ma.masked_less(IMAGES, 3), ["masked"]),
        (torch.zeros(9, 4, 4, device="meta"), ["not an array"]),
        (["a.png", "b.png", "c.png"], ["item 0 is text", "folder"]),
        ([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], ["a list of numbers"]),
        (IMAGES + 0j, ["complex"]),
        (np.zeros((0, 8, 8)), ["no pixels"]),
        (coloured(2), ["too few for three splits"]),
    ],
)
def test_data_that_cannot_be_read_raise(data: Any, words: list[str]) -> None:
    refused(lambda: load_dataset(hold(data)), *words)


def test_data_that_raise_are_not_kept() -> None:
    known = set(memory._held)
    refused(lambda: hold((IMAGES, LABELS[1:])), "labels")
    assert set(memory._held) <= known

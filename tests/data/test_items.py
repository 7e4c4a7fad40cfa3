"""Items of datasets: pictures, labels, classes; items that change, missing items, and endless datasets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers import refused
from PIL import Image
from sources_in_memory import IMAGES, LABELS, Augmented, Endless, HuggingFace, Items, coloured, pictures, with_labels
from torch.utils.data import Dataset, IterableDataset, Subset

from ancestral.data import items, storage
from ancestral.data.datasets import load_dataset
from ancestral.data.memory import hold


def load(data: Any, **options: Any) -> Any:
    from ancestral.settings.data import ReadOptions

    return load_dataset(hold(data), options=ReadOptions(**options))


def stored(data: Any, **options: Any) -> torch.Tensor:
    """All images in the order in which they were given."""
    found = load(data, **options)
    rows = np.concatenate([found.split(part).rows for part in ("train", "valid", "test")])
    images = torch.cat([found.split(part).images for part in ("train", "valid", "test")])
    return images[torch.from_numpy(rows.argsort())]


def as_folder(images: list[Image.Image], folder: Path) -> Path:
    folder.mkdir()
    for place, image in enumerate(images):
        image.save(folder / f"{place:03}.png")
    return folder


def transparent() -> list[Image.Image]:
    images = [image.convert("RGBA") for image in coloured()]
    for image in images[::2]:
        image.putpixel((1, 2), (9, 9, 9, 100))
    return images


PICTURES = {
    "grey": lambda: pictures(12),
    "colour": coloured,
    "grey among colour": lambda: [*pictures(6), *coloured(6)],
    "colour among grey": lambda: [*coloured(6), *pictures(6)],
    "palette": lambda: [image.convert("P") for image in coloured()],
    "transparent": transparent,
    "opaque first": lambda: [*coloured(), *transparent()],
    "grey, opaque and transparent": lambda: [*pictures(6), *transparent()],
    "one bit": lambda: [image.point(lambda value: 255 * (value > 8)).convert("1") for image in pictures(12)],
    "16 bits": lambda: [Image.fromarray(image.astype(np.uint16) * 4000) for image in IMAGES[:12]],
}


@pytest.mark.parametrize("kind", PICTURES)
def test_pictures_are_read_as_files_are(kind: str, tmp_path: Path) -> None:
    images = PICTURES[kind]()
    of_folder = load_dataset(str(as_folder(images, tmp_path / "images")))
    found = load(images)
    assert (found.levels, found.event_shape) == (of_folder.levels, of_folder.event_shape)
    for part in ("train", "valid", "test"):
        assert torch.equal(found.split(part).images, of_folder.split(part).images)
    dark = load_dataset(str(tmp_path / "images"), options=items_options(background="black"))
    assert torch.equal(load(images, background="black").train.images, dark.train.images)


def items_options(**options: Any) -> Any:
    from ancestral.settings.data import ReadOptions

    return ReadOptions(**options)


def test_a_picture_is_rotated_by_its_orientation(tmp_path: Path) -> None:
    turned = Image.fromarray(IMAGES[1] * 15)
    exif = turned.getexif()
    exif[0x0112] = 6
    turned.save(tmp_path / "turned.png", exif=exif)
    found = load([Image.open(tmp_path / "turned.png") for _ in range(9)])
    assert torch.equal(found.train.images[0, 0], torch.from_numpy(np.rot90(IMAGES[1] * 15, -1).copy()))
    assert any("9 of 9 images are rotated" in line for line in found.assumptions)


def test_labels_may_be_missing_words_or_vectors() -> None:
    some = load(Items([(image, None if place % 2 else place % 3) for place, image in enumerate(IMAGES)]))
    assert (some.train.labels < 0).sum() == 80 and some.train.labels.max() == 2
    assert any("80 of 160 training images have no label" in line for line in some.assumptions)
    words = load(Items([(image, ["cat", None, "dog"][place % 3]) for place, image in enumerate(IMAGES)]))
    assert words.classes == ("cat", "dog") and bool((words.train.labels < 0).any())
    vectors = [
        (image, None if place == 3 else np.eye(10)[label])
        for place, (image, label) in enumerate(with_labels(list(IMAGES)))
    ]
    assert (load(Items(vectors)).train.labels >= 0).sum() >= 159
    ignored = load(Items([(image, {"boxes": 1}) for image in IMAGES]))
    assert ignored.train.labels is None and any("type dict are not classes" in line for line in ignored.assumptions)
    numbers = load((IMAGES, (LABELS + 0.5).tolist()))
    assert numbers.train.labels is None and any("real numbers, not classes" in line for line in numbers.assumptions)


def test_subsets_keep_the_names_of_classes() -> None:
    named = Items(with_labels(list(IMAGES)), classes=[f"n{number}" for number in range(10)])
    assert load(named).classes == load(Subset(named, range(100))).classes == tuple(named.classes)
    rows = [{"image": image, "label": label} for image, label in with_labels(pictures())]
    assert load(HuggingFace(rows, named.classes)).classes == tuple(named.classes)
    other = HuggingFace(rows, named.classes[::-1])
    refused(lambda: hold({"train": HuggingFace(rows, named.classes), "test": other}), "class names of test", "differ")


def test_unused_parts_of_items_cause_a_notice() -> None:
    rows = [{"scan": image, "id": place} for place, image in enumerate(pictures())]
    found = load(Items(rows))
    assert {"items: 'scan' is the image", "items: not used: id"} <= set(found.assumptions)
    refused(lambda: hold(Items([{"text": 1}])), "no image among text")
    refused(lambda: hold(Items([*rows, {"id": 3}])), "item 200 has no 'scan'")
    three = load(Items([(image, label, 5) for image, label in with_labels(list(IMAGES))]))
    assert any("items have 3 values" in line for line in three.assumptions) and three.train.labels is not None


@pytest.mark.parametrize("first", [0, 150])
def test_items_that_change_have_no_checksum(first: int) -> None:
    data = Augmented([0] * 200)
    data.first = first
    name = hold(data)
    found, again = load_dataset(name), load_dataset(name)
    assert found.sha256 is None and found.name == f"{name} (data not reproducible)"
    assert any("items differ when they are read again" in line for line in found.assumptions)
    assert torch.equal(found.train.images, again.train.images)  # they were read once
    assert load_dataset(hold({"train": Items(with_labels(list(IMAGES / 16))), "test": data})).sha256 is None


def test_a_stream_that_changes_has_no_checksum() -> None:
    class Shuffled(IterableDataset):
        def __iter__(self) -> Any:
            return iter(IMAGES[torch.randperm(200).numpy()])

    assert load(Shuffled()).sha256 is None and load(list(IMAGES)).sha256 is not None


def test_an_endless_stream_is_refused_at_the_bound(monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    monkeypatch.setattr(items, "MOST_ITEMS", 3000)
    monkeypatch.setattr(items, "MANY_ITEMS", 1000)
    refused(lambda: hold(Endless()), "3,001 items", "may be endless", "islice")
    assert caplog.text.count("has no length: it is read to its end, or to 3,000 items") == 1
    monkeypatch.setattr(items, "MOST_BYTES", 256 * 500)
    refused(lambda: hold(Endless()), "501 items", "may be endless")


def test_a_dataset_without_length_or_order_is_refused() -> None:
    class Unsized(Dataset):
        def __getitem__(self, place: int) -> Any:
            return IMAGES[place]

    refused(lambda: hold(Unsized()), "the Unsized: has no length", "__len__")
    refused(lambda: hold(Items([])), "the Items: has no items")


def test_an_item_that_fails_is_named() -> None:
    class Failing(Items):
        def __getitem__(self, place: int) -> Any:
            if place == 7:
                raise OSError("broken\nfile")
            return super().__getitem__(place)

    def stream() -> Any:
        yield IMAGES[0]
        raise KeyError("next")

    refused(lambda: hold(Failing(list(IMAGES))), "the Failing: item 7 cannot be read (OSError: broken file)")
    refused(lambda: hold(stream()), "cannot be read (KeyError")


def test_items_of_several_sizes_or_kinds_are_refused() -> None:
    refused(lambda: hold(Items([IMAGES[0], IMAGES[1, :4]])), "item 1 is uint8 (4, 8), item 0 is uint8 (8, 8)")
    refused(lambda: hold(Items([IMAGES[0], IMAGES[1] / 16])), "item 1 is float64")
    refused(lambda: hold([pictures()[0], pictures()[1].resize((9, 7))]), "item 1 has 9x7 pixels", "item 0 has 8x8")
    refused(lambda: hold([pictures()[0], IMAGES[1]]), "item 1 is an array, item 0 is an image of Pillow")
    refused(lambda: hold([IMAGES[1], pictures()[0]]), "item 1 is an image of Pillow, item 0 is an array")


def test_items_that_exceed_memory_are_kept_in_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = {kind: stored(data()) for kind, data in LARGE.items()}
    monkeypatch.setattr(storage, "available_memory", lambda: 4 * 5000)  # an array may take 5,000 bytes
    for kind, data in LARGE.items():
        name = hold(data())
        assert storage.is_mapped(name.held.arrays["images"])
        assert any("stored in a temporary file" in line for line in load_dataset(name).assumptions)
        assert torch.equal(stored(data()), expected[kind])
    monkeypatch.setattr(storage.shutil, "disk_usage", lambda folder: type("Usage", (), {"free": 100}))
    refused(lambda: hold(Items(list(IMAGES))), "more than the free memory", "TMPDIR")


LARGE = {
    "items": lambda: Items([image / np.float32(16) for image in IMAGES]),
    "stream": lambda: (image for image in IMAGES),
    "pictures": lambda: [*pictures(100), *coloured(100)],
}

"""Folders of images: splits, classes, labels in files next to images, and ignored files."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from helpers import refused
from PIL import Image

from ancestral.data.datasets import load_dataset, read_source
from ancestral.data.folders import read_file, read_folder
from ancestral.data.imported import Imported
from ancestral.settings.data import ReadOptions


def save(path: Path, value: int = 0, mode: str = "L", size: tuple[int, int] = (5, 4)) -> None:
    """An image of one value, but for a white last pixel: the levels are 256."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.new(mode, size, (value, 0, 255 - value) if mode == "RGB" else value)
    image.putpixel((size[0] - 1, size[1] - 1), (255,) * 3 if mode == "RGB" else 255)
    image.save(path)


def save_all(folder: Path, names: str | Sequence[str]) -> None:
    for number, name in enumerate(names.split() if isinstance(names, str) else names):
        save(folder / name, number)


def said(found: Imported, *words: str) -> bool:
    """Whether one of the assumptions holds all the words."""
    return any(all(word in line for word in words) for line in found.assumptions)


def notes(found: Imported) -> list[str]:
    """The assumptions, but for that on the few values of these small images."""
    return [line for line in found.assumptions if "levels occur" not in line]


def labelled(found: Imported, part: str = "all") -> dict[str, str | None]:
    """The class of each image by its file name."""
    one = found.parts[part]
    assert one.names is not None
    if one.labels is None:
        return dict.fromkeys(one.names)
    assert one.labels.dtype == np.int64
    classes = found.classes
    words = [None if label < 0 else classes[label] if classes else str(label) for label in one.labels.tolist()]
    return dict(zip(one.names, words, strict=True))


def values(found: Imported, part: str = "all") -> list[int]:
    return found.parts[part].images[:, 0, 0, 0].tolist()


def numbers(found: Imported, part: str = "all") -> list[int]:
    labels = found.parts[part].labels
    assert labels is not None
    return labels.tolist()


# --- one folder -----------------------------------------------------------------------------------------------


def test_a_folder_of_grey_images(tmp_path):
    folder = tmp_path / "pictures"
    for number in range(20):
        save(folder / f"{number}.{('png', 'BMP')[number % 2]}", number)
    data = load_dataset(str(folder))
    assert (data.name, data.levels, data.event_shape) == ("pictures", 256, (1, 4, 5))
    assert (len(data.train), len(data.valid), len(data.test)) == (16, 2, 2) and data.train.labels is None
    found = read_folder(folder)
    assert list(found.parts) == ["all"] and found.parts["all"].labels is None and found.classes is None
    assert values(found) == list(range(20))  # 2.png before 10.png
    assert found.parts["all"].names == tuple(f"{number}.{('png', 'BMP')[number % 2]}" for number in range(20))
    assert notes(found) == []
    assert load_dataset(f"{folder}/").sha256 == data.sha256
    assert data.test.names is not None and [int(name.split(".")[0]) for name in data.test.names] == (
        data.test.images[:, 0, 0, 0].tolist()
    )


def test_other_files_are_ignored_with_a_notice(tmp_path):
    save_all(tmp_path, "a.png b.png")
    for name in (".c.png", "__MACOSX/d.png", ".ipynb_checkpoints/e.png", "Thumbs.db", "desktop.ini", ".git/f"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"?")
    found = read_folder(tmp_path)
    assert len(found.parts["all"]) == 2 and notes(found) == []
    for number in range(11):
        (tmp_path / f"{number}.txt").write_text("note")
    os.mkfifo(tmp_path / "pipe.png")  # opening it would wait for ever
    (tmp_path / "broken.png").symlink_to(tmp_path / "nowhere")
    (tmp_path / "line\nbreak\x1b.txt").write_text("")
    (tmp_path / "empty").mkdir()
    found = read_folder(tmp_path)
    assert len(found.parts["all"]) == 2 and said(found, "14 files are not images", "0.txt, 1.txt, 2.txt, 3.txt, ...")
    assert said(found, "folders without images: empty")
    assert all(line.isprintable() for line in found.assumptions)


def test_names_that_cannot_be_printed_are_one_line(tmp_path):
    save(tmp_path / "a\nb" / "c\x1b.png")
    save(tmp_path / "d" / "e.png")
    os.rename(tmp_path / "d" / "e.png", os.fsencode(tmp_path / "d") + b"/\xff.png")
    found = read_folder(tmp_path)
    assert found.parts["all"].names == ("a?b/c?.png", "d/?.png") and found.classes == ("a?b", "d")


@pytest.mark.parametrize("name", ["missing", "file.png"])
def test_a_missing_folder_raises(tmp_path, name):
    save(tmp_path / "file.png")
    refused(lambda: read_folder(tmp_path / name), name)


def test_bad_folders_are_refused(tmp_path):
    refused(lambda: read_folder(tmp_path), str(tmp_path), "no images")
    save_all(tmp_path, "0.png 1.png 2.png 3.png")
    good = (tmp_path / "2.png").read_bytes()
    (tmp_path / "3.png").write_bytes(good[:50])
    refused(lambda: read_folder(tmp_path), "3.png", "not a readable image")
    save(tmp_path / "3.png", 3)
    save(tmp_path / "b" / "3.png", 3)
    refused(lambda: read_folder(tmp_path), str(tmp_path), "sub-folders")


def test_one_file_is_a_folder_of_one(tmp_path):
    save_all(tmp_path, "a.png b.png")
    (tmp_path / "labels.csv").write_text("file,label\na,cat\nb,dog\n")
    for found in (read_file(tmp_path / "b.png"), read_source(str(tmp_path / "b.png"), ReadOptions())[1]):
        assert values(found) == [1] and found.parts["all"].names == ("b.png",)
        assert found.parts["all"].labels is None and notes(found) == []
    refused(lambda: read_file(tmp_path / "c.png"), "c.png", "no such file")
    (tmp_path / "c.png").mkdir()
    refused(lambda: read_file(tmp_path / "c.png"), "c.png")


def test_the_present_folder(tmp_path, monkeypatch):
    save_all(tmp_path, "a/1.png b/2.png")
    monkeypatch.chdir(tmp_path)
    for folder in (Path(), Path("../x/..") / tmp_path.name):
        (tmp_path.parent / "x").mkdir(exist_ok=True)
        assert labelled(read_folder(folder)) == {"a/1.png": "a", "b/2.png": "b"}
    assert read_file(Path("a/1.png")).parts["all"].names == ("1.png",)
    monkeypatch.chdir(tmp_path / "a")
    assert read_file(Path("1.png")).parts["all"].names == ("1.png",)


def test_the_name_of_an_array_is_ignored_with_a_notice(tmp_path):
    save(tmp_path / "a.png")
    assert said(read_folder(tmp_path, ReadOptions(array="faces")), "--array faces", "ignored")


# --- classes --------------------------------------------------------------------------------------------------


def test_sub_folders_are_classes_in_natural_order(tmp_path):
    for name in ("10", "9", "2"):
        save_all(tmp_path / name, "10.png 9.png")
    (tmp_path / "7").mkdir()
    found = read_folder(tmp_path)
    assert found.classes == ("2", "9", "10") and numbers(found) == [0, 0, 1, 1, 2, 2]
    assert found.parts["all"].names == ("2/9.png", "2/10.png", "9/9.png", "9/10.png", "10/9.png", "10/10.png")
    assert said(found, "without images: 7")
    assert load_dataset(str(tmp_path), valid_size=1).classes == ("2", "9", "10")


def test_classes_may_lie_deeper(tmp_path):
    save_all(tmp_path, "a/b/1.png a/c/d/1.png e/1.png")
    found = read_folder(tmp_path)
    assert labelled(found) == {"a/b/1.png": "a/b", "a/c/d/1.png": "a/c/d", "e/1.png": "e"} and values(found) == [
        0,
        1,
        2,
    ]
    save(tmp_path / "a" / "2.png")
    refused(lambda: read_folder(tmp_path), "/a:", "in it and in its sub-folders")


def test_a_single_class_causes_a_notice(tmp_path):
    save_all(tmp_path, "images/1.png images/2.png")
    found = read_folder(tmp_path)
    assert labelled(found) == {"images/1.png": "images", "images/2.png": "images"} and said(
        found, "images", "one class"
    )


def test_links_to_a_parent_folder_are_ignored(tmp_path):
    save_all(tmp_path, "a/1.png b/1.png")
    (tmp_path / "a" / "back").symlink_to(tmp_path)
    (tmp_path / "self").symlink_to(tmp_path / "self")
    (tmp_path / "c").symlink_to(tmp_path / "b")
    found = read_folder(tmp_path)
    assert labelled(found) == {"a/1.png": "a", "b/1.png": "b"} and said(found, "links", "c", "a/back")
    assert said(found, "1 file is not an image", "self")


def test_a_class_may_be_a_link(tmp_path):
    save_all(tmp_path / "elsewhere", "1.png")
    save_all(tmp_path / "data", "a/1.png")
    (tmp_path / "data" / "b").symlink_to(tmp_path / "elsewhere")
    assert labelled(read_folder(tmp_path / "data")) == {"a/1.png": "a", "b/1.png": "b"}


def test_many_folders_inside_each_other(tmp_path):
    deep = tmp_path / "/".join(["d"] * 300)
    os.makedirs(deep)
    save(tmp_path / "a" / "1.png")
    assert labelled(read_folder(tmp_path)) == {"a/1.png": "a"}


# --- splits ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "parts"),
    [
        ("train test", "train test"),
        ("Train VAL Test", "train valid test"),
        ("train valid", "train valid"),
        ("training validation testing", "train valid test"),
    ],
)
def test_split_folders(tmp_path, names, parts):
    for number, name in enumerate(names.split()):
        for place in range(6):
            save(tmp_path / name / f"{place}.png", 10 * number + place)
    found = read_folder(tmp_path)
    assert list(found.parts) == parts.split() and found.classes is None
    for number, (name, part) in enumerate(zip(names.split(), parts.split(), strict=True)):
        assert values(found, part) == [10 * number + place for place in range(6)]
        assert found.parts[part].labels is None
        assert found.parts[part].names == tuple(f"{name}/{place}.png" for place in range(6))


def test_test_images_are_not_trained_on(tmp_path):
    for place in range(30):
        save(tmp_path / ("train" if place < 20 else "test") / f"{place:04}.png", place)
    data = load_dataset(str(tmp_path))
    assert data.test.images[:, 0, 0, 0].tolist() == list(range(20, 30)) and data.train.labels is None
    pool = [*data.train.images[:, 0, 0, 0].tolist(), *data.valid.images[:, 0, 0, 0].tolist()]
    assert sorted(pool) == list(range(20)) and len(data.valid) == 3


def test_classes_have_the_same_numbers_in_all_splits(tmp_path):
    save_all(tmp_path, "train/10/1.png train/2/1.png test/10/1.png test/3/1.png")
    found = read_folder(tmp_path)
    assert found.classes == ("2", "3", "10")
    assert labelled(found, "train") == {"train/2/1.png": "2", "train/10/1.png": "10"}
    assert labelled(found, "test") == {"test/3/1.png": "3", "test/10/1.png": "10"}
    assert numbers(found, "test") == [1, 2]
    for place in range(4):
        save(tmp_path / "train" / "2" / f"{place}.png", place)
    assert any("without training images: 3" in line for line in load_dataset(str(tmp_path)).assumptions)


def test_a_split_without_labels(tmp_path):
    save_all(tmp_path, "train/cat/1.png train/dog/1.png test/1.png")
    found = read_folder(tmp_path)
    assert found.parts["test"].labels is None and labelled(found, "train") == {
        "train/cat/1.png": "cat",
        "train/dog/1.png": "dog",
    }
    assert said(found, "test images have no labels")


def test_only_train_is_divided(tmp_path):
    save_all(tmp_path, [f"train/{place}.png" for place in range(10)])
    found = read_folder(tmp_path)
    assert list(found.parts) == ["all"] and found.parts["all"].labels is None and said(found, "train", "divided")
    data = load_dataset(str(tmp_path))
    assert (len(data.train), len(data.valid), len(data.test)) == (8, 1, 1)


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ("test/1.png", ("test", "no folder train")),
        ("valid/1.png test/1.png", ("valid and test", "no folder train")),
        ("test/1.png prod/1.png", ("test", "no folder train", "class")),
        ("train/1.png Train/1.png", ("Train", "train")),
        ("train/1.png val/1.png valid/1.png", ("val", "valid")),
        ("train/1.png test/1.png extra/1.png", ("extra", "train and test")),
        ("mnist/train/1.png mnist/test/1.png", ("inside mnist", "mnist")),
        ("cat/train/1.png cat/test/1.png dog/train/1.png", ("inside", "first level")),
        ("train/1.png 1.png", ("in it and in its sub-folders",)),
        ("train/1.png train/a/1.png test/1.png", ("/train:", "in it and in its sub-folders")),
    ],
)
def test_unclear_splits_are_refused(tmp_path, names, words):
    save_all(tmp_path, names)
    refused(lambda: read_folder(tmp_path), *words)


def test_a_class_may_be_called_train(tmp_path):
    save_all(tmp_path, "bus/1.png car/1.png train/1.png")
    found = read_folder(tmp_path)
    assert found.classes == ("bus", "car", "train") and said(found, "train is taken as a class", "bus, car")


def test_all_splits_have_one_colour_and_one_size(tmp_path):
    save(tmp_path / "train" / "1.png", 3)
    save(tmp_path / "test" / "1.png", 7, "RGB")
    found = read_folder(tmp_path)
    assert found.parts["train"].images[0, :, 0, 0].tolist() == [3, 3, 3]
    assert found.parts["test"].images[0, :, 0, 0].tolist() == [7, 0, 248]
    save(tmp_path / "test" / "1.png", 7, size=(6, 4))
    refused(lambda: read_folder(tmp_path), "test/1.png", "6x4", "5x4")


# --- labels in files ------------------------------------------------------------------------------------------

FORMS = {
    "labels.csv": "file,label\na.png,cat\nb.png,dog\nc.png,cat\n",
    "metadata.csv": "text,file_name,category\nx,a.png,cat\ny,b.png,dog\nz,c.png,cat\n",
    "anything.csv": "id,breed\na,cat\nb,dog\nc,cat\n",
    "headless.csv": "\ufeffa.png,cat\nb.png,dog\nc.png,cat\n",
    "semicolons.csv": "\ufeffImage;Class\r\na.jpg;cat\r\nb.jpg;dog\r\nc.jpg;cat\r\n",
    "tabs.tsv": "Image ID\tTarget\na\tcat\nb\tdog\nc\tcat\n",
    "folders.csv": 'path,label\n./data/a.png,cat\n"data\\b.png",dog\n/home/x/data/c.png,cat\n',
    "labels.json": '{"a.png": "cat", "b.png": "dog", "c.png": "cat"}',
    "records.json": '[{"image": "a", "label": "cat"}, {"image": "b", "label": "dog"}, {"image": "c", "label": "cat"}]',
    "nested.json": '{"a.png": {"class": "cat"}, "b.png": {"class": "dog"}, "c.png": {"class": "cat"}}',
    "dataset.json": '{"labels": [["a.png", "cat"], ["b.png", "dog"], ["c.png", "cat"]]}',
    "metadata.jsonl": "\n".join(json.dumps({"file_name": f"{n}.png", "label": l}) for n, l in ("ac", "bd", "cc")),
}


@pytest.mark.parametrize("name", FORMS)
def test_labels_in_a_file_next_to_images(tmp_path, name):
    save_all(tmp_path, "a.png b.png c.png")
    (tmp_path / name).write_text(FORMS[name])
    found = read_folder(tmp_path)
    first, second = ("c", "d") if name == "metadata.jsonl" else ("cat", "dog")
    assert labelled(found) == {"a.png": first, "b.png": second, "c.png": first} and found.classes == (first, second)
    assert said(found, "labels are read from", name) and not said(found, "not images") and len(notes(found)) == 1


def test_images_without_a_row_and_rows_without_an_image(tmp_path):
    save_all(tmp_path, "a.png b.png c.png d.png")
    (tmp_path / "labels.csv").write_text("file,label\na.png,cat\nx.png,dog\nc.png,\nd.png,nan\n")
    found = read_folder(tmp_path)
    assert labelled(found) == {"a.png": "cat", "b.png": None, "c.png": None, "d.png": None}
    assert numbers(found) == [0, -1, -1, -1]
    assert said(found, "3 of 4 images have no label", "b.png") and said(
        found, "rows of labels.csv without an image", "1 (x.png)"
    )


def test_whole_numbers_are_in_numeric_order(tmp_path):
    save_all(tmp_path, "a.png b.png c.png d.png")
    (tmp_path / "labels.csv").write_text("file,label\na,10\nb,2.0\nc,-1\nd,002\n")
    found = read_folder(tmp_path)
    assert found.classes == ("2", "10") and numbers(found) == [1, 0, -1, 0]
    (tmp_path / "labels.csv").unlink()
    (tmp_path / "labels.json").write_text('{"a": 1, "b": 0, "c": null, "d": 1.0}')
    found = read_folder(tmp_path)
    assert found.classes == ("0", "1") and numbers(found) == [1, 0, -1, 1]


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("labels.csv", "file,label\na,0.25\nb,0.5\n", ("label", "real numbers")),
        ("labels.json", '{"a": [1, 2], "b": [1]}', ("lists",)),
        ("labels.csv", "file,width,height\na,1,2\n", ("no column of labels",)),
        ("labels.csv", "x,label\na,cat\n", ("has no column (file",)),
        ("labels.csv", "file,label\nq,cat\n", ("has no column (file",)),
        ("labels.csv", "", ("has no column (file",)),
        ("other.json", "[1, 2]", ("has no column (file",)),
        ("other.json", '"text"', ("has no column (file",)),
    ],
)
def test_tables_without_labels_are_ignored_with_a_notice(tmp_path, name, text, words):
    save_all(tmp_path, "a.png b.png")
    (tmp_path / name).write_text(text)
    found = read_folder(tmp_path)
    assert found.parts["all"].labels is None and said(found, name, "ignored", *words)


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("labels.csv", b"file,label\na.png,cat\na,dog\n", ("a has two labels", "cat", "dog")),
        ("labels.csv", b"file,label\nsame.png,cat\n", ("same.png", "several images")),
        ("labels.csv", b"file,label\na," + b"9" * 5000 + b"\n", ("5,000 characters",)),
        ("labels.csv", b"file,label\na.png,\xff\xfe\n", ("table of labels",)),
        ("labels.json", b'{"a.png": ', ("table of labels",)),
        ("labels.json", b"[" * 100_000, ("table of labels",)),
        ("labels.csv", b'file,label\na,"' + b"x" * 200_000 + b'"\n', ("table of labels",)),
    ],
)
def test_bad_tables_are_refused(tmp_path, name, text, words):
    save_all(tmp_path, "train/x/same.png test/same.png" if b"same" in text else "images/a.png images/b.png")
    (tmp_path / name).write_bytes(text)
    refused(lambda: read_folder(tmp_path), name, *words)


def test_a_large_table_is_refused_unread(tmp_path, monkeypatch):
    save_all(tmp_path, "a.png")
    (tmp_path / "labels.csv").write_text("file,label\na,cat\n")
    monkeypatch.setattr("ancestral.data.label_files.MAX_TABLE_BYTES", 10)
    refused(lambda: read_folder(tmp_path), "labels.csv", "17 bytes")


def test_an_image_of_another_folder_is_not_matched_by_its_name(tmp_path):
    save_all(tmp_path, "images/a/1.png")
    (tmp_path / "labels.csv").write_text("file,label\nb/1.png,dog\n")
    found = read_folder(tmp_path)
    assert labelled(found) == {"images/a/1.png": "images/a"} and said(found, "has no column (file")
    (tmp_path / "labels.csv").write_text("file,label\na/1.png,dog\n")
    assert labelled(read_folder(tmp_path)) == {"images/a/1.png": "dog"}


def test_the_chosen_table_causes_a_notice(tmp_path):
    save_all(tmp_path, "a.png b.png")
    (tmp_path / "labels.csv").write_text("file,label\na,cat\nb,dog\n")
    (tmp_path / "other.csv").write_text("file,label\na,x\nb,y\n")
    found = read_folder(tmp_path)
    assert found.classes == ("cat", "dog") and said(found, "labels.csv is used", "other.csv")
    assert said(found, "1 file is not an image", "other.csv")
    os.rename(tmp_path / "labels.csv", tmp_path / "mine.csv")
    found = read_folder(tmp_path)
    assert found.classes is None and said(found, "mine.csv", "other.csv", "none is used", "labels.csv")


def test_folders_of_classes_come_before_tables(tmp_path):
    save_all(tmp_path, "a/1.png b/1.png")
    (tmp_path / "labels.csv").write_text("file,label\na/1.png,x\nb/1.png,y\n")
    found = read_folder(tmp_path)
    assert found.classes == ("a", "b") and said(found, "labels.csv is not used", "sub-folders")
    os.rename(tmp_path / "a" / "1.png", tmp_path / "b" / "2.png")
    (tmp_path / "labels.csv").write_text("file,label\n2,x\n1,y\n")
    assert labelled(read_folder(tmp_path)) == {"b/1.png": "y", "b/2.png": "x"}  # one folder is no set of classes


@pytest.mark.parametrize("form", ["inside", "beside", "one"])
def test_labels_of_splits(tmp_path, form):
    save_all(tmp_path, "train/1.png train/2.png test/1.png")
    if form == "one":
        (tmp_path / "labels.csv").write_text("file,label\ntrain/1.png,b\ntrain/2.png,a\ntest/1.png,a\n")
    for part, text in (("train", "file,label\n1,b\n2,a\n"), ("test", "file,label\n1,a\n")):
        if form == "inside":
            (tmp_path / part / "metadata.csv").write_text(text)
        elif form == "beside":
            (tmp_path / f"{part}_labels.csv").write_text(text)
    found = read_folder(tmp_path)
    assert labelled(found, "train") == {"train/1.png": "b", "train/2.png": "a"}
    assert labelled(found, "test") == {"test/1.png": "a"} and not said(found, "not images")


# --- earlier runs ---------------------------------------------------------------------------------------------


def test_earlier_versions_of_the_reading_keep_their_data(tmp_path):
    """Two classes in the order of plain names, palettes in colour, hidden colours, images as stored."""
    for name in ("train", "test"):
        for number in range(3):
            save(tmp_path / name / f"{number}.png", number)
    save(tmp_path / "train" / "10.png", 3)
    exif = Image.Exif()
    exif[0x0112] = 3
    Image.fromarray(np.arange(20, dtype=np.uint8).reshape(4, 5)).save(tmp_path / "train" / "2.png", exif=exif)
    Image.new("RGBA", (5, 4), (9, 9, 9, 0)).save(tmp_path / "test" / "1.png")
    save(tmp_path / "train" / "deeper" / "1.png")
    _, found = read_source(str(tmp_path), ReadOptions(infer=False))
    part = found.parts["all"]
    assert part.names == tuple(
        f"{name}.png" for name in ("test/0", "test/1", "test/2", "train/0", "train/1", "train/10", "train/2")
    )
    assert numbers(found) == [0, 0, 0, 1, 1, 1, 1] and part.images.shape == (7, 3, 4, 5) and found.levels == 256
    assert part.images[:, 1, 0, 0].tolist() == [0, 9, 2, 0, 1, 3, 0]
    assert part.images[6, 0].ravel().tolist() == list(range(20)) and notes(found) == []
    Image.fromarray(np.zeros((4, 5), np.uint16)).save(tmp_path / "test" / "2.png")
    refused(lambda: read_folder(tmp_path, ReadOptions(infer=False)), "2.png", "8 bits")

"""Reading the items of a dataset into one array of images or points, with labels. Some items are read twice."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ancestral.core.errors import InputError, refusal
from ancestral.data.findings import Findings, as_array, is_array, length_of
from ancestral.data.item_labels import class_names_of, label_keys_of, labels_of
from ancestral.data.item_pictures import SUBJECT, PictureRows, as_picture, is_picture
from ancestral.data.storage import Rows, is_mapped

log = logging.getLogger("ancestral")
MOST_ITEMS, MOST_BYTES = 2_000_000, 2**31  # limits for a dataset without a length
MANY_ITEMS = 100_000  # number of items of a dataset without a length after which there is a notice
READ_AGAIN = 128  # number of items that are read twice
IMAGE_KEYS = ("image", "images", "img", "pixel_values", "x", "data")
Labelled = tuple[Any, Any]


def read_items(data: Any, found: Findings) -> dict[str, np.ndarray]:
    """The items of a dataset: `images`, `labels` if items have them, `class_names` if the dataset has them.

    Args:      data: with `__getitem__` and `__len__`, or with `__iter__`. found: notices are added to it.
    Raises:    InputError: no items; items of different sizes, without an image, or that cannot be read; more than
               `MOST_BYTES` or `MOST_ITEMS` in a dataset without a length.
    """
    name, count = type(data).__name__, length_of(data)
    by_number = count is not None and hasattr(data, "__getitem__")
    if not by_number and not hasattr(type(data), "__iter__"):
        raise refusal(f"the {name}", "has no length", "define __len__, or __iter__ for a dataset that is a stream")
    pile = _Pile(name, count if by_number else None, label_keys_of(data), found)
    again = {}
    places = set(_spread(count)) if by_number else range(READ_AGAIN)
    for place, item in enumerate(_by_number(data, range(count or 0)) if by_number else _stream(data)):
        pixels, label = pile.add(item)
        if place in places:
            again[place] = (np.array(pixels), label)
    if not len(pile):
        raise refusal(f"the {name}", "has no items", "give at least three")
    if not _repeats(data, pile, again, by_number):
        found.repeatable = False
    result = pile.finished()
    names = class_names_of(data)
    if names and "labels" in result:
        result["class_names"] = np.array(names)
    return result


def _spread(count: int | None) -> list[int]:
    """Indices of the items that are read twice."""
    return np.unique(np.linspace(0, max(0, (count or 0) - 1), READ_AGAIN).astype(int)).tolist()


def _by_number(data: Any, places: Any) -> Iterator[Any]:
    for place in places:
        try:
            item = data[place]
        except Exception as error:  # the user's dataset may raise anything
            raise _unreadable(data, place, error) from error
        yield item


def _stream(data: Any) -> Iterator[Any]:
    place = 0
    try:
        for place, item in enumerate(data):  # noqa: B007  (named in the error)
            yield item
    except InputError:
        raise
    except Exception as error:
        raise _unreadable(data, place, error) from error


def _unreadable(data: Any, place: int, error: Exception) -> InputError:
    cause = f"{type(error).__name__}: {str(error)[:160]}"
    return refusal(f"the {type(data).__name__}", f"item {place} cannot be read ({cause})", "correct or remove the item")


def _repeats(data: Any, pile: _Pile, again: dict[int, Labelled], by_number: bool) -> bool:
    """Whether the items that are read twice are equal both times."""
    if not by_number and iter(data) is data:
        pile.found.say("the data are an iterator, which can be read only once")
        return True
    items = _by_number(data, again) if by_number else _stream(data)
    count = 0
    for (pixels, label), item in zip(again.values(), items, strict=False):
        other, other_label = pile.parted(item)
        if not np.array_equal(pixels, other) or not np.array_equal(label, other_label):
            return False
        count += 1
    return count == len(again)


class _Pile:
    """Items in one array, and their labels.

    Args:      name: class name of the dataset. count: number of items; None if not known. label_keys: possible keys of
               the label of an item; the first existing one is used. found: notices are added to it.
    """

    def __init__(self, name: str, count: int | None, label_keys: Sequence[str], found: Findings) -> None:
        self.name, self.count, self.label_keys, self.found = name, count, label_keys, found
        self.rows: Rows | None = None
        self.pictures = PictureRows(count)
        self.labels: list[Any] = []
        self.keys: Labelled | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def add(self, item: Any) -> Labelled:
        """Add an item; returns its pixels and its label."""
        image, label = self._image_and_label(item)
        if is_picture(image):
            if self.rows is not None:
                raise refusal(SUBJECT, f"item {len(self)} is an image of Pillow, item 0 is an array", "give one kind")
            picture = as_picture(image)
            self.pictures.add(picture)
            pixels = picture.pixels
        else:
            pixels = self._add_array(image)
        self.labels.append(label)
        if self.count is None:
            self._refuse_endless(pixels)
        return pixels, label

    def parted(self, item: Any) -> Labelled:
        """Pixels and label of an item, without adding it."""
        image, label = self._image_and_label(item)
        return (as_picture(image).pixels if is_picture(image) else as_array(image)), label

    def _add_array(self, image: Any) -> np.ndarray:
        if isinstance(image, str | bytes) or hasattr(image, "__fspath__"):
            raise refusal(SUBJECT, f"item {len(self)} is text, not an image", "give the folder of the files as data")
        array = as_array(image)
        if len(self.pictures):
            raise refusal(SUBJECT, f"item {len(self)} is an array, item 0 is an image of Pillow", "give one kind")
        if self.rows is None:
            self.rows = Rows(array, self.count)
        known = self.rows.row
        if array.shape != known.shape or array.dtype != known.dtype:
            raise refusal(
                SUBJECT,
                f"item {len(self)} is {array.dtype} {array.shape}, item 0 is {known.dtype} {known.shape}",
                "make all items of one size and type",
            )
        self.rows.add(array)
        return array

    def _refuse_endless(self, pixels: np.ndarray) -> None:
        """Raises:    InputError: a dataset without a length has more items or bytes than the limits."""
        if len(self) == MANY_ITEMS:
            log.warning(
                "note: the %s has no length: it is read to its end, or to %s items or %s bytes",
                *(self.name, f"{MOST_ITEMS:,}", f"{MOST_BYTES:,}"),
            )
        if len(self) <= MOST_ITEMS and len(self) * pixels.nbytes <= MOST_BYTES:
            return
        raise refusal(
            f"the {self.name}",
            f"gave {len(self):,} items ({len(self) * pixels.nbytes:,} bytes) and has no length: it may be endless",
            "limit it with itertools.islice, or give a dataset with __len__ and __getitem__",
        )

    def finished(self) -> dict[str, np.ndarray]:
        """All images, and their labels if there are any."""
        if self.rows is not None:
            images = self.rows.array
        else:
            images, said = self.pictures.finished()
            self.found.say(*said)
        if is_mapped(images):
            self.found.say(
                f"items of {images.nbytes:,} bytes exceed a quarter of the free memory: they are stored in a temporary "
                "file (the environment variable TMPDIR names its folder)"
            )
        labels = labels_of(self.labels, self.found)
        return {"images": images} if labels is None else {"images": images, "labels": labels}

    def _image_and_label(self, item: Any) -> Labelled:
        if isinstance(item, Mapping):
            image_key, label_key = self.keys = self.keys or self._keys_of(item)
            if image_key not in item:
                raise refusal(
                    f"the {self.name}", f"item {len(self)} has no {image_key!r}", "give all items the same keys"
                )
            return item[image_key], item.get(label_key)
        if not isinstance(item, tuple | list):
            return item, None
        if len(item) > 2:
            self.found.say(f"items have {len(item)} values: the first is the image, the second the label")
        if not item:
            raise refusal(f"the {self.name}", f"item {len(self)} is empty", "give images, or images and labels")
        if isinstance(item[0], int | float):
            raise refusal(
                f"the {self.name}", f"item {len(self)} is a list of numbers", "give an array: numpy.array(...)"
            )
        return item[0], item[1] if len(item) > 1 else None

    def _keys_of(self, item: Mapping[Any, Any]) -> tuple[Any, Any]:
        """The keys of image and label in the items."""
        image_key = next((key for key in IMAGE_KEYS if key in item), None)
        if image_key is None:
            large = [key for key, value in item.items() if is_picture(value) or (is_array(value) and value.ndim >= 2)]
            if len(large) != 1:
                keys = ", ".join(map(str, item))
                raise refusal(f"the {self.name}", f"items have no image among {keys}", f"name it {IMAGE_KEYS[0]!r}")
            image_key = large[0]
            self.found.say(f"items: {image_key!r} is the image")
        label_key = next((key for key in self.label_keys if key in item and key != image_key), None)
        unused = [str(key) for key in item if key not in (image_key, label_key)]
        if unused:
            self.found.say(f"items: not used: {', '.join(unused[:8])}")
        return image_key, label_key

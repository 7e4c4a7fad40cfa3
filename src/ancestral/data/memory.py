"""Data in memory -> arrays by name, which are read as those of a file: arrays, tensors, pairs, dicts and datasets.

Settings name data by text, so data in memory get a name from their contents: `memory:` and the beginning of their
SHA-256. A run that was trained on them keeps the name, and asks for the data when it needs them again.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from ancestral.core.errors import InputError, refusal
from ancestral.data.imported import Imported
from ancestral.data.names import Member
from ancestral.data.readers import PART_NAMES, check_size
from ancestral.settings.data import MEMORY, ReadOptions

log = logging.getLogger("ancestral")
HELD = 4  # sources that stay available by name; older ones have to be given again
DIGITS = 16  # of the SHA-256 in the name
MOST_ITEMS = 10**7  # of a dataset without a length
SPLITS = (*PART_NAMES, "val", "validation")
IMAGE_KEYS = ("image", "images", "img", "pixel_values", "x", "data")
LABEL_KEYS = ("label", "labels", "y", "target", "fine_label")

_held: dict[str, dict[str, np.ndarray]] = {}


def hold(data: Any) -> str:
    """The name of data in memory, by which settings can refer to them.

    Args:      data: an array or tensor; a pair of images and labels; a pair of such pairs, for training and test; a
               dict of arrays by the usual names, or of splits; a dataset with `__getitem__` or `__iter__`, whose items
               are images or pairs or dicts of images and labels; a `DataLoader`, of which the dataset is taken.
    Raises:    InputError: none of these, or images of several sizes.
    """
    arrays = _arrays(data)
    total = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        total.update(f"{name} {array.shape} {array.dtype};".encode())
        total.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data if array.size else b"")
    name = MEMORY + total.hexdigest()[:DIGITS]
    _held.pop(name, None)
    _held[name] = arrays
    for old in list(_held)[:-HELD]:
        del _held[old]
    return name


def is_held(name: str) -> bool:
    """Whether data of this name can be read in this process."""
    return name in _held


def read_memory(name: str, options: ReadOptions) -> Imported:
    """What a reader of files finds, in data that were held.

    Raises:    InputError: the data are not held in this process.
    """
    from ancestral.data.arrays import import_members

    if name not in _held:
        raise InputError(f"{name}: these data were given in memory, and are not here: give them again, data=...")
    members = [Member(key, array.shape, array.nbytes, lambda array=array: array) for key, array in _held[name].items()]
    return import_members(Path("the data in memory"), members, options, [])


def _arrays(data: Any) -> dict[str, np.ndarray]:
    """Arrays by the names that a file would have."""
    if isinstance(data, Mapping):
        return _of_mapping(data)
    if _is_array(data):
        return {"images": _as_array(data)}
    if hasattr(data, "dataset") and hasattr(data, "batch_size"):
        log.warning("note: the dataset of a %s is read; its batches and order are not used", type(data).__name__)
        return _arrays(data.dataset)
    if isinstance(data, (tuple, list)) and len(data) == 2 and all(_is_pair(part) for part in data):
        return _of_mapping(dict(zip(("train", "test"), data, strict=True)))
    if isinstance(data, (tuple, list)) and _is_pair(data):
        return {"images": _as_array(data[0]), "labels": _as_array(data[1])}
    if hasattr(data, "__getitem__") or hasattr(data, "__iter__"):
        return _of_items(data)
    raise InputError(f"data are a name, a path, arrays, tensors or a dataset, not {type(data).__name__}")


def _is_array(data: Any) -> bool:
    return isinstance(data, np.ndarray) or (hasattr(data, "detach") and hasattr(data, "numpy"))


def _is_pair(data: Any) -> bool:
    """Whether data are images and their labels: two arrays of one length."""
    if not isinstance(data, (tuple, list)) or len(data) != 2 or not all(_is_array(part) for part in data):
        return False
    return data[0].ndim > 1 and data[1].ndim in (1, 2) and len(data[0]) == len(data[1])


def _as_array(data: Any) -> np.ndarray:
    """A tensor or array as an array, without a copy where that is possible."""
    if hasattr(data, "detach"):
        tensor = data.detach().cpu()
        data = (tensor.float() if str(tensor.dtype) == "torch.bfloat16" else tensor).numpy()
    array = np.asarray(data)
    if array.dtype.hasobject:
        raise InputError("the data in memory hold Python objects, no numbers: stack images of one size")
    return array


def _of_mapping(data: Mapping[Any, Any]) -> dict[str, np.ndarray]:
    """A dict of splits, or of arrays by name."""
    if data and all(str(name) in SPLITS for name in data) and not all(map(_is_array, data.values())):
        found = {}
        for name, part in data.items():
            for kind, array in _arrays(part).items():
                if kind in ("images", "labels"):
                    found[str(name) if kind == "images" else f"{name}_labels"] = array
                else:
                    found[kind] = array
        return found
    wrong = [name for name, value in data.items() if not _is_array(value)]
    if wrong or not data:
        raise InputError(
            f"a dict of data holds arrays or splits by name; {wrong[:3] or 'this one is empty'} are neither"
        )
    return {str(name): _as_array(value) for name, value in data.items()}


def _of_items(data: Any) -> dict[str, np.ndarray]:
    """The items of a dataset, stacked."""
    items = _items(data)
    if not items:
        raise InputError(f"the {type(data).__name__} has no items")
    pairs = [_image_and_label(item) for item in items]
    images = _stacked([image for image, _ in pairs])
    labels = [label for _, label in pairs]
    found = {"images": images}
    if all(label is not None for label in labels):
        found["labels"] = np.array([_plain(label) for label in labels])
        names = _class_names(data)
        if names:
            found["class_names"] = np.array(names)
    return found


def _items(data: Any) -> Sequence[Any]:
    """All items of a map-style or iterable dataset; a warning where reading it twice does not give the same."""
    if not (hasattr(data, "__len__") and hasattr(data, "__getitem__")):
        return list(islice(iter(data), MOST_ITEMS))
    items = [data[place] for place in range(len(data))]
    if items and not _equal(items[0], data[0]):
        log.warning("note: the items of this dataset differ each time they are read: scores on them cannot be repeated")
    return items


def _equal(first: Any, second: Any) -> bool:
    return all(
        np.array_equal(np.asarray(a), np.asarray(b)) for a, b in zip(_values(first), _values(second), strict=True)
    )


def _values(item: Any) -> Iterable[Any]:
    return item.values() if isinstance(item, Mapping) else item if isinstance(item, (tuple, list)) else (item,)


def _image_and_label(item: Any) -> tuple[Any, Any]:
    if isinstance(item, Mapping):
        image = next((item[key] for key in IMAGE_KEYS if key in item), None)
        if image is None:
            raise InputError(f"the items of the dataset have no image among {', '.join(map(str, item))}")
        return image, next((item[key] for key in LABEL_KEYS if key in item), None)
    if isinstance(item, (tuple, list)) and len(item) == 2:
        return item[0], item[1]
    return (item[0] if isinstance(item, (tuple, list)) and len(item) == 1 else item), None


def _stacked(images: Sequence[Any]) -> np.ndarray:
    """Images of one size as one array.

    Raises:    InputError: several sizes or types.
    """
    first = _as_array(images[0])
    check_size("the data in memory", first.nbytes * len(images))
    stacked = np.empty((len(images), *first.shape), first.dtype)
    for place, image in enumerate(images):
        array = _as_array(image)
        if array.shape != first.shape or array.dtype != first.dtype:
            raise refusal(
                "the data in memory",
                f"item {place} is {array.dtype} {array.shape}, item 0 is {first.dtype} {first.shape}",
                "make all items of one size and type",
            )
        stacked[place] = array
    return stacked


def _plain(label: Any) -> Any:
    return label.item() if hasattr(label, "item") else label


def _class_names(data: Any) -> list[str] | None:
    """Names of the classes, as torchvision (`classes`) and Hugging Face (`features`) keep them."""
    features = getattr(data, "features", None)
    for key in LABEL_KEYS:
        names = getattr(features.get(key), "names", None) if isinstance(features, Mapping) else None
        if names:
            return list(map(str, names))
    names = getattr(data, "classes", None)
    return list(map(str, names)) if isinstance(names, (list, tuple)) else None

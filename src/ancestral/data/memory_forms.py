"""Conversion of data in a Python session to arrays with the names of a file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ancestral.core.errors import InputError, refusal
from ancestral.core.text import type_in_words
from ancestral.data.findings import Findings, as_array, is_array, length_of
from ancestral.data.frames import frame_columns, is_frame
from ancestral.data.item_labels import labels_of
from ancestral.data.item_pictures import SUBJECT, is_picture
from ancestral.data.items import IMAGE_KEYS, read_items
from ancestral.data.names import PARTS

Arrays = dict[str, np.ndarray]
Frames = dict[str, Arrays]  # columns by name, by part
ORDERS = {2: ("train", "test"), 3: ("train", "valid", "test")}  # parts of a tuple or list of sources
IN_ORDER = ("SequentialSampler", "RandomSampler")
KINDS = "an array, a tensor, a pair (images, labels), a dict, a dataset or a table"


def arrays_of(data: Any, found: Findings) -> Arrays | Frames:
    """Images and labels by name, or the columns of tables by part.

    Args:      data: see `memory.hold`. found: notices are added to it.
    Raises:    InputError: none of these forms, or contents that do not fit together.
    """
    dataset = getattr(data, "dataset", data)
    if getattr(dataset, "train", None) is True:
        name = type(dataset).__name__
        found.say(f"the {name} has train=True, so it has no test images (use a dict to give both)")
    return _arrays(data, found)


def _arrays(data: Any, found: Findings) -> Arrays | Frames:
    if isinstance(data, Mapping):
        return _of_mapping(data, found)
    if isinstance(data, str | bytes | int | float) or data is None:
        raise InputError(f"data are the name of a set, a path, or {KINDS}, not {type(data).__name__}")
    if isinstance(data, tuple | list) and len(data) in ORDERS and all(map(_is_source, data)):
        order = ORDERS[len(data)]
        found.say(f"{len(data)} sources are used as {', '.join(order[:-1])} and {order[-1]}")
        return _of_parts(dict(zip(order, _checked_order(data), strict=True)), found)
    return _of_one(data, found)


def _of_one(data: Any, found: Findings) -> Arrays | Frames:
    """A source without parts."""
    if _is_loader(data):
        return _arrays(_dataset_of(data, found), found)
    if is_frame(data):
        return {"all": frame_columns(data)}
    if is_picture(data):
        return read_items([data], found)
    if is_array(data):
        return {"images": _numbers(data)} if not _is_objects(data) else read_items(list(data), found)
    tensors = getattr(data, "tensors", None)
    if isinstance(tensors, tuple | list) and tensors and all(map(is_array, tensors)):
        of_items = list(tensors)
        if len(of_items) > 2:
            found.say(f"items have {len(of_items)} values: the first is the image, the second the label")
        return _of_one(tuple(of_items[:2]) if len(of_items) > 1 else of_items[0], found)
    if isinstance(data, tuple | list) and len(data) == 2 and _is_pair(data[0], data[1]):
        return _of_pair(data[0], data[1], found)
    if isinstance(data, tuple) and len(data) == 2 and all(map(is_array, data)):
        shapes = " and ".join(str(tuple(one.shape)) for one in data)
        raise refusal(
            SUBJECT,
            f"a pair of arrays of shapes {shapes} is not (images, labels)",
            "give labels with one row per image, or a dict of parts {'train': ..., 'test': ...}",
        )
    if hasattr(data, "__getitem__") or hasattr(data, "__iter__"):
        return read_items(data, found)
    raise InputError(f"data are the name of a set, a path, or {KINDS}, not {type(data).__name__}")


def _is_objects(data: Any) -> bool:
    return isinstance(data, np.ndarray) and data.dtype.hasobject and data.ndim == 1


def _numbers(data: Any) -> np.ndarray:
    """An array of images or points.

    Raises:    InputError: fewer than two dimensions.
    """
    array = as_array(data)
    if array.ndim < 2:
        raise refusal(
            SUBJECT, f"an array of shape {array.shape} is not a set of images or points", "give (N, H, W) or (N, D)"
        )
    return array


def _is_loader(data: Any) -> bool:
    """Whether data are a `DataLoader`."""
    return all(hasattr(data, name) for name in ("dataset", "batch_size", "collate_fn"))


def _dataset_of(loader: Any, found: Findings) -> Any:
    """The dataset of a loader, with notices about settings of the loader that are not used."""
    found.say("the dataset of the loader is read: its batches, order and collate function are not used")
    sampler, count = getattr(loader, "sampler", None), length_of(loader.dataset)
    drawn = length_of(sampler)
    plain = type(sampler).__name__ in IN_ORDER or type(sampler).__name__.startswith("_Infinite")
    if count is not None and drawn is not None and (not plain or drawn != count):
        found.say(
            f"the loader's {type(sampler).__name__} samples {drawn:,} of {count:,} items, but all {count:,} are read "
            "(use torch.utils.data.Subset for a part)"
        )
    return loader.dataset


def _is_source(data: Any) -> bool:
    """Whether data are a complete source: a dataset, a table, a loader, or a pair (images, labels)."""
    if isinstance(data, tuple | list):
        return len(data) == 2 and _is_pair(*data)
    if is_array(data) or is_picture(data) or isinstance(data, str | bytes | Mapping | int | float) or data is None:
        return False
    return is_frame(data) or _is_loader(data) or hasattr(data, "__getitem__") or hasattr(data, "__iter__")


def _checked_order(data: Any) -> Any:
    """Raises:    InputError: the first dataset has train=False, or the last one has train=True."""
    if getattr(data[0], "train", None) is False or getattr(data[-1], "train", None) is True:
        raise refusal(SUBJECT, "the first dataset has train=False, or the last train=True", "give training data first")
    return data


def _is_labels(data: Any) -> bool:
    """Whether data may be the labels of images: one dimension, or one vector for each image."""
    if isinstance(data, tuple | list):
        first: Any = next((value for value in data if value is not None), "")
        plain = isinstance(first, str | bytes | int | float) or (is_array(first) and len(first.shape) == 0)
        return bool(data) and plain
    return (is_array(data) or hasattr(data, "to_numpy")) and len(getattr(data, "shape", ())) in (1, 2)


def _is_pair(images: Any, labels: Any) -> bool:
    """Whether two objects are images or points and their labels. Their number is checked later."""
    if not _is_labels(labels):
        return False
    if is_frame(images):
        return not is_frame(labels) or labels.shape[1] == 1
    if _is_objects(images):
        images = list(images)
    if isinstance(images, tuple | list):
        return bool(images) and (is_picture(images[0]) or (is_array(images[0]) and len(images[0].shape) >= 2))
    if not is_array(images) or len(images.shape) < 2 or is_frame(labels):
        return False
    if len(getattr(labels, "shape", ())) == 2:  # one-hot vectors, or a column
        values = as_array(labels)
        return len(images) == len(values) and (values.shape[1] == 1 or bool((values.sum(1) == 1).all()))
    return True


def _of_pair(images: Any, labels: Any, found: Findings) -> Arrays | Frames:
    known = _labels(labels, found)
    if is_frame(images):
        return {"all": frame_columns(images, None if known is None else known.reshape(-1))}
    listed = isinstance(images, tuple | list) or _is_objects(images)
    arrays = read_items(list(images), found) if listed else {"images": _numbers(images)}
    if known is None:
        return arrays
    if len(known) != len(arrays["images"]):
        raise refusal(
            SUBJECT, f"{len(arrays['images']):,} images and {len(known):,} labels", "give one label per image"
        )
    return {**arrays, "labels": known}


def _labels(labels: Any, found: Findings) -> np.ndarray | None:
    """Labels as an array; None, with a notice, if they are not classes."""
    if isinstance(labels, tuple | list):
        return labels_of(list(labels), found)
    if hasattr(labels, "to_numpy"):  # a column of a table
        labels = labels.to_numpy()
    if isinstance(labels, np.ndarray) and labels.dtype.hasobject:
        return labels_of(labels.reshape(-1).tolist(), found)
    return as_array(labels)


def _of_mapping(data: Mapping[Any, Any], found: Findings) -> Arrays | Frames:
    """A dict of splits, or of arrays by name."""
    if not data:
        raise refusal(SUBJECT, "the dict is empty", "give images, or parts by name")
    names = {str(name): value for name, value in data.items()}
    if any(map(_is_source, names.values())) or (all(map(_part, names)) and not all(map(is_array, names.values()))):
        unknown = [name for name in names if _part(name) is None]
        images = next((names[key] for key in IMAGE_KEYS if key in names), None)
        if unknown and (images is None or not _is_source(images)):
            raise refusal(SUBJECT, f"{unknown[0]!r} is not a part", "use train, valid and test, and remove other keys")
        if not unknown:
            return _of_parts(names, found)
    return {name: _by_name(name, value, found) for name, value in names.items()}


def _part(name: str) -> str | None:
    """The part with this name or alias; None if there is none."""
    return next((part for part, aliases in PARTS.items() if name.lower() in aliases), None)


def _by_name(name: str, value: Any, found: Findings) -> np.ndarray:
    """An array of a dict: numbers, images in a list, or labels in a list."""
    if is_array(value) and not _is_objects(value):
        return as_array(value)
    if _is_labels(value):
        labels = _labels(value, found)
        if labels is not None:
            return labels
    if isinstance(value, tuple | list | np.ndarray) and len(value):
        return read_items(list(value), found)["images"]
    raise refusal(SUBJECT, f"{name!r} is {type_in_words(value)}, not an array or a part", f"give {KINDS}")


def _of_parts(parts: Mapping[str, Any], found: Findings) -> Arrays | Frames:
    """Parts of any form, by their names."""
    result: dict[str, Any] = {}
    frames = 0
    for name, source in parts.items():
        part = _part(name)
        assert part is not None
        arrays = _arrays(source, found)
        if part in result:
            raise refusal(SUBJECT, f"there are two parts {part}", "give each part once")
        whole = arrays.get("all")
        if isinstance(whole, dict):
            frames += 1
            result[part] = whole
            continue
        _add_part(result, part, arrays)
    if frames not in (0, len(parts)):
        raise refusal(SUBJECT, "some parts are tables and others are not", "give all parts in one form")
    return result


def _add_part(result: Arrays, part: str, arrays: Mapping[str, Any]) -> None:
    """Add images and labels of a part, with the names of a file."""
    images = next((arrays[key] for key in ("images", *IMAGE_KEYS) if key in arrays), None)
    if images is None:
        raise refusal(SUBJECT, f"the part {part} has no images among {', '.join(arrays)}", "name them 'images'")
    result[part] = images
    labels = next((arrays[key] for key in ("labels", "label", "y", "target", "targets") if key in arrays), None)
    if labels is not None:
        result[f"{part}_labels"] = labels
    names = arrays.get("class_names")
    if names is not None:
        if "class_names" in result and result["class_names"].tolist() != names.tolist():
            raise refusal(SUBJECT, f"the class names of {part} differ from those of other parts", "make them equal")
        result["class_names"] = names

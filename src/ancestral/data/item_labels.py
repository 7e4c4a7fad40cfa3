"""The labels of the items of a dataset, in the form of a file, and the names of their classes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from ancestral.data.findings import Findings, as_array, is_array

LABEL_KEYS = ("label", "labels", "y", "target", "targets", "fine_label")


def label_keys_of(data: Any) -> list[str]:
    """Keys of items that may have the label: common names, and those declared by a Hugging Face dataset."""
    features = getattr(data, "features", None)
    if not isinstance(features, Mapping):
        return list(LABEL_KEYS)
    return list(dict.fromkeys((*LABEL_KEYS, *(str(key) for key, of in features.items() if hasattr(of, "names")))))


def labels_of(values: list[Any], found: Findings) -> np.ndarray | None:
    """Labels in the form of a file, one per item; -1, or an empty text, for an item without a label.

    Args:      values: numbers, texts, one-hot vectors or None.
    Returns:   shape (N,), or (N, K) for vectors; None if there are no labels.
    """
    plain = list(map(_plain, values))
    known = [value for value in plain if value is not None]
    if not known:
        return None
    odd = next((value for value in known if not _is_label(value)), None)
    if odd is not None:
        found.say(f"labels of type {type(odd).__name__} are not classes: ignored")
        return None
    if any(isinstance(value, str | bytes) for value in known):
        words = (value.decode("utf-8", "replace") if isinstance(value, bytes) else value for value in plain)
        return np.array(["" if word is None else str(word) for word in words])
    if all(isinstance(value, int | float) for value in known):
        return np.array([-1 if value is None or value != value else value for value in plain])
    vectors = [np.zeros(np.shape(known[0])) if value is None else as_array(value) for value in plain]
    if len({vector.shape for vector in vectors}) > 1 or vectors[0].ndim != 1:
        found.say("labels of different shapes are not classes: ignored")
        return None
    if len(known) < len(plain):  # one-hot vectors, some of them missing
        present = [value is not None for value in plain]
        return np.where(present, np.stack(vectors).argmax(1), -1)
    return np.stack(vectors)


def _plain(value: Any) -> Any:
    """The number in an array or tensor with one element; other values unchanged."""
    return value.item() if hasattr(value, "item") and math.prod(getattr(value, "shape", (1,))) == 1 else value


def _is_label(value: Any) -> bool:
    if isinstance(value, tuple | list):
        return all(isinstance(one, int | float) for one in value)
    return isinstance(value, str | bytes | int | float) or is_array(value)


def class_names_of(data: Any) -> list[str] | None:
    """Names of the classes in datasets of torchvision (`classes`) and Hugging Face (`features`), or subsets of them."""
    features = getattr(data, "features", None)
    for key in label_keys_of(data):
        names = getattr(features.get(key), "names", None) if isinstance(features, Mapping) else None
        if names:
            return list(map(str, names))
    names = getattr(data, "classes", None)
    if isinstance(names, list | tuple):
        return list(map(str, names))
    inner = getattr(data, "dataset", None) or next(iter(getattr(data, "datasets", None) or ()), None)
    return None if inner is None else class_names_of(inner)

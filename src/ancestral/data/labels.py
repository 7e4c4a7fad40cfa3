"""Conversion of labels in many forms to class numbers from 0, with names if the stored labels differ."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np

from ancestral.core.errors import refusal

Labels = dict[str, np.ndarray | None]


def natural_key(text: str) -> tuple[tuple[int, int | str], ...]:
    """A key for natural order of names with numbers: `2` before `10`.

    Example:
        >>> sorted(["10", "2", "b", "a10", "a9"], key=natural_key)
        ['2', '10', 'a9', 'a10', 'b']
    """
    words = re.split(r"(\d+)", text)
    return tuple((0, int(word)) if word.isdecimal() else (1, word.casefold()) for word in words if word)


def as_classes(
    subject: object,
    raw: Mapping[str, np.ndarray | None],
    counts: Mapping[str, int],
    names: Sequence[str] | None = None,
    compact: bool = True,
) -> tuple[Labels, tuple[str, ...] | None, list[str]]:
    """The labels of all parts of a source as class numbers.

    Labels may be whole numbers, also as floats, as a column, or one-hot; -1 means no label. Words become classes in
    natural order. If most class numbers are not used, the classes are renumbered, with the stored numbers as names.

    Args:
        subject: the source, for errors.
        raw: labels by part; None for a part without labels.
        counts: number of images by part.
        names: names of the classes, if the file has them.
        compact: renumber sparse classes; earlier versions did not.

    Returns: int64 labels by part, each of shape (N,) or None; names of the classes, or None; notices.
    Raises: InputError for a number of labels other than that of images, and for negative numbers other than -1.
    """
    said: list[str] = []
    flat: dict[str, np.ndarray] = {}
    for part, values in raw.items():
        if values is not None:
            usable = _flat(subject, part, values, counts[part], said)
            if usable is not None:
                flat[part] = usable
    if not flat:
        return dict.fromkeys(counts), None, said
    without = [part for part in counts if part not in flat]
    if without and len(flat) < len(counts):
        said.append(f"the {' and '.join(without)} images have no labels")
    if any(values.dtype.kind in "US" for values in flat.values()):
        return _from_words(flat, counts, said)
    whole = {part: _whole(subject, part, values, said) for part, values in flat.items()}
    numbers = {part: values for part, values in whole.items() if values is not None}
    if not numbers:
        return dict.fromkeys(counts), None, said
    return _numbered(subject, numbers, counts, names, compact, said)


def _flat(subject: object, part: str, values: np.ndarray, count: int, said: list[str]) -> np.ndarray | None:
    """One label for each image, shape (N,); None, with a notice, if they are not classes."""
    if values.ndim == 2 and 1 in values.shape and values.size == count:
        values = values.reshape(-1)
    if values.ndim == 2 and len(values) == count and values.dtype.kind in "biuf":
        one_hot = bool(((values == 0) | (values == 1)).all()) and bool((values.sum(1) == 1).all())
        if not one_hot:
            said.append(f"labels of shape {values.shape} are not classes: ignored")
            return None
        said.append(f"labels of shape {values.shape} are one-hot: taken as {values.shape[1]} classes")
        return values.argmax(1)
    if values.shape != (count,):
        raise refusal(
            subject,
            f"labels of shape {values.shape} for {count} {'' if part == 'all' else part + ' '}images",
            "give one label per image",
        )
    return values


def _whole(subject: object, part: str, values: np.ndarray, said: list[str]) -> np.ndarray | None:
    if values.dtype.kind == "b":
        return values.astype(np.int64)
    if values.dtype.kind == "f":
        if not bool(np.isfinite(values).all()) or bool((values != np.rint(values)).any()):
            said.append("the labels are real numbers, not classes: ignored")
            return None
    elif values.dtype.kind not in "iu":
        raise refusal(subject, f"labels of type {values.dtype}", "give one whole number or one word per image")
    if len(values) and not -(2.0**62) < float(values.min()) <= float(values.max()) < 2.0**62:
        raise refusal(subject, "labels exceed the range of int64", "number the classes from 0")
    return values.astype(np.int64)


def _from_words(
    flat: dict[str, np.ndarray], counts: Mapping[str, int], said: list[str]
) -> tuple[Labels, tuple[str, ...] | None, list[str]]:
    words = {part: [_word(value) for value in values.tolist()] for part, values in flat.items()}
    names = sorted({word for of_part in words.values() for word in of_part} - {""}, key=natural_key)
    number = {name: place for place, name in enumerate(names)} | {"": -1}
    labels: Labels = dict.fromkeys(counts)
    labels |= {part: np.array([number[word] for word in of_part], np.int64) for part, of_part in words.items()}
    return labels, tuple(names) or None, said


def _word(value: object) -> str:
    return value.decode("utf-8", "replace").strip() if isinstance(value, bytes) else str(value).strip()


def _numbered(
    subject: object,
    numbers: dict[str, np.ndarray],
    counts: Mapping[str, int],
    names: Sequence[str] | None,
    compact: bool,
    said: list[str],
) -> tuple[Labels, tuple[str, ...] | None, list[str]]:
    labels: Labels = dict.fromkeys(counts)
    values = np.unique(np.concatenate(list(numbers.values())))
    if len(values) and values[0] < -1:
        raise refusal(subject, f"a label of {values[0]}", "number the classes from 0; -1 is an image without a label")
    present = values[values >= 0]
    if names is not None and (not len(present) or present[-1] < len(names)):
        return labels | numbers, tuple(names), said
    if names is not None:
        said.append(f"{len(names)} class names, but labels up to {present[-1]}: the names are ignored")
    if not compact or not len(present) or (present[0] == 0 and present[-1] < 2 * len(present)):
        return labels | numbers, None, said
    said.append(
        f"labels are {_listed(present)}: renumbered 0..{len(present) - 1}, with the stored numbers as class names"
    )
    renumbered = {
        part: np.where(of_part < 0, -1, np.searchsorted(present, of_part)) for part, of_part in numbers.items()
    }
    return labels | renumbered, tuple(map(str, present.tolist())), said


def _listed(values: np.ndarray) -> str:
    shown = [str(value) for value in values[:5].tolist()]
    return ", ".join(shown) + (f", ... {values[-1]}" if len(values) > 5 else "")

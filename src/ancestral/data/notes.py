"""Notices about a split source: repeated images, missing labels and discrete columns."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ancestral.core.errors import refusal
from ancestral.data.division import Division, image_keys, repeated
from ancestral.data.splits import Split

FEW_VALUES = 20  # columns with at most this many different values are called discrete
SHOWN = 6


def repetitions(divided: Division, train: int, valid: int, noun: str = "images") -> list[str]:
    """Notices about images that occur more than once, within a split or in two splits.

    Args:      train, valid: numbers of training and validation images, the first in the order of the split. noun:
               images or points.
    """
    pool = image_keys(divided.pool.images)
    same = divided.test is divided.pool
    of_test = pool if same else image_keys(divided.test.images)
    of_train, of_valid = pool[divided.order[:train]], pool[divided.order[train : train + valid]]
    of_test = of_test if divided.test_rows is None else of_test[divided.test_rows]
    said = []
    copies, _ = repeated(of_train, of_train)
    if copies:
        said.append(f"{copies:,} of {train:,} training {noun} are copies of another training {noun[:-1]}")
    known = np.concatenate([of_train, of_valid])
    for name, keys, others in (("validation", of_valid, of_train), ("test", of_test, known)):
        _, again = repeated(keys, others)
        if again:
            where = "training" if name == "validation" else "training or validation"
            said.append(
                f"{again:,} of {len(keys):,} {name} {noun} are also {where} {noun}: their score is not a score of "
                "unseen data"
            )
    return said


def class_notes(
    classes: Sequence[str] | None, train: Split, valid: Split, test: Split, noun: str = "images"
) -> list[str]:
    """Notices about images without a label, and about classes without training images. noun: images or points."""
    said = []
    labelled = [
        (name, split.labels)
        for name, split in (("training", train), ("validation", valid), ("test", test))
        if split.labels is not None and len(split)
    ]
    for name, labels in labelled:
        missing = int((labels < 0).sum())
        if missing:
            said.append(f"{missing:,} of {len(labels):,} {name} {noun} have no label (-1)")
    if not labelled or train.labels is None:
        return said
    seen = set(train.labels.unique().tolist()) - {-1}
    wanted = set(range(len(classes))) if classes else set(range(max(seen, default=-1) + 1))
    wanted |= {int(label) for _, labels in labelled for label in labels.unique() if label >= 0}
    absent = sorted(wanted - seen)
    if absent:
        shown = ", ".join(classes[i] if classes and i < len(classes) else str(i) for i in absent[:8])
        said.append(f"classes without training {noun}: {shown}{', ...' if len(absent) > 8 else ''}")
    return said


def column_notes(subject: object, train: Split, columns: Sequence[str] | None) -> list[str]:
    """A notice about columns of training points with few values, for which densities are not a useful score.

    Args:      subject: the source, for errors. columns: names of the columns, if they have names.
    Raises:    InputError: a column has one value in all training points, so its density would be infinite.
    """
    points = train.images.numpy()
    seen = np.ones(points.shape, bool) if train.seen is None else train.seen.numpy()
    names = columns or [f"x{place + 1}" for place in range(points.shape[1])]
    distinct = [len(np.unique(column[there])) for column, there in zip(points.T, seen.T, strict=True)]
    empty = [name for name, count in zip(names, distinct, strict=True) if count == 0]
    if empty:
        raise refusal(subject, f"columns without a value in all training points ({_listed(empty)})", "remove them")
    constant = [name for name, count in zip(names, distinct, strict=True) if count == 1]
    if constant:
        raise refusal(
            subject,
            f"columns with one value in all training points ({_listed(constant)})",
            "remove them: the density of a constant is infinite",
        )
    few = [name for name, count in zip(names, distinct, strict=True) if count <= min(FEW_VALUES, len(points) // 2)]
    if not few:
        return []
    return [
        f"columns with few values ({_listed(few)}): they are discrete, and a density of discrete values has no upper "
        "bound"
    ]


def missing_notes(train: Split, kind: str) -> list[str]:
    """Notices about training images without any seen pixel, and about pixels that no training image has.

    Args:      kind: images or points.
    """
    if train.seen is None:
        return []
    seen, what = train.seen.flatten(1), "values" if kind == "points" else "pixels"
    empty, never = int((~seen.any(1)).sum()), int((~seen.any(0)).sum())
    said = [f"{1 - seen.double().mean().item():.1%} of the {what} of the training {kind} are missing"]
    if empty:
        said.append(f"{empty:,} of {len(seen):,} training {kind} have no seen {what}: they do not change the model")
    if never and kind == "images":
        said.append(
            f"{never:,} of {seen.shape[1]:,} pixels are missing in all training images: nothing is learned about them"
        )
    return said


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")

"""Classes in words, for every picture that shows them."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from ancestral.runs.run import Run

LONGEST = 24  # letters; longer names would make the images beside them small


def class_in_words(run: Run, label: int) -> str:
    """The name of a class of the data that are shown, or its number where it has none; -1 is no class."""
    return _in_words(run.data.classes, label)


def learned_class_in_words(run: Run, label: int) -> str:
    """The same of a class that a conditional model was trained on, whatever data are shown beside it."""
    return _in_words(run.record["data"].get("classes") or run.data.classes, label)


def conditions_in_words(run: Run, held: Tensor) -> list[str]:
    """The classes that conditions of a model stand for, in words; empty texts where there is no condition.

    Args:      held: one-hot, shape (n, C), C = 0 for no condition.
    """
    if not held.shape[1]:
        return [""] * len(held)
    return [f"class {learned_class_in_words(run, label)}" for label in held.argmax(1).tolist()]


def _in_words(names: Sequence[str] | None, label: int) -> str:
    if label < 0:
        return "unlabelled"
    name = names[label] if names and label < len(names) else str(label)
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"

"""Summary of a data set: facts and notices, as text and as a record."""

from __future__ import annotations

from typing import Any, NamedTuple

from torch import Tensor

from ancestral.core.text import plural
from ancestral.data.readers import PART_NAMES
from ancestral.data.splits import Dataset
from ancestral.data.toy import PointDataset

SHOWN_CLASSES = 12


class DataSummary(NamedTuple):
    """Summary of a data set.

    Args:
        name: name of the set, or the file name without its suffix.
        kind: "images" or "points".
        sha256: hash of all images and labels, in hexadecimal; None if the data differ each time they are read.
        counts: number of images by split.
        event_shape: shape of one image (C, H, W) or point (D,).
        levels: number of values of a stored pixel, 0 for points.
        value_range: the stored values that correspond to level 0 and the last level.
        classes: names of the classes, if they have names.
        class_counts: number of images of each class by split, if there are labels.
        columns: names of the columns of points, if they have names.
        assumptions: notices about guesses and ignored parts.
        conditions: names of the entries of the condition vectors, if there are any.
        condition_statistics: mean and standard deviation of each entry in the training data, if there are any.
    """

    name: str
    kind: str
    sha256: str | None
    counts: dict[str, int]
    event_shape: tuple[int, ...]
    levels: int
    value_range: tuple[float, float] | None
    classes: tuple[str, ...] | None
    class_counts: dict[str, list[int]] | None
    columns: tuple[str, ...] | None
    assumptions: tuple[str, ...]
    conditions: tuple[str, ...] | None = None
    condition_statistics: tuple[tuple[float, float], ...] | None = None

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON values, by name."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in self._asdict().items()}

    def lines(self) -> list[str]:
        """Facts and notices, one line each."""
        return self.facts() + self.notes()

    def notes(self) -> list[str]:
        """Notices about guesses and ignored parts, one line each."""
        return [f"note: {assumption}" for assumption in self.assumptions]

    def facts(self) -> list[str]:
        """Number, shape, classes and SHA-256 of the data, one line each."""
        counts = " + ".join(f"{self.counts[part]:,} {part}" for part in PART_NAMES)
        said = [f"{self.name}: {sum(self.counts.values()):,} {self.kind} ({counts}), {self._shape()}"]
        if self.kind == "images" and self.value_range is not None:
            low, high = self.value_range
            said[0] += f", {self.levels} levels of stored values {low:g} to {high:g}"
        if self.class_counts is not None:
            said.append(f"classes by training images: {self._classes()}")
        if self.conditions is not None:
            said.append(f"conditions: {plural(len(self.conditions), 'number')} for each row: {self._conditions()}")
        return [*said, f"SHA-256 {self.sha256 or 'none: these data are not reproducible'}"]

    def _shape(self) -> str:
        if self.kind == "points":
            names = f": {', '.join(self.columns[:SHOWN_CLASSES])}" if self.columns else ""
            more = ", ..." if self.columns and len(self.columns) > SHOWN_CLASSES else ""
            return f"{self.event_shape[0]} columns{names}{more}"
        channels, height, width = self.event_shape
        colour = {1: "grey", 3: "colour"}.get(channels, f"{channels} channels")
        return f"{colour}, {height}x{width} pixels (height x width)"

    def _conditions(self) -> str:
        assert self.conditions is not None and self.condition_statistics is not None
        shown = [
            f"{name} {mean:.4g} ± {deviation:.4g}"
            for name, (mean, deviation) in zip(self.conditions, self.condition_statistics, strict=True)
        ]
        more = [f"... ({len(shown)} numbers)"] if len(shown) > SHOWN_CLASSES else []
        return ", ".join(shown[:SHOWN_CLASSES] + more) + " (mean ± standard deviation in the training data)"

    def _classes(self) -> str:
        assert self.class_counts is not None
        counts = self.class_counts["train"]
        names = self.classes or [str(number) for number in range(len(counts))]
        shown = [f"{name} {count:,}" for name, count in zip(names, counts, strict=True)][:SHOWN_CLASSES]
        return ", ".join(shown) + (f", ... ({len(counts)} classes)" if len(counts) > SHOWN_CLASSES else "")


def summarise(data: Dataset | PointDataset) -> DataSummary:
    """The summary of a data set."""
    own = data if isinstance(data, Dataset) else None
    count = own.class_count if own else None
    return DataSummary(
        data.name,
        own.kind if own else "points",
        data.sha256,
        {part: len(data.split(part)) for part in PART_NAMES},
        tuple(data.event_shape),
        data.levels,
        own.value_range if own else None,
        own.classes if own else None,
        {part: _class_counts(data.split(part).labels, count) for part in PART_NAMES} if count else None,
        own.columns if own else None,
        own.assumptions if own else (),
        (own.conditions or None) if own else None,
        (own.train.condition_statistics or None) if own else None,
    )


def _class_counts(labels: Tensor | None, classes: int) -> list[int]:
    if labels is None:
        return [0] * classes
    return labels[labels >= 0].bincount(minlength=classes).tolist()

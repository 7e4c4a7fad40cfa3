"""A trained model on data that are not its run's own: read as those were, and never stored among its records."""

from __future__ import annotations

import logging
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ancestral.core.errors import InputError, refusal
from ancestral.data.datasets import load_dataset, padded, read_source
from ancestral.data.imported import Imported, Part
from ancestral.data.pixels import PixelBatches, PixelSpace
from ancestral.data.readers import PART_NAMES
from ancestral.data.sources import digest
from ancestral.data.splits import Dataset, Split, as_tensor
from ancestral.data.storage import compact
from ancestral.data.tables import matched_columns
from ancestral.data.values import MOST_INFERRED
from ancestral.runs.run import Run
from ancestral.runs.run_data import RunData
from ancestral.runs.stored_data import StoredData
from ancestral.settings.data import IMAGE_SETS, POINT_SETS, OtherData, ReadOptions, is_named

log = logging.getLogger("ancestral")
WHOLE = "all"  # the part of a source that is not divided
GIVEN = "given"  # the name of the split that other data make


class NewData(RunData):
    """Images or points in place of a run's own, in its pixel space. The training and validation data stay the run's.

    Args:      run: the run. dataset: the data, as its split `test`. space: the run's.
    """

    def __init__(self, run: Run, dataset: Dataset, space: PixelSpace) -> None:
        self.run, self.settings, self.dataset, self.space = run, run.settings.data, dataset, space
        self.version = run.reading

    def stored(self, split: str) -> Split:
        return self.dataset.test if split in (GIVEN, "test") else self.run.data.stored(split)

    def held(self, split: str, count: int | None = None, device: Any = "cpu") -> PixelBatches:
        if split in (GIVEN, "test"):
            return PixelBatches(self.dataset.test.first(count), self.space, device=device)
        return self.run.data.held(split, count, device)

    def training(self, seed: int, device: Any = "cpu", labelled_only: bool = False) -> PixelBatches:
        return self.run.data.training(seed, device, labelled_only)

    @property
    def name(self) -> str:
        return self.dataset.name

    @property
    def density(self) -> None:
        """None: what other data were drawn from is not known."""

    @property
    def source(self) -> str:
        return self.run.data.source


class RunOnNewData(Run):
    """A run with other data in place of its own test data. It keeps no records: those of a run are of its own data.

    Data that are the run's own, at another place, are its own: they are divided as they were, and records are kept.

    Args:      run: trained. other: which data, and how they are read where that differs from the run's own.
               split: of the data, where they are divided.
    Raises:    InputError: the data are missing, damaged, or of another shape than the model's.
    """

    def __init__(self, run: Run, other: OtherData, split: str = "test", missing: bool = False) -> None:
        super().__init__(run.path)
        self.run, self._data = run, _read(run, other, split, missing)
        self.keeps_records = not isinstance(self._data, NewData)

    @cached_property
    def data(self) -> RunData:
        return self._data

    def load(self) -> Any:
        return self.run.load()


def on_data(run: Run, other: OtherData | None, split: str = "test", missing: bool = False) -> tuple[Run, str]:
    """The run that a verb works on, and the split: the run itself, or the run with other data in place of its own.

    Data that are the run's own, at another place, are divided as they were for the training.

    Args:      missing: NaN and transparent pixels of the other data are missing, not refused or composited.
    """
    if other is None or other.data is None:
        return run, split
    found = RunOnNewData(run, other, split, missing)
    return found, GIVEN if isinstance(found.data, NewData) else split


def _read(run: Run, other: OtherData, split: str, missing: bool) -> RunData:
    assert other.data is not None
    own = run.settings.data
    if other.data in POINT_SETS:
        return RunData(replace(own, data=other.data))
    record, levels = run.record["data"], run.space.levels
    if other.data == own.data and (is_named(own.data) or _at_hand(run.data)):
        return run.data
    if other.data in IMAGE_SETS:
        named = load_dataset(other.data, pad_to=own.pad_to, fetch=False)
        chosen = Imported({split: _part(named.split(split))}, named.levels)
        name = named.name
    else:
        options = _options(own.read_options, other)
        options = options._replace(missing=missing, columns=tuple(record.get("columns") or ()))
        name, chosen = read_source(other.data, options)
        if digest(chosen.parts) == record["sha256"]:  # the run's own data in another place: it knows their division
            known = {key: value for key, value in record.items() if not key.endswith("_path")}
            return StoredData(replace(own, data=other.data), known, run.path, run.reading)
    part, used = _chosen(name, chosen, split)
    columns, matched = chosen.columns, list[str]()
    if chosen.kind == "points" and levels == 0:
        part, matched = matched_columns(name, part, columns, record.get("columns"))
        columns = tuple(record.get("columns") or columns or ()) or None
    images, notes = _in_levels(name, part.images, chosen.levels, levels, bool(other.levels))
    if own.pad_to is not None and other.data not in IMAGE_SETS:
        images = _padded(images, own.pad_to)
    if images.ndim == 4 and images.shape[1] == 1 and run.record["data"]["event_shape"][0] == 3:
        images = images.expand(-1, 3, -1, -1)
        notes.append("grey images for a model of colour: three equal channels")
    _refuse_shape(name, images, run)
    labels, more = _labels(part.labels, chosen.classes, record.get("classes"))
    seen = None if part.seen is None else torch.from_numpy(part.seen)
    of_use = Split(
        images, labels, part.names, seen=seen if seen is None or own.pad_to is None else _padded_seen(seen, own.pad_to)
    )
    none = Split(images[:0], None if labels is None else labels[:0])
    whole = used == WHOLE
    dataset = Dataset(
        name if whole else f"{name} ({used})",
        levels,
        none,
        none,
        of_use,
        digest({used: part}) if chosen.repeatable else None,
        chosen.value_range,
        tuple(record["classes"]) if record.get("classes") else chosen.classes,
        columns,
        (*chosen.assumptions, *matched, *notes, *more),
        own=True,
    )
    for line in dataset.assumptions:
        log.warning("note: %s", line)
    return NewData(run, dataset, run.space)


def _at_hand(data: RunData) -> bool:
    """Whether the data of a run are where they were, and are the same."""
    try:
        return bool(data.dataset)
    except InputError:
        return False


def _part(split: Split) -> Part:
    return Part(split.images.numpy(), None if split.labels is None else split.labels.numpy(), split.names)


def _options(own: ReadOptions, other: OtherData) -> ReadOptions:
    """How the data are read: as the run's own, unless the request says otherwise."""
    given = {name: getattr(other, name) for name in ReadOptions._fields if getattr(other, name, None)}
    return own._replace(**given)


def _chosen(name: str, found: Imported, split: str) -> tuple[Part, str]:
    """The part to use, and its name.

    Raises:    InputError: the source is divided, and has no such part.
    """
    if WHOLE in found.parts:
        return found.parts[WHOLE], WHOLE
    if split not in found.parts:
        has = " and ".join(part for part in PART_NAMES if part in found.parts)
        raise refusal(name, f"has no {split} part, only {has}", "choose another --split")
    return found.parts[split], split


def _in_levels(name: str, images: np.ndarray, found: int, wanted: int, stated: bool) -> tuple[Tensor, list[str]]:
    """Images with the levels of the model: those of fewer inferred levels as they are, others scaled.

    Raises:    InputError: points for a model of images, or images for a model of points.
    """
    if (found == 0) != (wanted == 0):
        what = ("points", "images") if found == 0 else ("images", "points")
        raise refusal(name, f"holds {what[0]}", f"this model was trained on {what[1]}")
    as_stored = images.astype(np.int32) if images.dtype == np.uint16 else images
    x = as_tensor(compact(as_stored))
    if found in (wanted, 0):
        return x, []
    if found < wanted <= MOST_INFERRED and not stated:
        return x, [f"values are 0..{found - 1}: taken as of the model's {wanted} levels"]
    scaled = (x.double() * ((wanted - 1) / (found - 1))).round()
    kept = scaled.to(torch.uint8 if wanted <= 256 else torch.int32)
    return kept, [f"values of {found} levels are scaled to the {wanted} that the model knows"]


def _padded(images: Tensor, side: int) -> Tensor:
    height, width = images.shape[-2:]
    return images if side < max(height, width) else padded(images, side)  # larger ones are refused by their shape


def _padded_seen(seen: Tensor, side: int) -> Tensor:
    """What is added around an image is known: it is black."""
    return ~_padded((~seen).to(torch.uint8), side).bool()


def _refuse_shape(name: str, images: Tensor, run: Run) -> None:
    wanted = tuple(run.record["data"]["event_shape"])
    if tuple(images.shape[1:]) == wanted:
        return
    sizes = ["x".join(map(str, size)) for size in (images.shape[1:], wanted)]
    if len(wanted) != 3:
        raise refusal(name, f"points of {sizes[0]} columns", f"this model was trained on {sizes[1]}")
    advice = "--grey makes one channel, --crop and --resize make another size"
    raise refusal(name, f"images of {sizes[0]}", f"this model knows {sizes[1]} (channels x height x width); {advice}")


def _labels(labels: np.ndarray | None, names: Any, known: Any) -> tuple[Tensor | None, list[str]]:
    """Labels as the run numbers its classes, by name where both have names; a class that it does not know is -1."""
    if labels is None:
        return None, []
    if not names or not known or list(names) == list(known):
        return torch.from_numpy(np.ascontiguousarray(labels)), []
    number = {name: place for place, name in enumerate(known)}
    table = np.array([*(number.get(name, -1) for name in names), -1])  # the last for images without a label
    strange = [name for name in names if name not in number]
    said = [f"classes that the model does not know, taken as unlabelled: {', '.join(strange[:8])}"] if strange else []
    return torch.from_numpy(table[labels]), said

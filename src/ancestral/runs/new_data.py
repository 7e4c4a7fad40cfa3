"""A trained model applied to new data, which are read like the data of its run; results are not stored with the run."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ancestral.core.errors import InputError, refusal
from ancestral.data.datasets import load_dataset, padded, padded_seen, read_source
from ancestral.data.imported import Imported, Part
from ancestral.data.pixels import PixelBatches, PixelSpace
from ancestral.data.readers import PART_NAMES
from ancestral.data.sharded import ShardedImages, as_tensor
from ancestral.data.sources import digest
from ancestral.data.splits import Dataset, Split
from ancestral.data.storage import compact, refuse_at_once
from ancestral.data.tables import matched_columns
from ancestral.data.values import MOST_INFERRED
from ancestral.runs.run import Run
from ancestral.runs.run_data import RunData
from ancestral.runs.stored_data import StoredData
from ancestral.settings.data import IMAGE_SETS, POINT_SETS, OtherData, ReadOptions, is_named

log = logging.getLogger("ancestral")
WHOLE = "all"  # the name of the only part of a source without splits
GIVEN = "given"  # the name of the split of new data


class NewData(RunData):
    """New images or points in the pixel space of a run, which replace its test data.

    Args:      run: the run; its training and validation data are used as before. dataset: the new data, as the split
               `test`. space: the pixel space of the run.
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

    def training(
        self, seed: int, device: Any = "cpu", labelled_only: bool = False, window: int | None = None
    ) -> PixelBatches:
        return self.run.data.training(seed, device, labelled_only, window)

    @property
    def name(self) -> str:
        return self.dataset.name

    @property
    def density(self) -> None:
        """None: the true density of new data is unknown."""

    @property
    def source(self) -> str:
        return self.run.data.source


class RunOnNewData(Run):
    """A run whose test data are replaced by new data; results are not stored with the run.

    If the new data are the run's own data at another path, they are split as before and results are stored.

    Args:      run: trained. other: the new data, and options for reading them that differ from those of the run. split:
               of the new data, if they have splits. missing: whether NaN and transparent pixels are missing values.
    Raises:    InputError: the data are missing, damaged, or of another shape than the model needs.
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
    """The run that a command uses, with new data if the user gives them, and the name of the split.

    If the new data are the run's own data at another path, they are split as for the training.

    Args:      run: the run. other: the new data, or None. split: of the data. missing: treat NaN and transparent pixels
               of the new data as missing values.
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
        options = options_for(own.read_options, other)
        options = options._replace(missing=missing or options.missing, columns=tuple(record.get("columns") or ()))
        name, chosen = read_source(other.data, options)
        if digest(chosen.parts) == record["sha256"]:  # the run's own data at another path; the run knows the splits
            known = {key: value for key, value in record.items() if not key.endswith("_path")}
            return StoredData(replace(own, data=other.data), known, run.path, run.reading)
    part, used = part_of(name, chosen, split)
    columns, matched = chosen.columns, list[str]()
    if chosen.kind == "points" and levels == 0:
        part, matched = matched_columns(name, part, columns, record.get("columns"))
        columns = tuple(record.get("columns") or columns or ()) or None
    padded_side = None if other.data in IMAGE_SETS else own.pad_to
    images, notes = _as_needed(name, part, run, chosen.levels, bool(other.levels), padded_side)
    refuse_shape(name, images, run.record["data"]["event_shape"])
    classes, more = _classes_of(chosen.classes, part.labels, record)
    labels = None if part.labels is None else torch.from_numpy(_renumbered(part.labels, classes))
    seen = None if part.seen is None else torch.from_numpy(part.seen)
    if seen is not None and own.pad_to is not None:
        seen = padded_seen(seen, max(own.pad_to, *seen.shape[-2:]))
    vectors = _vectors(name, part, run)
    of_use = Split(images, labels, part.names, seen=seen, conditions=vectors)
    none = of_use.first(0)
    whole = used == WHOLE
    dataset = Dataset(
        name if whole else f"{name} ({used})",
        levels,
        none,
        none,
        of_use,
        digest({used: part}) if chosen.repeatable else None,
        chosen.value_range,
        chosen.classes if classes is None else tuple(record["classes"] or ()) or None,
        columns,
        (*chosen.assumptions, *matched, *notes, *more),
        own=True,
        conditions=chosen.conditions,
    )
    for line in dataset.assumptions:
        log.warning("note: %s", line)
    return NewData(run, dataset, run.space)


def _vectors(name: str, part: Part, run: Run) -> Tensor | None:
    """The vectors of new data that the model of a run needs, shape (N, K), or None.

    Raises:    InputError: there are none, or of another length.
    """
    wanted = run.record["data"].get("conditions")
    if not wanted:
        return None
    if part.conditions is None:
        names = ", ".join(run.settings.data.conditions)
        raise refusal(name, f"has no conditions ({names})", "the model of this run is one of p(x | c) and needs them")
    if part.conditions.shape[1] != len(wanted):
        found = f"conditions of {part.conditions.shape[1]} numbers"
        raise refusal(name, found, f"this model needs {len(wanted)}: {', '.join(wanted)}")
    return torch.from_numpy(np.ascontiguousarray(part.conditions))


def _as_needed(
    name: str, part: Part, run: Run, levels: int, stated: bool, pad_to: int | None
) -> tuple[Tensor | ShardedImages, list[str]]:
    """The images with the levels, the size and the channels that the model of a run needs, and notices.

    Images that need no change stay in their files.
    """
    channels = run.record["data"]["event_shape"][0]
    if isinstance(part.images, ShardedImages):
        if (levels, pad_to) == (run.space.levels, None) and part.images.shape[1] == channels:
            return part.images, []
        refuse_at_once(name, part.images.shape, "store them with the levels, the size and the channels of the model")
    images, notes = in_levels(name, part.array, levels, run.space.levels, stated)
    if pad_to is not None:
        images = padded_to(images, pad_to)
    if images.ndim == 4 and images.shape[1] == 1 and channels == 3:
        images = images.expand(-1, 3, -1, -1)
        notes.append("the images are grey and the model needs colour: three equal channels are used")
    return images, notes


def _at_hand(data: RunData) -> bool:
    """Whether the data of a run are still at their path and unchanged."""
    try:
        return bool(data.dataset)
    except InputError:
        return False


def _part(split: Split) -> Part:
    return Part(split.images.numpy(), None if split.labels is None else split.labels.numpy(), split.names)


def options_for(own: ReadOptions, other: OtherData) -> ReadOptions:
    """The options for reading the new data: those of the run, unless the user gives others."""
    given = {name: getattr(other, name) for name in ReadOptions._fields if getattr(other, name, None)}
    return own._replace(**given, weights=None)


def part_of(name: str, found: Imported, split: str) -> tuple[Part, str]:
    """The part to use, and its name.

    Raises:    InputError: the source has splits, but not this one.
    """
    if WHOLE in found.parts:
        return found.parts[WHOLE], WHOLE
    if split not in found.parts:
        has = " and ".join(part for part in PART_NAMES if part in found.parts)
        raise refusal(name, f"has no {split} part, only {has}", "choose another --split")
    return found.parts[split], split


def in_levels(name: str, images: np.ndarray, found: int, wanted: int, stated: bool) -> tuple[Tensor, list[str]]:
    """The images with the levels of the model: unchanged if they have fewer, inferred levels, else scaled.

    Images of 0 and 1 only are black and white: they are scaled, because two neighbouring levels would be one colour.

    Raises:    InputError: points for a model of images, or images for a model of points.
    """
    if (found == 0) != (wanted == 0):
        what = ("points", "images") if found == 0 else ("images", "points")
        raise refusal(name, f"has {what[0]}", f"this model was trained on {what[1]}")
    as_stored = images.astype(np.int32) if images.dtype == np.uint16 else images
    x = as_tensor(compact(as_stored))
    if found in (wanted, 0):
        return x, []
    inferred = found < wanted <= MOST_INFERRED and not stated
    if inferred and found > 2:
        return x, [f"values are 0..{found - 1}: used as values of the {wanted} levels of the model"]
    scaled = (x.double() * ((wanted - 1) / (found - 1))).round()
    kept = scaled.to(torch.uint8 if wanted <= 256 else torch.int32)
    keep = f" (--levels {wanted} keeps them as levels 0 and 1)" if inferred else ""
    return kept, [f"values of {found} levels are scaled to the {wanted} levels of the model{keep}"]


def padded_to(images: Tensor, side: int) -> Tensor:
    """The images with black around them."""
    height, width = images.shape[-2:]
    # larger images raise an error because of their shape
    return images if side < max(height, width) else padded(images, side)


def refuse_shape(name: str, images: Tensor | ShardedImages, event_shape: Sequence[int]) -> None:
    """Raises:    InputError: the images have another shape than the model needs."""
    wanted = tuple(event_shape)
    if tuple(images.shape[1:]) == wanted:
        return
    sizes = ["x".join(map(str, size)) for size in (images.shape[1:], wanted)]
    if len(wanted) != 3:
        raise refusal(name, f"points of {sizes[0]} columns", f"this model was trained on {sizes[1]}")
    advice = "--grey makes one channel, --crop and --resize make another size"
    raise refusal(name, f"images of {sizes[0]}", f"this model needs {sizes[1]} (channels x height x width); {advice}")


def _classes_of(
    names: Sequence[str] | None, labels: np.ndarray | None, record: Mapping[str, Any]
) -> tuple[list[int] | None, list[str]]:
    """The class of the run of each class of new data, -1 for none, and notices. None: the numbers need no change.

    Classes are matched by name. A class without a name has its number as its name. Numbers are also taken as the places
    of classes whose names are words.

    Args:      names: of the classes of the new data. labels: of the new data. record: of the data of the run.
    """
    known = record.get("classes")
    counts = [len(each) for each in (record.get("class_counts") or {}).values()]
    if labels is None or not (known or counts):
        return None, []
    run = list(known or map(str, range(max(counts))))
    new = list(names or map(str, range(int(labels.max(initial=-1)) + 1)))
    said = []
    if known and not names and not any(name.isdecimal() for name in known):
        new = [*run[: len(new)], *new[len(run) :]]
        said.append(
            f"labels are numbers: 0 is taken as the class {run[0]}, and so on in the order of the run's classes"
        )
    number = {name: place for place, name in enumerate(run)}
    found = [number.get(name, -1) for name in new]
    strange = [new[k] for k in np.unique(labels[labels >= 0]) if found[k] < 0]
    if strange:
        said.append(f"images of unknown classes are used without a label: {', '.join(strange[:8])}")
    return found, said


def _renumbered(labels: np.ndarray, classes: Sequence[int] | None) -> np.ndarray:
    """Labels in the numbering of the run, shape (N,); -1 stays."""
    return np.ascontiguousarray(labels) if classes is None else np.array([*classes, -1])[labels]

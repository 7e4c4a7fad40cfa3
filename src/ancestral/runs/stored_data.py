"""The data of an existing run: described by its record, and read when images are needed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from ancestral.core.errors import InputError
from ancestral.data.datasets import Dataset
from ancestral.data.pixels import PixelSpace
from ancestral.data.toy import PointDataset
from ancestral.runs.provenance import place_of_data
from ancestral.runs.run_data import RunData, space_of
from ancestral.settings.data import DataSettings


class StoredData(RunData):
    """The data of an existing run; name, shape, pixel space, classes and columns come from the record.

    Args:      settings: of the run. record: the entry of the data in `settings.json`. folder: of the run. version: of
               the data reader.
    """

    def __init__(self, settings: DataSettings, record: Mapping[str, Any], folder: Path, version: int) -> None:
        self.settings, self.version = settings, version
        self.record, self.folder = record, folder

    @cached_property
    def dataset(self) -> Dataset | PointDataset:  # type: ignore[override]
        """The images or points, which are read at the first access. Nothing is downloaded.

        Raises:    DataNotHere: they are not at their path. InputError: they were changed, or are split in another way.
        """
        opened = RunData(replace(self.settings, data=self.source), self.version, again=True)
        if different := difference(self.record, opened, self.folder, self.settings.data):
            raise InputError(f"{different}: restore them, or give other data with --data")
        return opened.dataset

    @property
    def source(self) -> str:
        return place_of_data(self.settings.data, self.record, self.folder)

    @cached_property
    def space(self) -> PixelSpace:  # type: ignore[override]
        """The pixel space of the model. Runs of early versions do not record the levels, so their data are read."""
        levels = self.record.get("levels")
        return space_of(self.settings, self.dataset.levels if levels is None else int(levels), self.event_shape)

    @property
    def event_shape(self) -> tuple[int, ...]:
        return tuple(self.record["event_shape"])

    @property
    def classes(self) -> tuple[str, ...] | None:
        return tuple(self.record.get("classes") or ()) or None

    @property
    def column_names(self) -> tuple[str, ...] | None:
        return tuple(self.record.get("columns") or ()) or None

    @property
    def name(self) -> str:
        return self.record["name"]

    @property
    def sha256(self) -> str | None:
        return self.record["sha256"]


def difference(known: Mapping[str, Any], data: RunData, folder: Path, own: str) -> str:
    """A description of how data differ from those of a run, or "".

    Args:      known: the run's record of its data. data: the present data. folder: of the run. own: the data in the
               settings of the run.
    """
    found = data.summary().to_json()
    words = f"the data {known['name']} of {folder} have changed since this run was started"
    if found["sha256"] != known["sha256"]:
        return f"{words} (another SHA-256)"
    if known["sha256"] is None and data.settings.data != own:
        return f"{words} (they change with each reading)"
    for split, count in known["counts"].items():
        if found["counts"].get(split) != count:
            return f"{words} ({count} {split} before, {found['counts'].get(split)} now)"
    if list(found["event_shape"]) != list(known["event_shape"]):
        return f"{words} (shape {known['event_shape']} before, {list(found['event_shape'])} now)"
    return ""

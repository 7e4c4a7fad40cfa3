"""Tables in memory are read like a file with the same columns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers import refused
from sources_in_memory import Frame, Series

from ancestral.data.datasets import load_dataset
from ancestral.data.memory import hold
from ancestral.settings.data import ReadOptions

DRAWN = np.random.default_rng(0).normal(size=(90, 3)).round(4)
KINDS = np.array(["ape", "bee", "cat"])[np.arange(90) % 3]


def columns(**more: Any) -> dict[str, Any]:
    return {"mass": DRAWN[:, 0], "length": DRAWN[:, 1], "width": DRAWN[:, 2], **more}


def as_file(path: Path, values: dict[str, Any]) -> Any:
    rows = zip(*(np.asarray(column).tolist() for column in values.values()), strict=True)
    lines = [",".join(values), *(",".join("" if value is None else str(value) for value in row) for row in rows)]
    path.write_text("\n".join(lines))
    return load_dataset(str(path))


TABLES = {
    "numbers": columns(),
    "labels in words": columns(species=KINDS.astype(object)),
    "labels in numbers": columns(label=np.arange(90) % 4),
    "text": columns(note=np.array(["x", "y"], object)[np.arange(90) % 2]),
    "rows numbered": columns(id=np.arange(90)),
    "whole numbers": columns(count=np.arange(90) % 50),
    "empty column": columns(nothing=np.full(90, np.nan)),
    "label missing": columns(label=[None if place == 5 else "ab"[place % 2] for place in range(90)]),
}


@pytest.mark.parametrize("kind", TABLES)
def test_a_table_is_read_as_its_file_is(kind: str, tmp_path: Path) -> None:
    expected, found = as_file(tmp_path / "table.csv", TABLES[kind]), load_dataset(hold(Frame(TABLES[kind])))
    assert (found.columns, found.classes, found.sha256) == (expected.columns, expected.classes, expected.sha256)
    assert torch.equal(found.train.images, expected.train.images)
    assert [line for line in found.assumptions if "split" not in line] == [
        line for line in expected.assumptions if "split" not in line
    ]


def test_labels_given_with_a_table_are_its_classes() -> None:
    found = load_dataset(hold((Frame(columns()), Series(KINDS.astype(object)))))
    assert found.classes == ("ape", "bee", "cat") and found.columns == ("mass", "length", "width")
    assert found.sha256 == load_dataset(hold(Frame(columns(species=KINDS)))).sha256
    refused(lambda: hold((Frame(columns(label=KINDS)), KINDS)), "labels are given too")
    refused(lambda: hold((Frame(columns()), KINDS[1:])), "for 90 rows")


def test_parts_of_a_table_stay_parts() -> None:
    whole = columns(species=KINDS)
    parts = {name: Frame({key: values[rows] for key, values in whole.items()}) for name, rows in PARTS.items()}
    found = load_dataset(hold(parts))
    assert [len(found.split(part)) for part in ("train", "valid", "test")] == [50, 10, 30]
    assert np.allclose(found.test.images.numpy(), DRAWN[60:]) and found.classes == ("ape", "bee", "cat")
    other = Frame({"mass": DRAWN[:, 0]})
    refused(lambda: load_dataset(hold({"train": parts["train"], "test": other})), "differ in the column")
    refused(lambda: hold({"train": parts["train"], "test": (DRAWN, KINDS)}), "some parts are tables")
    mixed = Frame({**whole, "mass": ["heavy"] * 90})
    refused(
        lambda: load_dataset(hold({"train": parts["train"], "test": mixed})), "numbers in one part, text in another"
    )


PARTS = {"train": slice(50), "valid": slice(50, 60), "test": slice(60, 90)}


def test_columns_are_matched_by_name_for_a_trained_model() -> None:
    options = ReadOptions(columns=("width", "mass", "length"))
    found = load_dataset(hold(Frame(columns(species=KINDS))), options=options)
    assert set(found.columns or ()) == {"width", "mass", "length"}


def test_a_table_that_cannot_be_read_is_refused() -> None:
    holes = DRAWN[:, 0].copy()
    holes[7] = np.nan
    refused(lambda: load_dataset(hold(Frame(columns(other=holes)))), "row 7 (from 0), column other")
    refused(lambda: hold(Frame({})), "0 rows and 0 columns")
    refused(lambda: load_dataset(hold(Frame({"name": np.array(["a", "b", "c"], object)}))), "no column of numbers")
    refused(lambda: load_dataset(hold(Frame(columns())), options=ReadOptions(grey=True)), "grey")

    class Twice(Frame):
        def __init__(self) -> None:
            super().__init__(columns())
            self.columns = ["mass", "mass"]

    refused(lambda: hold(Twice()), "two columns 'mass'")

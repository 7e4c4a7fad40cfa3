"""Reading the labels of images from a table or JSON file next to them."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ancestral.core.errors import refusal
from ancestral.data.folder_layout import SPLITS, Layout, Section, listed, printable
from ancestral.data.readers import parsing
from ancestral.settings.data import IMAGE_FILES

MAX_TABLE_BYTES = 2**27
MAX_LABEL = 200  # most characters of a class name

_FILE_COLUMNS = (
    "file",
    "filename",
    "path",
    "filepath",
    "image",
    "imagepath",
    "imagename",
    "img",
    "name",
    "id",
    "imageid",
)
_LABEL_COLUMNS = ("label", "labels", "class", "category", "target", "classname", "labelname")
_USUAL_STEMS = ("labels", "metadata", "label", "annotations", "dataset")
_WHOLE = re.compile(r"[+-]?\d{1,18}(\.0*)?")
Columns = dict[str, list[Any]]


class _Labels(NamedTuple):
    """Labels of a table: keys of the images, and their classes; "" for no class."""

    keys: list[str]
    words: list[str]
    columns: tuple[str, str]


def labels_beside(root: Path, layout: Layout, said: list[str]) -> dict[str, list[str]]:
    """The class of each image by part, if the sub-folders are not classes and a file has the labels.

    A file in the folder of the images is preferred, then one next to the splits. Files named `labels` or `metadata` are
    preferred, then the only table.

    Args:      root: folder of the layout. said: notices are added to it.
    Returns:   class names by part, "" for an image without a label. Files that were read are removed from
               `layout.others`.
    Raises:    InputError: a damaged table, an image with two labels, or a name of several images.
    """
    chosen: dict[Path, list[str]] = {}
    for part, section in layout.parts.items():
        table = _choose(section.tables, part, said) or _choose(layout.tables, part, said)
        if table is None:
            continue
        if section.classes is not None and len(set(section.classes)) > 1:
            note = f"{printable(table.name)} is not used: the sub-folders are the classes"
            if table.stem.lower() in _USUAL_STEMS and note not in said:
                said.append(note)
            continue
        chosen.setdefault(table, []).append(part)
    found: dict[str, list[str]] = {}
    for table, parts in chosen.items():
        sections = [layout.parts[part] for part in parts]
        words = _words_of(root, table, sections, said)
        if words is not None:
            name = table.relative_to(root).as_posix()
            layout.others[:] = [other for other in layout.others if other != name]
            starts = 0
            for part, section in zip(parts, sections, strict=True):
                found[part] = words[starts : starts + len(section.files)]
                starts += len(section.files)
    return found


def _choose(tables: Sequence[Path], part: str, said: list[str]) -> Path | None:
    """The file with the labels of a part, chosen by its name."""
    aliases = [alias for alias, of in SPLITS.items() if of == part]
    own = [table for table in tables if any(word in aliases for word in re.split(r"[^a-z]+", table.stem.lower()))]
    usual = [table for stem in _USUAL_STEMS for table in tables if table.stem.lower() == stem]
    preferred = own or usual or (list(tables) if len(tables) == 1 else [])
    if len(tables) > 1:
        names = listed([table.name for table in tables])
        note = f"{names}: {preferred[0].name if preferred else 'none'} is used for the labels"
        note += "" if preferred else " (name one labels.csv)"
        said += [note] if note not in said else []
    return preferred[0] if preferred else None


def _words_of(root: Path, table: Path, sections: Sequence[Section], said: list[str]) -> list[str] | None:
    """The class of each file of the sections, "" for no class; None, with a notice, for a table without labels."""
    name = printable(table.relative_to(root).as_posix())
    files = [(section.folder, file) for section in sections for file in section.files]
    places = _Places(root, files)
    labels = _read_labels(table, name, places, said)
    if labels is None:
        return None
    words: list[str | None] = [None] * len(files)
    strangers: list[str] = []
    for key, word in zip(labels.keys, labels.words, strict=True):
        place = places.find(key)
        if place is None:
            strangers.append(key)
        elif place < 0:
            raise refusal(table, f"{key} is the name of several images", "give their folders too")
        elif words[place] not in (None, word):
            raise refusal(table, f"{key} has two labels, {words[place]} and {word}", "keep one row for each image")
        else:
            words[place] = word
    said.append(f"labels are read from {name} (columns {' and '.join(labels.columns)})")
    if strangers:
        said.append(f"rows of {name} without an image are ignored: {len(strangers):,} ({listed(strangers)})")
    missing = [file.name for (_, file), word in zip(files, words, strict=True) if not word]
    if missing:
        said.append(
            f"{len(missing):,} of {len(files):,} images have no label in {name}: unlabelled ({listed(missing)})"
        )
    return [word or "" for word in words]


class _Places:
    """Finds images by their names in tables, with or without folders and file ending."""

    def __init__(self, root: Path, files: Sequence[tuple[Path, Path]]) -> None:
        self.whole: dict[str, int] = {}
        self.ends: dict[str, int] = {}
        for place, (folder, file) in enumerate(files):
            for whole in {file.relative_to(root).as_posix(), file.relative_to(folder).as_posix()}:
                self._add(self.whole, whole, place)
            words = file.relative_to(root).as_posix().split("/")
            for start in range(len(words)):
                self._add(self.ends, "/".join(words[start:]), place)

    @staticmethod
    def _add(table: dict[str, int], name: str, place: int) -> None:
        for key in {name, _without_ending(name)}:
            table[key] = place if table.get(key, place) == place else -1

    def find(self, name: str) -> int | None:
        """The index of the image; -1 for a name of several images, None for an unknown name."""
        for key in (name, _without_ending(name)):
            if key in self.ends:
                return self.ends[key]
            words = key.split("/")
            # parent folders of the root are ignored; an image of the same name in another folder does not match
            for start in range(1, len(words)):
                if (whole := "/".join(words[start:])) in self.whole:
                    return self.whole[whole]
        return None


def _without_ending(name: str) -> str:
    stem, dot, ending = name.rpartition(".")
    return stem if dot and f".{ending.lower()}" in IMAGE_FILES else name


def _read_labels(table: Path, name: str, places: _Places, said: list[str]) -> _Labels | None:
    columns = _columns(table, places)
    by_name = {re.sub(r"[^a-z]", "", str(column).lower()): column for column in reversed(list(columns))}
    keys = {
        column: [_key(value) for value in columns[column]] for known in _FILE_COLUMNS if (column := by_name.get(known))
    }
    found = {column: sum(places.find(key) is not None for key in of) for column, of in keys.items()}
    file_column = max(found, key=found.__getitem__, default=None)
    if file_column is None or not found[file_column]:
        said.append(f"{name} has no column (file, image, id, ...) with names of these images: ignored")
        return None
    label_column = next((by_name[known] for known in _LABEL_COLUMNS if known in by_name), None)
    if label_column is None and len(columns) == 2:
        label_column = next(column for column in columns if column != file_column)
    if label_column is None:
        said.append(f"{name} has no column of labels (label, class, category or target): ignored")
        return None
    words = _words(table, columns[label_column])
    if words is None:
        said.append(f"column {printable(label_column)} of {name} has real numbers or lists, not classes: ignored")
        return None
    used = [row for row, key in enumerate(keys[file_column]) if key]
    shown = (printable(file_column), printable(label_column))
    return _Labels([keys[file_column][row] for row in used], [words[row] for row in used], shown)


def _key(value: object) -> str:
    return "" if value is None else re.sub(r"^(\./)+", "", str(value).strip().replace("\\", "/"))


def _words(table: Path, values: Sequence[Any]) -> list[str] | None:
    """Names of classes, "" for no class; None if they are not classes. Whole numbers are written in one form."""
    if any(isinstance(value, list | dict) for value in values):
        return None
    words = ["" if value is None else str(value).strip() for value in values]
    words = [str(int(word.split(".")[0])) if _WHOLE.fullmatch(word) else word for word in words]
    words = ["" if word in ("-1", "nan", "NaN") else word for word in words]
    numbers = [_is_number(word) for word in words if word]
    if numbers and all(numbers) and not all(_WHOLE.fullmatch(word) for word in words if word):
        return None
    longest = max(map(len, words), default=0)
    if longest > MAX_LABEL:
        raise refusal(table, f"a label of {longest:,} characters", f"give class names of at most {MAX_LABEL}")
    return words


def _is_number(word: str) -> bool:
    try:
        return math.isfinite(float(word))
    except ValueError:
        return False


def _columns(table: Path, places: _Places) -> Columns:
    """The columns of a table or JSON file by name."""
    size = table.stat().st_size
    if size > MAX_TABLE_BYTES:
        raise refusal(table, f"labels of {size:,} bytes", f"give at most {MAX_TABLE_BYTES:,}, or move the file away")
    with parsing(table, "table of labels"):
        text = table.read_text("utf-8-sig")
        if table.suffix.lower() == ".json":
            return _from_json(json.loads(text))
        if table.suffix.lower() == ".jsonl":
            return _from_records([json.loads(line) for line in text.splitlines() if line.strip()])
        return _from_text(text, places)


def _from_text(text: str, places: _Places) -> Columns:
    first = text.partition("\n")[0]
    separator = max("\t;,", key=first.count)
    rows = [row for row in csv.reader(io.StringIO(text, newline=""), delimiter=separator) if any(row)]
    if not rows:
        return {}
    header = [cell.strip() for cell in rows[0]]
    if len(header) == 2 and places.find(_key(header[0])) is not None:
        header = ["file", "label"]  # there is no header: the first row is an image
    else:
        rows = rows[1:]
    return {
        name: [row[place] if place < len(row) else None for row in rows]
        for place, name in reversed(list(enumerate(header)))
        if name
    }


def _from_json(value: Any) -> Columns:
    if isinstance(value, dict) and len(value) == 1 and isinstance(next(iter(value.values())), list):
        value = next(iter(value.values()))
    if isinstance(value, dict):
        records = [
            {"file": name} | of if isinstance(of, dict) else {"file": name, "label": of} for name, of in value.items()
        ]
        return _from_records(records)
    return _from_records(value) if isinstance(value, list) else {}


def _from_records(records: Sequence[Any]) -> Columns:
    """Columns from records by name, or from pairs of a file and its label."""
    if records and all(isinstance(record, list) and len(record) == 2 for record in records):
        records = [{"file": file, "label": label} for file, label in records]
    usable: list[Mapping[str, Any]] = [record for record in records if isinstance(record, dict)]
    names = dict.fromkeys(name for record in usable for name in record)
    return {name: [record.get(name) for record in usable] for name in names}

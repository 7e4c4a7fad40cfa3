"""The layout of a folder: image files, sub-folders that are splits, and sub-folders that are classes."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ancestral.core.errors import refusal
from ancestral.data.labels import natural_key
from ancestral.data.readers import PART_NAMES, parsing
from ancestral.settings.data import IMAGE_FILES

SPLITS = {
    "train": "train",
    "training": "train",
    "valid": "valid",
    "val": "valid",
    "validation": "valid",
    "test": "test",
    "testing": "test",
}
"""Names of first-level folders, in lower case, that are splits."""
TABLE_SUFFIXES = (".csv", ".tsv", ".json", ".jsonl")
_OF_SYSTEMS = frozenset(("__macosx", "thumbs.db", "ehthumbs.db", "desktop.ini"))
_SHOWN = 4


@dataclass(frozen=True)
class Section:
    """Image files of one split, or of a folder without splits.

    Args:
        folder: folder of the files.
        files: in natural order, class by class.
        classes: the sub-folder of each file, such as `a/b`; None if the files are directly in the folder.
        tables: files in the folder that may hold labels.
    """

    folder: Path
    files: list[Path]
    classes: list[str] | None
    tables: list[Path]


@dataclass(frozen=True)
class Layout:
    """Content of a folder.

    Args:      parts: "train", "valid" and "test", or "all". tables: other files there that may have labels.
               others: files of other kinds. assumptions: notices about guesses and ignored files.
    """

    parts: dict[str, Section]
    tables: list[Path]
    others: list[str]
    assumptions: list[str]


@dataclass
class _Tree:
    """Files by their folder, given as a path from the root; the empty path is the root."""

    images: dict[str, list[Path]] = field(default_factory=dict)
    tables: dict[str, list[Path]] = field(default_factory=dict)
    folders: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    repeated: list[str] = field(default_factory=list)


def printable(text: str) -> str:
    """A file name with printable characters only."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def listed(names: Sequence[str]) -> str:
    """The first four names."""
    more = ", ..." if len(names) > _SHOWN else ""
    return ", ".join(map(printable, names[:_SHOWN])) + more


def find_images(folder: Path) -> Layout:
    """The image files of a folder by split and class.

    First-level folders `train`, `valid` and `test` are splits if there is a folder `train` and no other first-level
    folder. All other folders are classes, at any depth. Hidden files and files of operating systems are ignored.

    Raises:    InputError: no image, images next to folders of images, or ambiguous splits.
    """
    tree = _scan(folder)
    if not tree.images:
        raise refusal(folder, "no images in this folder", f"add {' '.join(IMAGE_FILES)} files")
    _refuse_mixed(folder, tree)
    said: list[str] = []
    splits = _splits(folder, tree, said)
    _refuse_inner_splits(folder, tree)
    parts = {part: _section(folder, tree, splits[part]) for part in PART_NAMES if part in splits}
    if not parts:
        parts = {"all": _section(folder, tree, "")}
    elif list(parts) == ["train"]:
        said.append(f"there is a folder {splits['train']} but no folder test: its images are divided")
        parts = {"all": parts["train"]}
    holding = {outer for inner in tree.images for outer in (inner, *_above(inner))}
    empty = [inner for inner in tree.folders if inner not in holding]
    if empty:
        said.append(f"folders without images: {listed(empty)}")
    if tree.repeated:
        said.append(f"links to folders that are read already: ignored ({listed(tree.repeated)})")
    for section in parts.values():
        if section.classes and len(set(section.classes)) == 1:
            said.append(f"all images of {section.folder.name} are in one sub-folder, {section.classes[0]}: one class")
    others = [
        *tree.others,
        *(table.relative_to(folder).as_posix() for tables in tree.tables.values() for table in tables),
    ]
    return Layout(parts, tree.tables.get("", []), sorted(others, key=natural_key), said)


def _scan(folder: Path) -> _Tree:
    tree, waiting, known = _Tree(), deque([""]), {_identity(folder)}
    while waiting:
        inner = waiting.popleft()
        with parsing(folder / inner, "folder"), os.scandir(folder / inner) as entries:
            names = sorted((entry.name for entry in entries), key=lambda name: (natural_key(name), name))
        for name in names:
            path, relative = folder / inner / name, f"{inner}/{name}".lstrip("/")
            if name.startswith(".") or name.lower() in _OF_SYSTEMS:
                continue
            if os.path.isdir(path):
                identity = _identity(path)
                if identity in known:  # a link to a folder that was already read
                    tree.repeated.append(relative)
                    continue
                known.add(identity)
                tree.folders.append(relative)
                waiting.append(relative)
            elif not os.path.isfile(path):
                tree.others.append(relative)
            elif path.suffix.lower() in IMAGE_FILES:
                tree.images.setdefault(inner, []).append(path)
            elif path.suffix.lower() in TABLE_SUFFIXES:
                tree.tables.setdefault(inner, []).append(path)
            else:
                tree.others.append(relative)
    return tree


def _identity(folder: Path) -> tuple[int, int]:
    with parsing(folder, "folder"):
        found = os.stat(folder)
    return found.st_dev, found.st_ino


def _above(inner: str) -> Iterator[str]:
    """The parent folders of a folder, up to the root."""
    while inner:
        inner = inner.rpartition("/")[0]
        yield inner


def _refuse_mixed(folder: Path, tree: _Tree) -> None:
    """Raises:    InputError: a folder with images has sub-folders with images."""
    for inner in tree.images:
        for outer in _above(inner):
            if outer in tree.images:
                raise refusal(
                    folder / outer, "images both directly in it and in its sub-folders", "keep one or the other"
                )


def _splits(folder: Path, tree: _Tree, said: list[str]) -> dict[str, str]:
    """Names of first-level folders that are splits, by part."""
    top = list(dict.fromkeys(inner.split("/")[0] for inner in tree.images if inner))
    found: dict[str, str] = {}
    for name in top:
        part = SPLITS.get(name.lower())
        if part in found:
            raise refusal(folder, f"folders {found[part]} and {name} are both the {part} images", "keep one of them")
        if part is not None:
            found[part] = name
    others = [name for name in top if name.lower() not in SPLITS]
    names = " and ".join(found[part] for part in PART_NAMES if part in found)
    if found and "train" not in found:
        raise refusal(
            folder, f"a folder {names} but no folder train", "add train, or rename the folder if it is a class"
        )
    if others and list(found) == ["train"]:
        said.append(f"{found['train']} is taken as a class, like {listed(others)}: there is no folder test")
        return {}
    if others and found:
        raise refusal(folder, f"{listed(others)} next to the splits {names}", "move the other folders to another place")
    return found


def _refuse_inner_splits(folder: Path, tree: _Tree) -> None:
    """Raises:    InputError: folders train and test at a deeper level, which would become classes."""
    inner = {name.lower(): path for path in tree.images for name in path.split("/")[1:]}
    parts = {SPLITS[name]: path for name, path in inner.items() if name in SPLITS}
    if "train" in parts and len(parts) > 1:
        first = parts["train"].split("/")[0]
        raise refusal(
            folder,
            f"train and {next(part for part in parts if part != 'train')} are inside {first}",
            f"give {folder / first}, or move the splits to the first level: train/CLASS, test/CLASS",
        )


def _section(folder: Path, tree: _Tree, name: str) -> Section:
    """The images of one first-level folder, or of all."""
    inside = [inner for inner in tree.images if not name or inner == name or inner.startswith(f"{name}/")]
    inside.sort(key=lambda inner: (natural_key(inner), inner))
    files = [file for inner in inside for file in tree.images[inner]]
    start = len(name) + 1 if name else 0
    classes = None
    if inside != [name]:
        classes = [inner[start:] for inner in inside for _ in tree.images[inner]]
    return Section(folder / name, files, classes, tree.tables.get(name, []) if name else [])


def relative_names(folder: Path, files: Iterable[Path]) -> tuple[str, ...]:
    """File names relative to a folder, with `/`, and with `?` for characters that cannot be printed."""
    depth = len(folder.parts)
    return tuple(printable("/".join(file.parts[depth:])) for file in files)

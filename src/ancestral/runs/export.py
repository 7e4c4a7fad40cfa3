"""A copy of a trained run for publication: without paths of this machine, and packed into one file."""

from __future__ import annotations

import io
import os
import re
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ancestral.core.errors import InputError
from ancestral.core.files import json_bytes, json_from, write_atomically
from ancestral.runs.manifest import CONFIG, DECIDING, RECORDS, STATE, WEIGHTS, Manifest
from ancestral.runs.run import Run
from ancestral.runs.thumbnails import FOLDER, thumbnails_of
from ancestral.settings.data import IMAGE_SETS, MEMORY, POINT_SETS

CARD, PAGE = "README.md", "report.html"
FILES = tuple(name for name in (*DECIDING, *RECORDS) if name != STATE)
FIGURE = re.compile(r"figures/[a-z0-9-]{1,64}\.png")
THUMBNAIL = re.compile(rf"{FOLDER}/(train|test)\.png")
EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time in a zip file; a constant, so that equal runs give equal bytes
PACKED = (".png", ".safetensors")  # stored without compression, which would hardly make them smaller


def is_public(run: Run) -> bool:
    """Whether a run was trained on a named public data set."""
    return run.settings.data.data in (*IMAGE_SETS, *POINT_SETS)


def copy_run(run: Run, folder: Path, with_images: bool) -> list[str]:
    """Copy a finished run with its scores, but without paths of this machine and without the checkpoint.

    Args:      run: the run. folder: the copy, new or empty. with_images: copy figures and thumbnails even if the data
               are not public.
    Returns:   one line for each thing that was omitted.
    Raises:    InputError: the training is not finished, or a file was changed.
    """
    _ = run.record  # raises at once if this is not a run folder
    if not run.finished:
        raise InputError(f"the training of {run.path} is not finished: continue it with --resume")
    run.load()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder} exists and is not an empty folder: choose another path")
    for name in FILES:
        if (run.path / name).exists():
            write_atomically(folder / name, _content(run, name))
    pictures = list(pictures_of(run))
    if is_public(run) or with_images:
        for path in pictures:
            write_atomically(folder / path.relative_to(run.path), path.read_bytes())
    Manifest(folder).write()
    return list(_left_out(run, pictures, with_images))


def pictures_of(run: Run) -> Iterator[Path]:
    """Figures and thumbnails of a run, by name."""
    for path in sorted(run.figures.glob("*.png")):
        if FIGURE.fullmatch(f"figures/{path.name}"):
            yield path
    yield from thumbnails_of(run.path).values()


def _left_out(run: Run, pictures: Sequence[Path], with_images: bool) -> Iterator[str]:
    if run.checkpoint.exists():
        yield "omitted: the checkpoint; the copy can be used but not trained further"
    if "absolute_path" in run.record["data"]:
        yield "omitted: the path of the data on this machine; give it with --data when it is needed"
    if pictures and not is_public(run) and not with_images:
        figures = [path for path in pictures if path.parent == run.figures]
        parts = [(len(figures), "figures and the page"), (len(pictures) - len(figures), "sheets of thumbnails")]
        listed = ", ".join(f"{count} {what}" for count, what in parts if count)
        yield f"omitted: {listed}, because {run.data.name} is not a public data set (--with-images includes them)"


def _content(run: Run, name: str) -> bytes:
    """The content of a file for the copy; the file of the run is checked against the manifest first.

    Raises:    InputError: it was changed.
    """
    content = run.manifest.content(name)
    if name in (CONFIG, WEIGHTS) or not name.endswith(".json"):
        return content
    value = json_from(content, run.path / name)
    cleaned = _without_places(value, _places(run))
    if name == "settings.json":
        cleaned = _clean_record(cleaned)
    elif name == "detections.json":
        for record in cleaned:
            record["against"] = os.path.basename(str(record.get("against", ""))) or record.get("against")
    return content if cleaned == value else json_bytes(cleaned)


def _clean_record(record: dict[str, Any]) -> dict[str, Any]:
    """The record of a run with the paths of its data and of its parent replaced by their last part."""
    described, own = dict(record["data"]), record["settings"]["data"]
    place = described.pop("absolute_path", own["data"])
    described.pop("relative_path", None)
    name = own["data"]
    if not name.startswith(MEMORY):
        name = _name_of(place) or described["name"]
    command = record.get("command")
    if command is not None:
        command = [_last_part(word) for word in command]
    training = dict(record["settings"]["training"])
    if training.get("init_from"):
        training["init_from"] = _name_of(training["init_from"])
    settings = {**record["settings"], "data": {**own, "data": name}, "training": training}
    cleaned = {**record, "data": described, "settings": settings, "command": command}
    if parent := record.get("parent"):
        last = _name_of(parent["absolute_path"])
        cleaned["parent"] = {**parent, "absolute_path": last, "relative_path": last}
    return cleaned


def _name_of(path: str) -> str:
    return os.path.basename(os.path.normpath(path))


def _last_part(word: str) -> str:
    """A word of a command, with a path replaced by its last part."""
    flag, equals, value = word.partition("=")
    if not (equals and flag.startswith("--")):
        flag, equals, value = "", "", word
    return flag + equals + (_name_of(value) if os.sep in value else value)


def _places(run: Run) -> list[str]:
    """Folders of this machine that must not occur in a copy, the longest first."""
    data = run.record["data"].get("absolute_path")
    known = [run.path.absolute().parent, run.path.resolve().parent, Path.cwd(), Path.home()]
    known += [Path(data), Path(data).parent] if data else []
    return sorted({str(place) for place in known if len(place.parts) > 1}, key=len, reverse=True)


def _without_places(value: Any, places: Sequence[str]) -> Any:
    """JSON values without these folders and without absolute paths."""
    if isinstance(value, dict):
        return {key: _without_places(part, places) for key, part in value.items()}
    if isinstance(value, list):
        return [_without_places(part, places) for part in value]
    if not isinstance(value, str):
        return value
    if os.path.isabs(value):
        return os.path.basename(os.path.normpath(value)) or value
    for place in places:
        value = value.replace(place + os.sep, "").replace(place, os.path.basename(place))
    return value


def write_zip(folder: Path, out: Path, name: str) -> None:
    """Pack a folder into a zip file; equal files give equal bytes.

    Args:      folder: to pack. out: the zip file. name: of the folder in the zip file.
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as packed:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            entry = zipfile.ZipInfo(f"{name}/{path.relative_to(folder).as_posix()}", EPOCH)
            entry.external_attr = 0o644 << 16
            entry.compress_type = zipfile.ZIP_STORED if path.suffix in PACKED else zipfile.ZIP_DEFLATED
            packed.writestr(entry, path.read_bytes())
    write_atomically(out, buffer.getvalue())

"""The manifest of a finished run: SHA-256 and size of every file that affects results, checked before use.

It is removed when a training is resumed and written last when the training ends, so it never describes another state of
the run. To change a record later, its entry is removed, the file is written, and the new entry is added. If the process
is killed in between, a file may lack an entry but never has a wrong one.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ancestral.core.errors import InputError
from ancestral.core.files import json_from, read_bytes, sha256_of, write_atomically, write_json

MANIFEST = "manifest.json"
CONFIG, WEIGHTS = "model/config.json", "model/model.safetensors"
STATE, LOG = "checkpoint/state.safetensors", "log.jsonl"
DECIDING = ("settings.json", CONFIG, WEIGHTS, LOG, STATE, "training.json", "health.json")
RECORDS = ("scores.json", "quality.json", "detections.json", "bracket.json", "compression.json", "classes.json")
TRIES, PAUSE = 5, 0.05  # seconds; another process may be between the file and its entry
MAX_BYTES = 1 << 20


class Manifest:
    """The manifest of a run folder; the file may not exist.

    Args:      folder: of the run.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.path = folder, folder / MANIFEST

    @property
    def there(self) -> bool:
        """Whether the file exists. Finished runs have one, except those of early versions."""
        return self.path.exists()

    def entries(self) -> dict[str, dict[str, Any]]:
        """SHA-256 and size in bytes of each file, by its name in the folder; empty without a manifest.

        Raises:    InputError: the manifest is damaged.
        """
        if not self.there:
            return {}
        found = json_from(read_bytes(self.path, MAX_BYTES), self.path)
        files = found.get("files") if isinstance(found, dict) else None
        if not isinstance(files, dict) or not all(map(_is_entry, files.items())):
            raise InputError(f"{self.path} is damaged: it is not a list of files with SHA-256 and size")
        return files

    def content(self, name: str) -> bytes:
        """The bytes of a file, checked against its entry if it has one.

        Raises:    InputError: the file is missing or does not match its entry.
        """
        for left in reversed(range(TRIES)):
            entry = self.entries().get(name)
            content = read_bytes(self.folder / name)
            if entry is None or entry == _entry(content):
                break
            if not left:
                raise InputError(
                    f"{self.folder / name} was changed or is damaged: it does not match its SHA-256 in {MANIFEST}"
                )
            time.sleep(PAUSE)
        return content

    def write(self) -> None:
        """Write entries for all present files and records of a finished training."""
        files = {name: self.folder / name for name in (*DECIDING, *RECORDS)}
        write_json(
            self.path,
            {"files": {name: _entry(read_bytes(path)) for name, path in files.items() if path.exists()}},
        )

    def remove(self) -> None:
        """Delete the manifest, before its files change."""
        self.path.unlink(missing_ok=True)

    def replace(self, name: str, content: bytes) -> None:
        """Write a file of the folder and update its entry."""
        files = self.entries()
        if files.pop(name, None) is not None:
            write_json(self.path, {"files": files})
        write_atomically(self.folder / name, content)
        if self.there:
            write_json(self.path, {"files": {**files, name: _entry(content)}})

    def problems(self) -> Iterator[tuple[str, str]]:
        """Each file that does not match its entry, with the problem.

        Raises:    InputError: the manifest is damaged.
        """
        for name, entry in self.entries().items():
            try:
                same = _entry(read_bytes(self.folder / name)) == entry
            except InputError as error:
                yield name, str(error)
                continue
            if not same:
                yield name, "it was changed or is damaged"


def _entry(content: bytes) -> dict[str, Any]:
    return {"sha256": sha256_of(content), "bytes": len(content)}


def _is_entry(listed: tuple[str, Any]) -> bool:
    name, entry = listed
    if name not in (*DECIDING, *RECORDS) or not isinstance(entry, dict):
        return False
    return isinstance(entry.get("sha256"), str) and type(entry.get("bytes")) is int

"""Files that are either whole or absent, and JSON that is checked as it is read."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

from ancestral.core.errors import InputError

MAX_JSON_BYTES = 64 << 20
TEMPORARY = ".tmp"


def write_atomically(path: Path | str, content: bytes) -> None:
    """Write `content` to `path` so that a crash at any moment leaves the old file or the new one, never a part.

    The bytes go to a temporary file in the same folder, reach the disk, and then take the name; the folder
    is flushed last, so that the name itself survives a power cut.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=TEMPORARY)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)  # mkstemp makes it private; a run folder is meant to be shared
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def is_temporary(path: Path) -> bool:
    """Whether a file is one that `write_atomically` had not finished."""
    return path.name.startswith(".") and path.suffix == TEMPORARY


def write_json(path: Path | str, value: Any) -> None:
    """Write `value` as indented JSON, atomically."""
    write_atomically(path, (json.dumps(value, indent=2) + "\n").encode())


def read_json(path: Path | str) -> Any:
    """Read a JSON file.

    Raises:    InputError: the file is missing, too large or not JSON.
    """
    path = Path(path)
    try:
        if path.stat().st_size > MAX_JSON_BYTES:
            raise InputError(f"{path} is larger than {MAX_JSON_BYTES >> 20} MiB: not a file of ours")
        return json.loads(path.read_text())
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise InputError(f"{path} is not valid JSON: {error}") from error


def read_records(path: Path | str, what: str, remedy: str) -> list[dict[str, Any]]:
    """Records kept in a JSON file, oldest first; none where there is no file.

    Args:      what: they are, and remedy: what to do beside removing the file, for the refusal.
    Raises:    InputError: as `read_json`, or the file holds no list of records.
    """
    records = read_json(path) if Path(path).exists() else []
    if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
        raise InputError(f"{path} is not a list of {what}: remove it and {remedy} anew")
    return records

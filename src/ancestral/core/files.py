"""Atomic writing of files, and reading of JSON with checks."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ancestral.core.errors import InputError

MAX_JSON_BYTES = 64 << 20
TEMPORARY = ".tmp"


def write_atomically(path: Path | str, content: bytes) -> None:
    """Write `content` to `path` atomically: after a crash the path has the old file or the new one, never a part.

    The bytes are written to a temporary file in the same folder and flushed to disk; then the file is renamed. The
    folder is flushed last, so that the new name survives a power failure.

    Raises:    OSError: writing failed; the message names `path`, not the temporary file.
    """
    path = Path(path)
    with naming(path):
        _write_atomically(path, content)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Context in which every `OSError` names the file that the user knows.

    Raises:    OSError: of the same kind, about `path`.
    """
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error


def _write_atomically(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=TEMPORARY)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)  # mkstemp makes a private file, but run folders are shared
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
    """Whether a file is an unfinished temporary file of `write_atomically`."""
    return path.name.startswith(".") and path.suffix == TEMPORARY


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Write a .csv table, atomically."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    write_atomically(path, buffer.getvalue().encode())


def sha256_of(content: bytes) -> str:
    """SHA-256 of bytes, as hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def json_bytes(value: Any) -> bytes:
    """`value` as indented JSON, as `write_json` writes it."""
    return (json.dumps(value, indent=2) + "\n").encode()


def json_text(value: Any) -> str:
    """`value` as JSON on one line, the same text for equal values: tuples are lists, and NaN equals NaN."""
    return json.dumps(value, sort_keys=True)


def write_json(path: Path | str, value: Any) -> None:
    """Write `value` as indented JSON, atomically."""
    write_atomically(path, json_bytes(value))


def read_bytes(path: Path | str, most: int | None = None) -> bytes:
    """Read a file as a whole.

    Args:      most: largest size in bytes; None: no limit.
    Raises:    InputError: the file is missing, cannot be read, or is too large.
    """
    path = Path(path)
    try:
        if most is not None and path.stat().st_size > most:
            raise InputError(f"{path} is larger than {most >> 20} MiB: it was not written by ancestral")
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error


def read_json(path: Path | str) -> Any:
    """Read a JSON file.

    Raises:    InputError: the file is missing, too large or not JSON.
    """
    return json_from(read_bytes(path, MAX_JSON_BYTES), path)


def json_from(content: bytes, path: Path | str) -> Any:
    """The value in the content of a JSON file.

    Raises:    InputError: the content is not JSON; the message names `path`.
    """
    try:
        return json.loads(content.decode())
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not valid JSON: {error}") from error

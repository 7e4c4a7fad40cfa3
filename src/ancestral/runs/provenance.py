"""The record of a run beside its settings: what made it, on which data, by which versions; and its check when read."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ancestral.core.errors import DataNotHere, InputError
from ancestral.core.files import json_from
from ancestral.data.datasets import why_missing
from ancestral.runs.run_data import RunData
from ancestral.settings.data import is_named
from ancestral.settings.stored import typed

PACKAGES = ("ancestral", "torch", "numpy", "lightning-fabric", "safetensors", "scikit-learn")
REQUIRED: dict[str, Any] = {"settings": dict, "data": dict, "versions": dict}
OPTIONAL: dict[str, Any] = {
    "command": tuple[str, ...] | None,
    "machine": dict,
    "git_commit": str | None,
    "begun": str,
    "manifest": bool,
}
DATA_REQUIRED: dict[str, Any] = {
    "name": str,
    "sha256": str,
    "counts": dict,
    "space": str,
    "event_shape": tuple[int, ...],
}
DATA_OPTIONAL: dict[str, Any] = {
    "levels": int | None,
    "version": int,
    "absolute_path": str,
    "relative_path": str,
    "classes": tuple[str, ...] | None,
    "columns": tuple[str, ...] | None,
}


def new_record(settings: dict[str, Any], data: RunData, folder: Path) -> dict[str, Any]:
    """What `settings.json` of a new run holds.

    Args:      settings: as JSON values. folder: of the run.
    """
    words = [os.path.basename(sys.argv[0]), *map(_without_folders, sys.argv[1:])]
    return {
        "command": words if words[0] == "ancestral" else None,
        "settings": settings,
        "data": {
            **data.summary().to_json(),
            "name": data.name,
            "space": data.space.describe(data.name),
            "version": data.version,
            **_places(data.settings.data, folder),
        },
        "versions": {"python": platform.python_version(), **{name: version_of(name) for name in PACKAGES}},
        "machine": {"processor": platform.machine(), "cores": os.cpu_count(), "system": platform.system()},
        "git_commit": _git_commit(),
        "begun": datetime.now(UTC).isoformat(timespec="seconds"),
        "manifest": True,  # it is finished when it has one; runs of earlier versions never do
    }


def _places(source: str, folder: Path) -> dict[str, str]:
    """Where a person's own file or folder of data is: its absolute path, and its path from the run's folder."""
    if is_named(source):
        return {}
    absolute = os.path.abspath(os.path.expanduser(source))
    return {"absolute_path": absolute, "relative_path": os.path.relpath(absolute, os.path.abspath(folder))}


def place_of_data(source: str, record: Mapping[str, Any], folder: Path) -> str:
    """Where the data of a run are now: at their absolute path, at their path from the run, or where they were named.

    A named set is looked for, never downloaded.

    Args:      source: as the settings name the data. record: the run's record of its data. folder: of the run.
    Raises:    DataNotHere: at none of these places.
    """
    if is_named(source):
        if missing := why_missing(source):
            raise DataNotHere(f"the data that {folder} was trained on are not {missing}")
        return source
    relative = record.get("relative_path")
    beside = None if relative is None else os.path.join(folder, relative)
    candidates = [record.get("absolute_path"), beside, os.path.expanduser(source)]
    for candidate in candidates:
        if candidate and os.path.exists(candidate):
            return str(candidate)
    raise DataNotHere(f"the data that {folder} was trained on are not at {candidates[0] or source}: give --data PATH")


def read_record(content: bytes, path: Path) -> dict[str, Any]:
    """The record of a run that `settings.json` holds.

    Args:      content: of the file. path: its name, for the refusal.
    Raises:    InputError: it is no record of a run, or a value in it is of a wrong type.
    """
    record = json_from(content, path)
    if not isinstance(record, dict) or not REQUIRED.keys() <= record.keys():
        raise InputError(f"{path} is not the record of a run: choose another --out")
    try:
        _check(record, REQUIRED, OPTIONAL)
        _check(record["data"], DATA_REQUIRED, DATA_OPTIONAL)
        for split, count in record["data"]["counts"].items():
            typed(f"data.counts.{split}", count, int)
    except InputError as error:
        raise InputError(f"{path} is not the record of a run: {error}") from error
    return record


def _check(record: dict[str, Any], required: dict[str, Any], optional: dict[str, Any]) -> None:
    """Raises:    InputError: a value is missing or of a wrong type."""
    for name, hint in {**required, **optional}.items():
        if name in record:
            typed(name, record[name], hint)
        elif name in required:
            raise InputError(f"it has no {name!r}")


def made_by_newer(record: dict[str, Any]) -> str:
    """A hint to update where a newer version made the run; else an empty text."""
    made, present = str(record["versions"].get("ancestral")), version_of("ancestral")
    if present is None or _numbers(made) <= _numbers(present):
        return ""
    return f"; the run was made by ancestral {made}, this is {present}: update it"


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part[:9]) for part in text.split(".") if part.isdecimal())


def _without_folders(word: str) -> str:
    """A word of a command with every absolute path reduced to its last part: no record shows a person's folders."""
    flag, equals, value = word.partition("=")
    if equals and flag.startswith("--"):
        return flag + equals + _without_folders(value)
    return Path(word).name if os.path.isabs(word) and Path(word).name else word


def version_of(package: str) -> str | None:
    """The version of an installed package; None where it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _git_commit() -> str | None:
    """Commit of the source this program runs from, where it runs from a checkout."""
    try:
        answer = subprocess.run(
            ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"],
            capture_output=True,
            text=True,
            timeout=5,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() or None if answer.returncode == 0 else None

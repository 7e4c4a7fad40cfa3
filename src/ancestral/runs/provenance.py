"""The record of a run: command, data, versions and machine; and its checks when it is read."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

from ancestral.core.errors import DataNotHere, InputError
from ancestral.core.files import json_from
from ancestral.data.datasets import why_missing
from ancestral.data.memory import is_held
from ancestral.runs.run_data import RunData
from ancestral.settings.data import MEMORY, is_named
from ancestral.settings.stored import typed

PACKAGES = ("ancestral", "torch", "numpy", "lightning-fabric", "safetensors", "scikit-learn")
REQUIRED: dict[str, Any] = {"settings": dict, "data": dict, "versions": dict}
OPTIONAL: dict[str, Any] = {
    "command": tuple[str, ...] | None,
    "machine": dict,
    "git_commit": str | None,
    "started": str,
    "begun": str,  # the earlier name of `started`
    "manifest": bool,
    "given": dict,
    "parent": dict | None,
    "extensions": list,
}
PARENT: dict[str, Any] = {"weights_sha256": str, "absolute_path": str, "relative_path": str}
EXTENSION: dict[str, Any] = {"date": str, "setting": str, "epoch": int, "step": int, "weights_sha256": str | None}
DATA_REQUIRED: dict[str, Any] = {
    "name": str,
    "sha256": str | None,
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
    "conditions": tuple[str, ...] | None,
}


class Origin(NamedTuple):
    """The origin of a training, apart from its settings and data.

    Args:      device: of the training. parent: the record of the run with the initial weights, or None. given: facts
               about the user's own modules, by name.
    """

    device: str = ""
    parent: dict[str, Any] | None = None
    given: Mapping[str, Any] = {}


def new_record(settings: dict[str, Any], data: RunData, folder: Path, origin: Origin) -> dict[str, Any]:
    """The content of `settings.json` of a new run.

    Args:      settings: as JSON values. data: of the run. folder: of the run. origin: of the training.
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
        "machine": {
            "processor": platform.machine(),
            "cores": os.cpu_count(),
            "system": platform.system(),
            "device": origin.device,
        },
        "git_commit": _git_commit(),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        **({"given": dict(origin.given)} if origin.given else {}),
        "manifest": True,  # such a run is finished when it has a manifest; runs of early versions have none
        **({} if origin.parent is None else {"parent": origin.parent}),
    }


def _places(source: str, folder: Path) -> dict[str, str]:
    """The absolute path of the user's own data, and the path relative to the run folder."""
    if is_named(source):
        return {}
    absolute = os.path.abspath(os.path.expanduser(source))
    return {"absolute_path": absolute, "relative_path": os.path.relpath(absolute, os.path.abspath(folder))}


def place_of_data(source: str, record: Mapping[str, Any], folder: Path) -> str:
    """The present path of the data of a run: the recorded absolute or relative path, or the path in the settings.

    Named data sets are not downloaded.

    Args:      source: the data in the settings. record: the run's record of its data. folder: of the run.
    Raises:    DataNotHere: the data are at none of these paths.
    """
    if source.startswith(MEMORY) and not is_held(source):
        if record["sha256"] is None:
            raise DataNotHere(f"{folder} was trained on data that change with each reading: give data=... or --data")
        raise DataNotHere(
            f"{folder} was trained on data in memory: give them again with data=... or ancestral.Run(FOLDER, "
            "data=...); on the command line, use --data FILE with the same contents"
        )
    if is_named(source):
        if missing := why_missing(source):
            raise DataNotHere(f"the training data of {folder} are not {missing}")
        return source
    relative = record.get("relative_path")
    beside = None if relative is None else os.path.join(folder, relative)
    candidates = [record.get("absolute_path"), beside, os.path.expanduser(source)]
    for candidate in candidates:
        if candidate and os.path.exists(candidate):
            return str(candidate)
    raise DataNotHere(f"the training data of {folder} are not at {candidates[0] or source}: give --data PATH")


def read_record(content: bytes, path: Path) -> dict[str, Any]:
    """The record of a run from the content of `settings.json`.

    Args:      content: of the file. path: its name, for messages.
    Raises:    InputError: it is not the record of a run, or a value has a wrong type.
    """
    record = json_from(content, path)
    if not isinstance(record, dict) or not REQUIRED.keys() <= record.keys():
        raise InputError(f"{path} is not the record of a run: choose another path")
    try:
        _check(record, REQUIRED, OPTIONAL)
        _check(record["data"], DATA_REQUIRED, DATA_OPTIONAL)
        for name, facts in record.get("given", {}).items():
            typed(f"given.{name}", facts, dict)
        for split, count in record["data"]["counts"].items():
            typed(f"data.counts.{split}", count, int)
        if record.get("parent") is not None:
            _check(record["parent"], PARENT, {})
        for entry in record.get("extensions", ()):
            _check_extension(entry)
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


def _check_extension(entry: Any) -> None:
    """Raises:    InputError: it is not a valid entry of the list of extensions."""
    _check(typed("extensions", entry, dict), {**EXTENSION, "before": Any, "after": Any}, {})


def made_by_newer(record: dict[str, Any]) -> str:
    """A hint to update if a newer version wrote the run, else ""."""
    made, present = str(record["versions"].get("ancestral")), version_of("ancestral")
    if present is None or _numbers(made) <= _numbers(present):
        return ""
    return f"; the run was made by ancestral {made}, and this is {present}: update ancestral"


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part[:9]) for part in text.split(".") if part.isdecimal())


def _without_folders(word: str) -> str:
    """A word of a command, with an absolute path replaced by its last part for privacy."""
    flag, equals, value = word.partition("=")
    if equals and flag.startswith("--"):
        return flag + equals + _without_folders(value)
    return Path(word).name if os.path.isabs(word) and Path(word).name else word


def version_of(package: str) -> str | None:
    """The version of an installed package, or None."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _git_commit() -> str | None:
    """The git commit of the source code, if the package runs from a checkout, else None."""
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

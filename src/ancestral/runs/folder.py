"""Whether a folder is a run. Nothing heavy is imported, so that a wrong path is refused at once."""

from __future__ import annotations

from pathlib import Path

from ancestral.core.errors import InputError

SETTINGS = "settings.json"


def is_run(folder: Path) -> bool:
    """Whether a folder has a run, finished or not."""
    return (folder / SETTINGS).exists()


def refuse_no_run(folder: Path) -> None:
    """Raises:    InputError: this is not a run folder."""
    if not is_run(folder):
        raise InputError(f"{folder} is not a run folder: it has no {SETTINGS}")

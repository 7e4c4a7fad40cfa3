"""Whether a folder is a run. Nothing heavy is imported, so that a wrong path is refused at once."""

from __future__ import annotations

from pathlib import Path

from ancestral.core.errors import InputError

SETTINGS = "settings.json"


def refuse_no_run(folder: Path) -> None:
    """Raises:    InputError: this is not a run folder."""
    if not (folder / SETTINGS).exists():
        raise InputError(f"{folder} is not a run folder: it has no {SETTINGS}")

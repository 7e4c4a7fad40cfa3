"""Where a command writes, where no place is given, and which endings of files it takes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from ancestral.core.errors import InputError

PICTURES = (".png", ".jpg", ".pdf", ".svg")
"""Endings of files with one picture, as `figures.style.save_figure` writes them."""


def refuse_ending(flag: str, path: Path | None, *endings: str) -> None:
    """Raises:    InputError: a file whose name ends in none of these; an ending of "" is a folder."""
    if path is None or path.suffix.lower() in endings:
        return
    *others, last = [ending for ending in endings if ending]
    named = f"{', '.join(others)} or {last}" if others else last
    folder = "a folder, or " if "" in endings else ""
    raise InputError(f"{flag} {path}: choose {folder}a name that ends in {named}")


def picture_of(run: Path, name: str, **options: Any) -> Path:
    """The place of a picture of a run: `RUN/figures/NAME.png`, with what differs from the usual in its name.

    The pictures of the run's page have the plain names, so that no picture with other options takes their place.

    Args:      options: by name; one that is None, False or "" is the usual.
    Example:
        >>> str(picture_of(Path("runs/vae"), "samples", count=3, seed=None, on="my data.npz"))
        'runs/vae/figures/samples-count-3-on-my-data.npz.png'
    """
    return run / "figures" / f"{_named(name, options)}.png"


def array_of(run: Path, name: str, **options: Any) -> Path:
    """The place of arrays that belong to a run: `RUN/NAME.npz`; options as `picture_of`."""
    return run / f"{_named(name, options)}.npz"


def _named(name: str, options: dict[str, Any]) -> str:
    given = {option: value for option, value in options.items() if value not in (None, False, "")}
    parts = [option if value is True else f"{option}-{value}" for option, value in given.items()]
    return "-".join([name, *(re.sub(r"[^\w.]+", "-", part).strip("-") for part in parts)])

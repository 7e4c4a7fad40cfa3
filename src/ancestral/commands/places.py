"""Default output files of commands, and the file endings they accept."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from ancestral.core.errors import InputError

PICTURES = (".png", ".jpg", ".pdf", ".svg")
"""Endings of picture files that `figures.style.save_figure` can write."""


def refuse_ending(flag: str, path: Path | None, *endings: str) -> None:
    """Raises:    InputError: the name of the file has none of these endings; the ending "" stands for a folder."""
    if path is None or path.suffix.lower() in endings:
        return
    *others, last = [ending for ending in endings if ending]
    named = f"{', '.join(others)} or {last}" if others else last
    folder = "a folder, or " if "" in endings else ""
    raise InputError(f"{flag} {path}: choose {folder}a name that ends in {named}")


def picture_of(run: Path, name: str, **options: Any) -> Path:
    """The default file of a picture: `RUN/figures/NAME.png`; options that are not the default are part of the name.

    So a picture with other options does not replace a picture of the page.

    Args:      options: by name; None, False and "" count as the default.
    Example:
        >>> str(picture_of(Path("runs/vae"), "samples", count=3, seed=None, on="my data.npz"))
        'runs/vae/figures/samples-count-3-on-my-data.npz.png'
    """
    return run / "figures" / f"{_named(name, options)}.png"


def array_of(run: Path, name: str, **options: Any) -> Path:
    """The default file of arrays: `RUN/NAME.npz`; options as in `picture_of`."""
    return run / f"{_named(name, options)}.npz"


def _named(name: str, options: dict[str, Any]) -> str:
    given = {option: value for option, value in options.items() if value not in (None, False, "")}
    parts = [option if value is True else f"{option}-{value}" for option, value in given.items()]
    return "-".join([name, *(re.sub(r"[^\w.]+", "-", part).strip("-") for part in parts)])

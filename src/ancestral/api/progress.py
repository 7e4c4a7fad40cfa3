"""The display of progress for functions that are called from Python."""

from __future__ import annotations

import sys
from typing import Literal

from ancestral.core.notebook import in_notebook
from ancestral.runs.watching import Progress

Wanted = bool | Literal["auto"]


def chosen_progress(wanted: Wanted) -> Progress:
    """The progress display: "auto" shows it in a notebook or terminal only, True always, False never."""
    if wanted is False:
        return Progress()
    if in_notebook():
        from ancestral.runs.notebook_bar import notebook_progress

        return notebook_progress()
    if wanted != "auto" or sys.stderr.isatty():
        from rich.console import Console

        from ancestral.runs.progress import terminal_progress

        return terminal_progress(Console(stderr=True))
    return Progress()

"""Where a function that is called from a program shows its progress."""

from __future__ import annotations

import sys
from typing import Literal

from ancestral.core.notebook import in_notebook
from ancestral.runs.watching import Progress

Wanted = bool | Literal["auto"]


def chosen_progress(wanted: Wanted) -> Progress:
    """Where progress is shown: with "auto" in a notebook and in a terminal, and nowhere else; True: always."""
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

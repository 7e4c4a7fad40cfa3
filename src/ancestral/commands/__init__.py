"""The commands: each module imports what computes inside its functions, so that help is printed at once.

The commands themselves are imported when one is first used: `main` must be able to answer an interruption before.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ancestral.commands.explaining import explain, infer
    from ancestral.commands.judging import bracket, compare, evaluate, quality, verify
    from ancestral.commands.sources import data
    from ancestral.commands.sweeping import sweep
    from ancestral.commands.training import study, train
    from ancestral.commands.using import complete, detect, draw, sample

__all__ = [
    "bracket",
    "compare",
    "complete",
    "data",
    "detect",
    "draw",
    "evaluate",
    "explain",
    "infer",
    "quality",
    "sample",
    "study",
    "sweep",
    "train",
    "verify",
]
MODULES = {
    "explaining": ("explain", "infer"),
    "judging": ("bracket", "compare", "evaluate", "quality", "verify"),
    "sources": ("data",),
    "sweeping": ("sweep",),
    "training": ("study", "train"),
    "using": ("complete", "detect", "draw", "sample"),
}


def __getattr__(name: str) -> Any:
    for module, its_commands in MODULES.items():
        if name in its_commands:
            return getattr(importlib.import_module(f"ancestral.commands.{module}"), name)
    raise AttributeError(f"module 'ancestral.commands' has no attribute {name!r}")

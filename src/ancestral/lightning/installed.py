"""Import of Lightning under either of its two package names."""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

from ancestral.core.errors import InputError

NAMES = ("lightning.pytorch", "pytorch_lightning")


def _lightning() -> Any:
    """The package that is already imported, else the first that is installed.

    A Trainer of one package does not accept modules of the other.

    Raises:    InputError: neither is installed.
    """
    for name in sorted(NAMES, key=lambda name: name not in sys.modules):
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError:
            continue
    raise InputError("ancestral.lightning needs Lightning: pip install 'ancestral[lightning]'")


if TYPE_CHECKING:
    import pytorch_lightning as pl
else:
    pl = _lightning()

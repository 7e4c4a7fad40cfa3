"""Calls into the code of plug-in families: whatever that raises becomes one line, with the exception as its cause."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from ancestral.core.errors import InputError, Interrupted, TrainingDiverged, TrainingUnhealthy
from ancestral.core.modules import failure
from ancestral.families.catalogue import is_plug_in, plug_in_of
from ancestral.families.family import titled

MEANT = (InputError, TrainingDiverged, TrainingUnhealthy, Interrupted, MemoryError)
"""Exceptions that say what they mean; they are left as they are."""


class FamilyError(InputError):
    """The code of a plug-in family raised an exception, or returned something else than it must."""


@contextmanager
def calling(family: str | None, part: str) -> Iterator[None]:
    """Turn what a plug-in's code raises into one line. Exceptions of a built-in family are faults of this package, and
    are left as they are.

    Args:      family: its name, None for a model of a person's own. part: what is called, as the line names it:
               `objective`, say.
    Raises:    FamilyError: names the family, the part, the exception and the line of the plug-in's code.
    """
    try:
        yield
    except MEANT:
        raise
    except (Exception, SystemExit) as error:
        if not is_plug_in(family):
            raise
        raise FamilyError(f"the {part} of {titled(family)} failed: {failure(error)}") from error


def fault_of_plug_in(error: BaseException) -> str:
    """One line on an exception that went through the code of a plug-in family; empty where it did not."""
    modules = [str(frame.f_globals.get("__name__", "")) for frame, _ in traceback.walk_tb(error.__traceback__)]
    family = next(filter(None, map(plug_in_of, reversed(modules))), "")
    return f"the code of the family {family} failed: {failure(error)}" if family else ""

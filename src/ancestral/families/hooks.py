"""Calls of the code of plug-in families: any exception becomes an error of one line, with the exception as cause."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from ancestral.core.errors import InputError, Interrupted, TrainingDiverged, TrainingUnhealthy
from ancestral.core.modules import failure
from ancestral.families.catalogue import is_plug_in, plug_in_of
from ancestral.families.family import titled

MEANT = (InputError, TrainingDiverged, TrainingUnhealthy, Interrupted, MemoryError)
"""Exceptions with a clear message, which are not changed."""


class FamilyError(InputError):
    """The code of a plug-in family raised an exception or returned a wrong value."""


@contextmanager
def calling(family: str | None, part: str) -> Iterator[None]:
    """Replace an exception of a plug-in's code by an error of one line.

    Exceptions of a built-in family are errors of this package and are not changed.

    Args:      family: its name, None for a user's own model. part: name of the called part, for example `objective`.
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
    """A message of one line for an exception that came from the code of a plug-in family, else ""."""
    modules = [str(frame.f_globals.get("__name__", "")) for frame, _ in traceback.walk_tb(error.__traceback__)]
    family = next(filter(None, map(plug_in_of, reversed(modules))), "")
    return f"the code of the family {family} failed: {failure(error)}" if family else ""

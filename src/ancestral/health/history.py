"""The readings of a training by quantity, for the health checks. A line of the log is read once, when it is added."""

from __future__ import annotations

import math
from array import array
from collections import defaultdict
from collections.abc import Iterable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ancestral.training.objectives import SCHEDULED

Key = tuple[str, str]
"""Split and name of a quantity."""


class Line(Protocol):
    """A reading of a log with its step; see `training.log.LogLine`."""

    @property
    def step(self) -> int: ...
    @property
    def split(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def value(self) -> float: ...


class History:
    """The readings so far.

    Args:      log: readings in the order of the training.
    Attributes: step: of the last reading; 0 before the first one. first: the first reading of each quantity.
    """

    def __init__(self, log: Iterable[Line] = ()) -> None:
        self.step = 0
        self.first: dict[Key, float] = {}
        self._rows: dict[Key, tuple[array[int], array[float]]] = defaultdict(lambda: (array("q"), array("d")))
        self._scheduled: dict[str, _Scheduled] = {}
        for line in log:
            self.add(line)

    def add(self, line: Line) -> None:
        """Add a reading. Its step is at least that of the reading before."""
        self.step = line.step
        self.first.setdefault((line.split, line.name), line.value)
        steps, values = self._rows[line.split, line.name]
        steps.append(line.step)
        values.append(line.value)
        if line.name.startswith(SCHEDULED):
            self._scheduled.setdefault(line.name, _Scheduled()).add(line)

    def rows(self) -> dict[Key, tuple[NDArray[Any], NDArray[Any]]]:
        """Steps and values of each quantity since the last change of a scheduled part of the objective."""
        changed = max((part.changed for part in self._scheduled.values()), default=-1)
        found = {}
        for key, (steps, values) in self._rows.items():
            first = int(np.searchsorted(np.asarray(steps), changed, side="right"))
            if first < len(steps):
                found[key] = np.array(steps[first:]), np.array(values[first:])
        return found


class _Scheduled:
    """A scheduled part of the objective.

    Attributes: changed: the last step at which its value differed from the latest one; -1 if there is none.
    """

    def __init__(self) -> None:
        self.changed = -1
        self._readings: list[tuple[int, float]] = []

    def add(self, line: Line) -> None:
        same = bool(self._readings) and self._readings[-1][1] == line.value
        self._readings.append((line.step, line.value))
        if same:
            return
        # readings are means over steps in single precision, so values are compared with a tolerance
        others = (
            step
            for step, value in reversed(self._readings)
            if not math.isclose(value, line.value, rel_tol=1e-5, abs_tol=1e-9)
        )
        self.changed = next(others, -1)

"""Progress of trainings and computations: in a terminal, in a notebook, or not shown."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Protocol

from ancestral.core.pace import Pace
from ancestral.training.loop import Reporter

Counter = Callable[[int, int], None]


class ReporterFor(Protocol):
    """A function that makes the reporter of a training.

    Args:      title: of the training. epochs: largest number. pace: of the work that the training is a part of, or
               None.
    """

    def __call__(self, title: str, epochs: int, pace: Pace | None = None) -> AbstractContextManager[Reporter]: ...


class CounterFor(Protocol):
    """A function that makes the counter of a computation, which is called with (done, total). See `ReporterFor`."""

    def __call__(self, title: str, pace: Pace | None = None) -> AbstractContextManager[Counter]: ...


@dataclass(frozen=True)
class Progress:
    """Functions that show progress.

    Args:      reporter_for: for a training. counter_for: for a computation. say: shows a line.
    """

    reporter_for: ReporterFor = lambda title, epochs, pace=None: nullcontext(Reporter())
    counter_for: CounterFor = lambda title, pace=None: nullcontext(lambda done, total: None)
    say: Callable[[str], None] = lambda line: None


def reported_to(reporter: Reporter) -> Progress:
    """Progress of trainings goes to a reporter; nothing else is shown."""
    return Progress(lambda title, epochs, pace=None: nullcontext(reporter))

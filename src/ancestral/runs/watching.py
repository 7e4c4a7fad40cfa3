"""The progress of trainings and computations, for a person at a terminal or in a notebook, or for nobody."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Protocol

from ancestral.core.pace import Pace
from ancestral.training.loop import Reporter

Counter = Callable[[int, int], None]


class ReporterFor(Protocol):
    """Makes the reporter of a training.

    Args:      title: of the training. epochs: at most. pace: of the work that the training is a part of, if any.
    """

    def __call__(self, title: str, epochs: int, pace: Pace | None = None) -> AbstractContextManager[Reporter]: ...


class CounterFor(Protocol):
    """Makes the counter of a computation, a function to call with (done, total). pace: as of `ReporterFor`."""

    def __call__(self, title: str, pace: Pace | None = None) -> AbstractContextManager[Counter]: ...


@dataclass(frozen=True)
class Progress:
    """Where the progress of some work is shown.

    Args:      reporter_for: of a training. counter_for: of a computation. say: shows a line.
    """

    reporter_for: ReporterFor = lambda title, epochs, pace=None: nullcontext(Reporter())
    counter_for: CounterFor = lambda title, pace=None: nullcontext(lambda done, total: None)
    say: Callable[[str], None] = lambda line: None


def reported_to(reporter: Reporter) -> Progress:
    """The progress of trainings goes to this reporter, and nothing is shown."""
    return Progress(lambda title, epochs, pace=None: nullcontext(reporter))

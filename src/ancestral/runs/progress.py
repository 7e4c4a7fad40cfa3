"""Progress bars in a terminal, with rich; if the output is a file, a line from time to time instead."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial

from rich.console import Console
from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as Bars

from ancestral.core.pace import Pace
from ancestral.runs.readout import Count, Readout
from ancestral.runs.watching import Counter, Progress
from ancestral.training.log import Reading
from ancestral.training.loop import Reporter

PLAIN_SECONDS = 30.0  # between lines if the output is a file
WIDTH = 24


class TerminalBar(Reporter):
    """A bar with epochs, speed, remaining time and the last training and validation values.

    Args:      console: the output. readout: the values to show.
    """

    def __init__(self, console: Console, readout: Readout) -> None:
        self.console, self.readout = console, readout
        fields = ("epoch", "speed", "left", "metric")
        columns = [TextColumn(f"{{task.fields[{name}]}}") for name in fields]
        self.bar = Bars(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=WIDTH),
            *columns,
            console=console,
            disable=not console.is_terminal,
        )
        self.task = self.bar.add_task(readout.title, total=None, **dict.fromkeys(fields, ""))
        self._told = time.monotonic()

    def begin(self, total_steps: int, step: int) -> None:
        self.readout.begin(total_steps, step)
        self._show()

    def advance(self, step: int, readings: Sequence[Reading]) -> None:
        self.readout.advance(step, readings)
        self._show()
        if not self.console.is_terminal and time.monotonic() - self._told > PLAIN_SECONDS:
            self._told = time.monotonic()
            self._print(self.readout.line)

    def warn(self, line: str) -> None:
        """Show a health warning above the bar."""
        self._print(line)

    def _show(self) -> None:
        shown = self.readout
        self.bar.update(
            self.task,
            total=max(1, shown.total_steps),
            completed=shown.step,
            epoch=shown.epoch,
            speed=shown.speed,
            left=shown.left,
            metric=shown.metric,
        )

    def _print(self, line: str) -> None:
        self.console.print(f"{self.readout.title}: {line}", soft_wrap=True, markup=False, highlight=False)


@contextmanager
def bar(console: Console, title: str, epochs: int, pace: Pace | None = None) -> Iterator[Reporter]:
    """A progress bar for a training; the other arguments are those of `watching.ReporterFor`."""
    reporter = TerminalBar(console, Readout(title, epochs, pace))
    with reporter.bar:
        yield reporter


@contextmanager
def counter(console: Console, title: str, pace: Pace | None = None) -> Iterator[Counter]:
    """A progress bar for images; call it with (done, total). pace: see `watching.CounterFor`."""
    count = Count(title, pace)
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=WIDTH),
        TextColumn("{task.fields[words]}"),
        TextColumn("{task.fields[left]}"),
    )
    with Bars(*columns, console=console, disable=not console.is_terminal, transient=True) as shown:
        task = shown.add_task(title, total=None, words="", left=count.left)

        def advance(done: int, total: int) -> None:
            count.advance(done, total)
            shown.update(task, completed=done, total=total, words=count.words, left=count.left)

        yield advance


def terminal_progress(console: Console) -> Progress:
    """Progress on a console."""

    def say(line: str) -> None:
        console.print(line, soft_wrap=True, markup=False, highlight=False)

    return Progress(partial(bar, console), partial(counter, console), say)

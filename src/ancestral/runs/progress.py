"""Progress for a person at a terminal, through rich; nothing is drawn where the output is not a terminal."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from ancestral.training.log import Reading
from ancestral.training.loop import Reporter

PLAIN_SECONDS = 30.0  # between lines where the output is a file


class BarReporter(Reporter):
    """Shows steps done, speed, time remaining and the newest training and validation values.

    Args:      console: where. title: what is being trained.
    """

    def __init__(self, console: Console, title: str) -> None:
        self.console, self.title = console, title
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.completed}/{task.total} steps"),
            TextColumn("{task.fields[speed]}"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[metric]}"),
            console=console,
            disable=not console.is_terminal,
        )
        self.task = self.bar.add_task(title, total=None, metric="", speed="")
        self.shown: dict[str, str] = {}
        self._first_step, self._started, self._told = 0, time.monotonic(), time.monotonic()

    def begin(self, total_steps: int, step: int) -> None:
        self.bar.update(self.task, total=total_steps, completed=step)
        self._first_step, self._started = step, time.monotonic()

    def advance(self, step: int, readings: Sequence[Reading]) -> None:
        for reading in readings:
            if reading.name in ("loss", "nll", "negative_elbo"):
                self.shown[reading.split] = f"{reading.split} {reading.value:.2f}"
        seconds = time.monotonic() - self._started
        speed = f"{(step - self._first_step) / seconds:.0f} steps/s" if seconds > 0 else ""
        metric = ", ".join(self.shown.values()) + " nats"
        self.bar.update(self.task, completed=step, metric=metric, speed=speed)
        if not self.console.is_terminal and time.monotonic() - self._told > PLAIN_SECONDS:
            self._told = time.monotonic()
            total = self.bar.tasks[0].total
            self.console.print(f"{self.title}: step {step}/{total:.0f}, {speed}, {metric}", highlight=False)

    def warn(self, line: str) -> None:
        """A trouble of the training, above the bar."""
        self.console.print(f"{self.title}: {line}", soft_wrap=True, markup=False, highlight=False)


@contextmanager
def bar(console: Console, title: str) -> Iterator[BarReporter]:
    """A progress bar over one training."""
    reporter = BarReporter(console, title)
    with reporter.bar:
        yield reporter


@contextmanager
def counter(console: Console, title: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar over images: call it with (done, total)."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TextColumn("{task.completed}/{task.total}"),
    )
    with Progress(
        *columns, TimeRemainingColumn(), console=console, disable=not console.is_terminal, transient=True
    ) as progress:
        task = progress.add_task(title, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)

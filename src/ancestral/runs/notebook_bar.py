"""Bars in a notebook: one output of the cell, which is replaced as the work goes on. No widgets are needed."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from html import escape
from typing import Any

from ancestral.core.pace import Pace, in_minutes
from ancestral.runs.readout import Count, Readout
from ancestral.runs.watching import Counter, Progress
from ancestral.training.log import Reading
from ancestral.training.loop import Reporter

SECONDS = 0.2  # between two pictures of a bar: each is a message to the browser


class Output:
    """A line of HTML in the output of a cell, and the plain text beside it for programs that show no HTML.

    All bars of some work share one output, each in place of the one before; the line of the last training stays.
    """

    def __init__(self) -> None:
        self._handle: Any = None
        self._shown = 0.0
        self._kept = ("", "")

    def keep(self, html: str, text: str) -> None:
        """Show this now, and again after each bar that follows."""
        self._kept = (html, text)
        self.restore()

    def restore(self) -> None:
        self.show(*self._kept, now=True)

    def show(self, html: str, text: str, now: bool = False) -> None:
        """Replace what is shown; left out where that was done a moment ago, unless `now`."""
        from IPython.display import display  # pyright: ignore[reportMissingImports]

        if not now and time.monotonic() - self._shown < SECONDS:
            return
        self._shown = time.monotonic()
        content = {"text/html": html, "text/plain": text}
        if self._handle is None:
            self._handle = display(content, raw=True, display_id=True)
        else:
            self._handle.update(content, raw=True)


def bar_html(title: str, share: float, words: str) -> str:
    """A bar and the words beside it."""
    style = "font: 0.9em system-ui, sans-serif; display: flex; flex-wrap: wrap; gap: 0.3em 0.8em; align-items: center"
    bar = f'<progress max="1" value="{share:.3f}" style="width: 12em">{share:.0%}</progress>'
    return f'<div style="{style}"><b>{escape(title)}</b>{bar}<span>{escape(words)}</span></div>'


class NotebookBar(Reporter):
    """Shows epochs, speed, the time left and the newest values; at the end one line stays.

    Args:      readout: what is shown. output: where.
    """

    def __init__(self, readout: Readout, output: Output) -> None:
        self.readout, self.output = readout, output
        self._troubles: list[str] = []

    def begin(self, total_steps: int, step: int) -> None:
        self.readout.begin(total_steps, step)
        self._show(now=True)

    def advance(self, step: int, readings: Sequence[Reading]) -> None:
        self.readout.advance(step, readings)
        self._show()

    def warn(self, line: str) -> None:
        """A trouble of the training, below the bar while it trains; what lasts is told at the end."""
        self._troubles.append(line)
        self._show(now=True)

    def conclude(self) -> None:
        """The line that stays."""
        shown = self.readout
        if not shown.total_steps:
            return
        words = ", ".join(filter(None, [shown.epoch, f"in {in_minutes(shown.seconds)}", shown.metric]))
        html = f'<div style="font: 0.9em system-ui, sans-serif"><b>{escape(shown.title)}</b> {escape(words)}</div>'
        self.output.keep(html, f"{shown.title}: {words}")

    def _show(self, now: bool = False) -> None:
        shown = self.readout
        troubles = "".join(f"<div>{escape(line)}</div>" for line in self._troubles)
        text = "\n".join([f"{shown.title}: {shown.line}", *self._troubles])
        self.output.show(bar_html(shown.title, shown.share, shown.line) + troubles, text, now)


def notebook_progress() -> Progress:
    """Progress in the output of the cell that is executed."""
    output = Output()

    @contextmanager
    def reporter_for(title: str, epochs: int, pace: Pace | None = None) -> Iterator[Reporter]:
        reporter = NotebookBar(Readout(title, epochs, pace), output)
        try:
            yield reporter
        finally:
            reporter.conclude()

    @contextmanager
    def counter_for(title: str, pace: Pace | None = None) -> Iterator[Counter]:
        count = Count(title, pace)

        def advance(done: int, total: int) -> None:
            count.advance(done, total)
            words = ", ".join(filter(None, [count.words, count.left]))
            output.show(bar_html(title, count.share, words), f"{title}: {words}")

        try:
            yield advance
        finally:
            output.restore()

    return Progress(reporter_for, counter_for, print)

"""Progress bars in a notebook: one output of the cell, which is updated. No widgets are needed."""

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

SECONDS = 0.2  # between two updates, because each is a message to the browser


class Output:
    """One output of a cell, as HTML and as plain text for programs without HTML.

    All bars of a command share the output and replace each other; the line of the last training stays.
    """

    def __init__(self) -> None:
        self._handle: Any = None
        self._shown = 0.0
        self._kept = ("", "")

    def keep(self, html: str, text: str) -> None:
        """Show a line now, and again after each later bar."""
        self._kept = (html, text)
        self.restore()

    def restore(self) -> None:
        self.show(*self._kept, now=True)

    def show(self, html: str, text: str, now: bool = False) -> None:
        """Update the output; skipped if the last update was less than `SECONDS` ago, unless `now`."""
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
    """A bar with a title and a text."""
    style = "font: 0.9em system-ui, sans-serif; display: flex; flex-wrap: wrap; gap: 0.3em 0.8em; align-items: center"
    bar = f'<progress max="1" value="{share:.3f}" style="width: 12em">{share:.0%}</progress>'
    return f'<div style="{style}"><b>{escape(title)}</b>{bar}<span>{escape(words)}</span></div>'


class NotebookBar(Reporter):
    """A bar with epochs, speed, remaining time and the last values; one line stays at the end.

    Args:      readout: the values to show. output: of the cell.
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
        """Show a health warning below the bar during training; lasting problems are reported at the end."""
        self._troubles.append(line)
        self._show(now=True)

    def conclude(self) -> None:
        """Show the final line."""
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

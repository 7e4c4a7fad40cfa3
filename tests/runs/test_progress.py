"""Bars: in a terminal, in a file, in a notebook and nowhere; and what they say."""

from __future__ import annotations

import io
import re
import sys
import types
from collections.abc import Iterator
from typing import Any

import pytest
from rich.console import Console

from ancestral.api import progress as choice
from ancestral.core.pace import Pace
from ancestral.runs import notebook_bar
from ancestral.runs import progress as terminal
from ancestral.runs.notebook_bar import bar_html, notebook_progress
from ancestral.runs.progress import bar, counter
from ancestral.runs.readout import Readout
from ancestral.training.log import Reading

ELBO = "negative_elbo"
READINGS = [Reading("train", ELBO, 25.104), Reading("valid", ELBO, 26.31), Reading("train", "kl", 3.0)]


def terminal_text(stream: io.StringIO) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", stream.getvalue())


def test_a_readout_before_the_first_step_has_no_numbers() -> None:
    shown = Readout("vae", 20)
    assert (shown.share, shown.epoch, shown.metric, shown.left, shown.speed) == (0.0, "epoch 1/20", "", "", "")
    shown.begin(200, 0)
    assert shown.line == "epoch 1/20"


def test_a_readout_names_the_epoch_under_way_and_the_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = types.SimpleNamespace(now=100.0)
    clock.monotonic = lambda: clock.now
    monkeypatch.setattr("ancestral.runs.readout.time", clock)
    shown = Readout("vae", 20)
    shown.begin(200, 40)  # resumed: 40 steps were done before, in a time that is not known
    clock.now += 10
    shown.advance(60, READINGS)
    assert shown.epoch == "epoch 7/20" and shown.share == 0.3
    assert shown.speed == "2 steps/s"
    assert shown.left == "1 min left"  # 140 steps of 2 a second
    assert shown.metric == "train 25.10, valid 26.31 nats"
    clock.now += 310
    assert shown.speed == "16 s a step"
    shown.advance(200, [])
    assert shown.epoch == "epoch 20/20" and shown.left == "0 s left"


def test_the_time_left_is_that_of_the_whole_work(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = types.SimpleNamespace(now=0.0)
    clock.monotonic = lambda: clock.now
    for module in ("runs.readout", "core.pace"):
        monkeypatch.setattr(f"ancestral.{module}.time", clock)
    pace = Pace([1.0, 9.0])
    with pace.stage():
        shown = Readout("1/2", 10, pace)
        shown.begin(100, 0)
        clock.now += 30
        shown.advance(50, [])
        assert shown.left == "10 min left"  # half a minute of this training, and 9 minutes as expected


def test_a_terminal_bar_never_shows_the_word_none() -> None:
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=140)
    with bar(console, "[vae]", 5) as reporter:
        reporter.begin(10, 0)
        reporter.advance(4, READINGS)
    with counter(console, "scoring") as advance:
        advance(3, 9)
    text = terminal_text(stream)
    assert "None" not in text
    assert "[vae]" in text and "epoch 3/5" in text and "valid 26.31 nats" in text
    assert "left" in text and "3/9" in text


def test_a_file_gets_lines_and_no_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(terminal, "PLAIN_SECONDS", -1.0)
    with bar(Console(file=stream, width=140), "vae", 5) as reporter:
        reporter.begin(10, 0)
        reporter.advance(4, READINGS)
    assert stream.getvalue().startswith("vae: epoch 3/5, ")
    assert stream.getvalue().rstrip().endswith("train 25.10, valid 26.31 nats")


class Handle:
    """Replaces IPython's handle of an output that can be replaced."""

    def __init__(self, shown: list[dict[str, str]]) -> None:
        self.shown = shown

    def update(self, content: dict[str, str], raw: bool) -> None:
        self.shown.append(content)


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, str]]]:
    """What a notebook was sent, newest last; IPython need not be installed."""
    sent: list[dict[str, str]] = []

    def display(content: dict[str, str], raw: bool, display_id: bool) -> Handle:
        sent.append(content)
        return Handle(sent)

    monkeypatch.setitem(sys.modules, "IPython.display", types.SimpleNamespace(display=display))  # type: ignore[arg-type]
    monkeypatch.setattr(notebook_bar, "SECONDS", 0.0)
    yield sent


def test_a_bar_in_a_notebook_ends_as_one_line(shown: list[dict[str, str]]) -> None:
    progress = notebook_progress()
    with progress.reporter_for("<vae>", 5) as reporter:
        reporter.begin(10, 0)
        reporter.advance(4, READINGS)
        reporter.warn("epoch 2, warning: spikes")  # type: ignore[attr-defined]
        assert "spikes" in shown[-1]["text/html"]
        assert 'value="0.400"' in shown[-1]["text/html"] and "epoch 3/5" in shown[-1]["text/plain"]
        reporter.advance(10, [])
    line = shown[-1]
    assert "spikes" not in line["text/html"], "lasting problems are reported at the end"
    assert "<progress" not in line["text/html"] and line["text/plain"].startswith("<vae>: epoch 5/5, in ")
    with progress.counter_for("scoring") as advance:
        advance(1, 2)
        assert "1/2" in shown[-1]["text/plain"]
    assert shown[-1] == line, "the line of the training stays"
    assert "&lt;vae&gt;" in line["text/html"] and "<vae>" not in line["text/html"]


def test_a_notebook_is_not_sent_every_step(shown: list[dict[str, str]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notebook_bar, "SECONDS", 1000.0)
    with notebook_progress().reporter_for("vae", 5) as reporter:
        reporter.begin(1000, 0)
        for step in range(1000):
            reporter.advance(step, [])
    assert len(shown) == 2  # at the begin and at the end


def test_html_of_a_bar_is_escaped() -> None:
    assert "<b>a</b>" in bar_html("a", 0.5, "<i>")
    assert "<i>" not in bar_html("a", 0.5, "<i>")


class Stderr(io.StringIO):
    def __init__(self, terminal: bool) -> None:
        super().__init__()
        self.terminal = terminal

    def isatty(self) -> bool:
        return self.terminal


CASES: dict[str, tuple[Any, bool, bool, str]] = {
    "auto, a terminal": ("auto", True, False, "terminal"),
    "auto, a file": ("auto", False, False, "nothing"),
    "auto, a notebook": ("auto", False, True, "notebook"),
    "always, a file": (True, False, False, "terminal"),
    "always, a notebook": (True, False, True, "notebook"),
    "never, a terminal": (False, True, False, "nothing"),
    "never, a notebook": (False, False, True, "nothing"),
}


@pytest.mark.parametrize("case", CASES)
def test_where_progress_is_shown(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted, tty, notebook, expected = CASES[case]
    monkeypatch.setattr(sys, "stderr", Stderr(tty))
    monkeypatch.setattr(choice, "in_notebook", lambda: notebook)
    with choice.chosen_progress(wanted).reporter_for("vae", 3) as reporter:
        kind = type(reporter).__name__
    assert {"TerminalBar": "terminal", "NotebookBar": "notebook", "Reporter": "nothing"}[kind] == expected


@pytest.mark.parametrize("kernel, expected", [(object(), True), (None, False)])
def test_ipython_in_a_terminal_is_no_notebook(kernel: Any, expected: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel's shell knows its kernel; that of a terminal has none."""
    from ancestral.core.notebook import in_notebook

    shell = types.SimpleNamespace() if kernel is None else types.SimpleNamespace(kernel=kernel)
    monkeypatch.setitem(sys.modules, "IPython", types.ModuleType("IPython"))
    monkeypatch.setitem(sys.modules, "IPython.core", types.ModuleType("IPython.core"))
    found = types.SimpleNamespace(get_ipython=lambda: shell)
    monkeypatch.setitem(sys.modules, "IPython.core.getipython", found)  # type: ignore[arg-type]
    assert in_notebook() is expected


def test_a_plain_program_is_no_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    from ancestral.core.notebook import in_notebook

    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    assert not in_notebook()

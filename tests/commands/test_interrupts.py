"""Ctrl-C at any time, also repeated: exit code 130 and one line. A lack of memory is reported in one line too."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import Captured

from ancestral.commands import dispatch
from ancestral.commands.main import main
from ancestral.training import loop

PROGRAM = """
import atexit, os, signal, sys, types
from ancestral.commands import main

def interrupt(count):
    for _ in range(count):
        os.kill(os.getpid(), signal.SIGINT)

module = types.ModuleType("ancestral.commands.dispatch")
sys.modules[module.__name__] = module
def dispatch(words):
{work}
module.dispatch = dispatch
main.entry()
"""
WORK: dict[str, tuple[str, int, str]] = {
    "five at once": ("interrupt(5)", 130, "ancestral: interrupted\n"),
    "while the line is written": (
        "complain = main._complain\nmain._complain = lambda *a: (interrupt(3), complain(*a))[1]\ninterrupt(1)",
        130,
        "ancestral: interrupted\n",
    ),
    "while cleaning up": ("try:\n interrupt(1)\nfinally:\n interrupt(4)", 130, "ancestral: interrupted\n"),
    "at the end of the interpreter": ("atexit.register(interrupt, 5)", 0, ""),
    "at the end, after an interruption": (
        "atexit.register(interrupt, 5)\ninterrupt(2)",
        130,
        "ancestral: interrupted\n",
    ),
    "after the first was caught, later": (
        "main.REPEATS = -1.0\ntry:\n interrupt(1)\nexcept BaseException:\n interrupt(1)\nprint('not reached')",
        130,
        "",
    ),
}


def run_program(program: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a Python program in a separate process that accepts Ctrl-C, even if the tests run in the background."""
    words = [sys.executable, "-c", program]
    heed = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    return subprocess.run(words, capture_output=True, text=True, timeout=60, preexec_fn=heed, **options)


@pytest.mark.parametrize("case", WORK)
def test_an_interruption_is_one_line(case: str) -> None:
    work, code, line = WORK[case]
    program = PROGRAM.format(work="".join(f"  {row}\n" for row in work.splitlines()))
    done = run_program(program)
    assert (done.returncode, done.stderr, done.stdout) == (code, line, "")


def test_the_main_module_imports_no_heavy_packages() -> None:
    """These imports happen before interruptions are handled."""
    program = "import sys, ancestral.commands.main; print([n for n in ('tyro', 'rich', 'yaml') if n in sys.modules])"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout == "[]\n"


def test_an_interruption_while_importing_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "tyro.py").write_text(
        "import os, signal, time\nfor _ in range(5): os.kill(os.getpid(), signal.SIGINT)\n"
    )
    program = "from ancestral.commands.main import entry; entry()"
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = run_program(program, env=environment)
    assert (done.returncode, done.stderr) == (130, "ancestral: interrupted\n")


# ---- in the loop


@pytest.fixture
def handlers() -> Iterator[None]:
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    ignored = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # under nohup it is ignored, and then stays so
    before = [signal.getsignal(number) for number in numbers]
    yield
    assert [signal.getsignal(number) for number in numbers] == before
    signal.signal(signal.SIGHUP, ignored)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_within_a_second_are_one_request(handlers: None, number: signal.Signals) -> None:
    with loop._stop_requests() as stop:
        assert not stop.is_set()
        for _ in range(5):
            os.kill(os.getpid(), number)
        assert stop.is_set()


def test_a_later_interrupt_exits_at_once(handlers: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "REPEATS", -1.0)
    with pytest.raises(KeyboardInterrupt), loop._stop_requests() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.is_set()
        os.kill(os.getpid(), signal.SIGINT)
    with loop._stop_requests():
        pass


def test_a_repeated_end_of_a_cluster_is_one_request(handlers: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "REPEATS", -1.0)
    with loop._stop_requests() as stop:
        try:
            for _ in range(3):
                os.kill(os.getpid(), signal.SIGTERM)
        except KeyboardInterrupt:
            pytest.fail("the training ends before its state is saved")
        assert stop.is_set()


def test_an_ignored_hangup_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with loop._stop_requests() as stop:
            os.kill(os.getpid(), signal.SIGHUP)
            assert not stop.is_set()
    finally:
        signal.signal(signal.SIGHUP, before)


# ---- memory


def too_large() -> None:
    torch.empty(2**50, dtype=torch.uint8)


def overflown() -> None:
    torch.empty(2**40, 2**40)


def python_memory() -> None:
    raise MemoryError


@pytest.mark.parametrize("fails", [too_large, overflown, python_memory], ids=lambda function: function.__name__)
def test_a_lack_of_memory_is_one_line(capsys: Captured, monkeypatch: pytest.MonkeyPatch, fails) -> None:
    monkeypatch.setattr(dispatch, "dispatch", lambda words: fails())
    assert main(["train"]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("ancestral: not enough memory") and err.count("\n") == 1
    assert ("1,125,899.9 GB" in err) == (fails is too_large)


def test_a_bug_in_the_program_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(words: list[str]) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(dispatch, "dispatch", fails)
    with pytest.raises(RuntimeError, match="a bug"):
        main(["train"])

"""Errors of the command line: one line that names the flag, what is wrong and what to do."""

from __future__ import annotations

import pytest

from ancestral.commands.main import main
from ancestral.commands.parse_errors import parse_error


@pytest.mark.parametrize("width", ["50", "120"])  # the parser writes no frames to narrow terminals
@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("train vae --latents x", "--latents x: give a whole number"),
        ("train vae --hidden 8 b", "--hidden b: give a whole number"),
        ("train vae --valid-size 0.5", "--valid-size 0.5: give a whole number"),
        ("train vae --learning-rate fast", "--learning-rate fast: give a number"),
        ("train vae --pad-to 0", "--pad-to 0: give a whole number of at least 1"),
        ("train vae --data", "--data needs a value"),
        ("sample run -n ten", "-n ten: give a whole number"),
        ("sample", "missing argument: RUN run folder"),
        ("sample run other", "unexpected arguments: other"),
    ],
)
def test_a_wrong_argument_is_one_plain_line(
    words: str, message: str, width: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", width)
    assert main(words.split()) == 2
    program = " ".join(word for word in words.split()[:2] if word in ("train", "vae", "sample"))
    assert capsys.readouterr().err == f"ancestral: {message} (see ancestral {program} --help)\n"


def test_the_help_of_a_flag_is_no_part_of_its_error() -> None:
    written = (
        "╭─ Value error ─╮\n│ Error parsing --x: bad 'y' │\n│ ─── │\n│ Argument helptext: │\n│ --x INT a number │\n╰──╯"
    )
    assert parse_error(written) == "--x: bad 'y'"

"""Help of every command: required arguments look required, and each default is stated once."""

from __future__ import annotations

import fcntl
import inspect
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from ancestral.commands.dispatch import COMMANDS, _parse
from ancestral.commands.main import main
from ancestral.families.catalogue import BUILT_IN, find
from ancestral.reports.pictures.catalogue import DRAWINGS

FAMILY = '''
from __future__ import annotations
from dataclasses import dataclass
import ancestral

@dataclass(frozen=True)
class Mine:
    """A family of one's own."""

    width: int = 3
    """of something"""
    height: float | None = None
    """of another thing (default: as wide)"""
    depth: int | None = 4
    """of a third"""
'''
VERBS = [
    *([name] for name in COMMANDS if name not in ("train", "sweep")),
    *([name, family] for name in ("train", "sweep") for family in BUILT_IN),
]


@dataclass
class Help:
    """The help of a command.

    Args:      usage: its first line. entries: all that is said of each argument, by the words that it begins with.
    """

    usage: str
    entries: dict[str, str]


def help_of(words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Help:
    monkeypatch.setenv("COLUMNS", "100")
    capsys.readouterr()
    assert main([*words, "--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    entries: dict[str, str] = {}
    name = ""
    for line in lines[1:]:
        framed = re.match(r"[│ ] {1,2}(.*?)[│ ]*$", line)
        if framed is None or not framed[1]:
            name = ""
            continue
        indent = len(line) - len(line[1:].lstrip()) - 1
        if indent <= 1 and re.match(r"-|\[?[A-Z]{2,}", framed[1]):
            name = framed[1].split("  ")[0].strip()
            entries[name] = framed[1]
        elif name:
            entries[name] += " " + framed[1].strip()
    return Help(lines[0], entries)


def defaults(entry: str) -> list[str]:
    return re.findall(r"default: [^)]*", entry)


@pytest.mark.parametrize("words", VERBS, ids=" ".join)
def test_each_default_is_stated_once(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = help_of(words, monkeypatch, capsys)
    assert len(shown.entries) >= 2
    for name, entry in shown.entries.items():
        assert len(defaults(entry)) <= 1, (name, entry)
        assert "(default: None)" not in entry and "(default: )" not in entry and "{None}" not in entry, entry


@pytest.mark.parametrize("words", VERBS, ids=" ".join)
def test_required_arguments_are_marked_as_required(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = help_of(words, monkeypatch, capsys)
    command = inspect.signature(COMMANDS[words[0]])
    given = {"family", "axes", "model"} if words[0] in ("train", "sweep") else set()
    required = [p.name for p in command.parameters.values() if p.default is inspect.Parameter.empty]
    required = [name for name in required if name not in given]
    said = [name for name, entry in shown.entries.items() if "(required)" in entry]
    assert len(said) == len(required), (said, required)
    for name in said:
        assert f" {name}" in shown.usage and f"[{name}" not in shown.usage, shown.usage
    assert shown.usage.startswith(f"usage: ancestral {' '.join(words)}")
    assert len(shown.usage) < 100


def test_some_help_lines(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert help_of(["detect"], monkeypatch, capsys).usage == ("usage: ancestral detect RUN [RUN ...] [OPTIONS]")
    assert help_of(["data"], monkeypatch, capsys).usage == "usage: ancestral data [NAME|PATH] [OPTIONS]"
    vae = help_of(["train", "vae"], monkeypatch, capsys).entries
    assert vae["--out PATH"].endswith("run folder (default: runs/FAMILY-DATA)")
    assert vae["--epochs INT"].endswith("passes over the training data (default: 40)")
    assert vae["--patience INT"].endswith("without improvement (default: never)")
    assert vae["--learning-rate FLOAT"].endswith("(default: 0.001)") and vae["--beta1 FLOAT"].endswith("(default: 0.9)")
    assert vae["--no-thumbnails"].endswith("switches this off (default: on)")
    gan = help_of(["train", "gan"], monkeypatch, capsys).entries
    assert gan["--learning-rate FLOAT"].endswith("(default: 0.0002)")
    assert (
        gan["--beta1 FLOAT"].endswith("(default: 0.5)")
        and "(default: unit)" in gan[next(n for n in gan if "--pixels" in n)]
    )


def test_none_can_be_given_as_a_value() -> None:
    """So a value of a recipe can be reset."""
    called: list[object] = []

    def command(count: int | None = None) -> None:
        called.append(count)

    for words in ([], ["--count", "None"], ["--count", "3"]):
        _parse(command, words, "program")()
    assert called == [None, None, 3]


def test_help_of_a_user_family_has_the_same_form(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = FAMILY + 'FAMILY = ancestral.Family("helped", Mine, build="mine:build", tiny="mine:tiny")\n'
    (tmp_path / "helped.py").write_text(text)
    shown = help_of(["train", str(tmp_path / "helped.py")], monkeypatch, capsys).entries
    assert shown["--width INT"].endswith("of something (default: 3)")
    assert shown["--height FLOAT"].endswith("of another thing (default: as wide)")
    assert shown["--depth {None}|INT"].endswith("of a third (default: 4)")


NO_NAMES = {"of", "a", "mixture", "also", "circuit", "gan"}  # the other words of that text


def test_the_help_of_draw_names_every_drawing() -> None:
    families = {drawing.name for name in BUILT_IN for drawing in find(name).code("drawings")}
    shown = re.sub(r"\s+", " ", (COMMANDS["draw"].__doc__ or "").split("what:")[1].split("run:")[0])
    assert {drawing.name for drawing in DRAWINGS} | families == set(re.findall(r"[\w-]+", shown)) - NO_NAMES


@pytest.mark.parametrize("words", [[], ["train"], ["sweep"], *VERBS], ids=" ".join)
def test_help_names_the_ways_to_load_user_families(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*words, "--help"]) == 0
    out = capsys.readouterr().out
    assert "--family FILE.py" in out and "ANCESTRAL_FAMILIES" in out


@pytest.mark.usefixtures("catalogue_as_before")
def test_the_families_of_the_environment_are_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = FAMILY + 'FAMILY = ancestral.Family("from-the-environment", Mine, build="mine:build", tiny="mine:tiny")\n'
    (tmp_path / "listed.py").write_text(text)
    (tmp_path / "broken.py").write_text("1 / 0\n")
    monkeypatch.setenv("ANCESTRAL_FAMILIES", f"{tmp_path / 'broken.py'}:{tmp_path / 'listed.py'}")
    assert main(["train", "--help"]) == 0
    out, err = capsys.readouterr()
    assert re.search(r"^  from-the-environment\s+A family of one's own\.$", out, re.MULTILINE)
    assert err.startswith("ANCESTRAL_FAMILIES: ") and "ZeroDivisionError" in err and err.count("\n") == 1


# ---- widths

WIDTHS = (40, 60, 80, 120, 200)
PAGES = [[], ["train"], ["sweep"], *([name] for name in COMMANDS if name not in ("train", "sweep")), ["train", "vae"]]


def words_of(page: str) -> list[str]:
    """The words of a help text without its frames; the columns of a table follow each other."""
    page = re.sub(r"[│╭╮╰╯─]|-{4,}", " ", page).replace(",", ", ")  # a list of choices may be wrapped after a comma
    return sorted(re.sub(r"(arguments|options):\n", r"\1 ", page).split())


@pytest.mark.parametrize("page", PAGES, ids=" ".join)
def test_help_is_wrapped_at_words_at_any_width(
    page: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = {}
    for width in WIDTHS:
        monkeypatch.setenv("COLUMNS", str(width))
        capsys.readouterr()
        assert main([*page, "--help"]) == 0
        found[width] = capsys.readouterr().out
        longest = max(found[width].splitlines(), key=len)
        assert len(longest) <= width or len(longest.split()) == 1, (width, longest)
    for width in WIDTHS:
        assert words_of(found[width]) == words_of(found[200]), width


@pytest.mark.parametrize("width", [40, 100])
def test_help_fits_a_terminal(width: int) -> None:
    """On a terminal, with colours."""
    program = "from ancestral.commands.main import entry; entry()"
    parent, child = pty.openpty()
    fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", 50, width, 0, 0))
    environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    environment["TERM"] = "xterm-256color"
    command = [sys.executable, "-c", program, "evaluate", "--help"]
    with subprocess.Popen(command, stdin=child, stdout=child, stderr=child, env=environment) as process:
        os.close(child)
        shown = b""
        with suppress(OSError):  # the other end is closed
            while part := os.read(parent, 65536):
                shown += part
    os.close(parent)
    lines = re.sub(r"\x1b\[[0-9;]*m", "", shown.decode()).splitlines()
    assert process.returncode == 0 and "--per-image" in " ".join(lines)
    assert width - 10 < max(map(len, lines)) <= width

"""Documents: the table is generated, pictures are small, and all commands shown can be parsed."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from helpers import ROOT

from ancestral.commands.dispatch import COMMANDS
from ancestral.commands.main import main
from ancestral.families.abilities import capability_table

PAGES = sorted(ROOT.glob("*.md"))
WITH_COMMANDS = [*PAGES, *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "docs" / "handbook").glob("*.md"))]


def test_the_readme_contains_the_generated_table() -> None:
    assert capability_table() in (ROOT / "README.md").read_text()


def test_pictures_in_the_readme_exist_and_are_small() -> None:
    shown = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", (ROOT / "README.md").read_text())
    assert shown
    for name in shown:
        assert (ROOT / name).stat().st_size < 150_000, name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_code_in_documents_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for block in re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL):
        exec(compile(block, page.name, "exec"), {})


def test_links_between_pages_exist() -> None:
    for page in PAGES:
        for target, anchor in re.findall(r"\]\(([\w./-]+)(#[\w-]+)?\)", page.read_text()):
            assert (ROOT / target).exists(), f"{page.name}: {target}"
            if anchor:
                titles = re.findall(r"^#+ (.*)$", (ROOT / target).read_text(), re.MULTILINE)
                anchors = {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}
                assert anchor[1:] in anchors, f"{page.name}: {anchor}"


def commands_shown() -> list[str]:
    texts = [page.read_text() for page in WITH_COMMANDS]
    blocks = [block for text in texts for block in re.findall(r"```(?:bash|\{terminal\})\n(.*?)```", text, re.DOTALL)]
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    return sorted({line.strip() for line in lines if line.strip().startswith("ancestral ")})


@pytest.mark.parametrize("command", commands_shown())
def test_every_command_in_documents_is_parsed(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Flags are parsed; nothing is trained."""
    called = []
    for name, function in list(COMMANDS.items()):
        monkeypatch.setitem(COMMANDS, name, _recorder(function, called))
    words = shlex.split(command, comments=True)[1:]
    assert main(words) == 0
    assert called or words[-1] in ("--help", "--version")


def _recorder(function, called: list[str]):
    import functools

    @functools.wraps(function)
    def record(*args: object, **kwargs: object) -> None:
        called.append(function.__name__)

    return record

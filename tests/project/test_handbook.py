"""Tests of the handbook: its code runs and prints the output shown, its figures are drawn, and its answers exist.

Pages share a folder in each worker process, as in a build, so that a training on two pages runs only once.
"""

from __future__ import annotations

import doctest
import importlib
import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from helpers import ROOT

import ancestral
from ancestral.commands.dispatch import COMMANDS, command_of
from ancestral.commands.known_flags import known_flags
from ancestral.core import serialization as registry
from ancestral.families import catalogue
from ancestral.families.catalogue import BUILT_IN

DOCS = ROOT / "docs"
PAGES = sorted([*DOCS.glob("*.md"), *(DOCS / "handbook").glob("*.md")])
BLOCK = re.compile(r"^```(python|\{plot\})\n(.*?)^```", re.MULTILINE | re.DOTALL)
ANCHOR = re.compile(r"^\(([\w-]+)\)=$", re.MULTILINE)
LOADS = r"""(?:<(?:script|link|img|iframe)\b[^>]*\b(?:src|href)=|url\(|@import )\s*["']?"""
FROM_ELSEWHERE = re.compile(LOADS + "(?:https?:)?//")
NUMBER = re.compile(r"-?\d+\.\d+(?:e[+-]?\d+)?|-?\d+(?= nats|%)")
NO_DIRECTIVES = re.compile(r"^:[\w-]+:.*\n", re.MULTILINE)


def blocks(page: Path) -> Iterator[tuple[int, str, str]]:
    """(line, `python` or `{plot}`, code) of each block that runs."""
    text = page.read_text()
    for found in BLOCK.finditer(text):
        yield text.count("\n", 0, found.start()) + 1, found[1], found[2]


WITH_CODE = [page for page in PAGES if any(blocks(page))]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("handbook")


@pytest.fixture
def as_it_was(page: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A folder for runs; registries and random states are restored afterwards.

    Guides have the defaults of a user. Pages on families and ideas make no reports, which take longer than training.
    """
    monkeypatch.chdir(folder)
    if page.parent == DOCS:
        monkeypatch.setitem(inspect.unwrap(ancestral.fit).__kwdefaults__, "report", True)
    for family in BUILT_IN:  # classes are registered when their module is first imported, and only then
        catalogue.find(family).code("tiny")
    kept = [
        (table, dict(table)) for table in (catalogue._LOADED, catalogue._SOURCES, registry._CLASSES, registry._OWNERS)
    ]
    with torch.random.fork_rng(devices=[]):
        yield
    for table, before in kept:
        table.clear()
        table.update(before)  # type: ignore[arg-type]


# pages that take three seconds and more, up to 18; shorter pages have the same calls
LONG = (
    *("choosing", "completing", "continue", "flow", "notebooks", "tutorial", "your-data-in-python", "your-network"),
    *("any-order", "circuit", "explorer", "gan", "learning-curves", "tighter-bounds", "truth", "vae", "your-loop"),
)


@pytest.mark.parametrize(
    "page", [pytest.param(page, marks=[pytest.mark.slow] * (page.stem in LONG), id=page.stem) for page in WITH_CODE]
)
def test_code_on_a_page_prints_the_output_shown(page: Path, as_it_was: None) -> None:
    names: dict[str, object] = {"__name__": "__main__"}  # classes belong to the session of the reader
    for line, kind, code in blocks(page):
        if kind == "python":
            run_examples(code, names, page, line)
        else:
            draw(NO_DIRECTIVES.sub("", code), f"{page.name}, line {line}")


class Shown(doctest.OutputChecker):
    """As in doctest, but a measured number may differ by one in its last digit: processors round differently."""

    def check_output(self, want: str, got: str, optionflags: int) -> bool:
        if super().check_output(want, got, optionflags):
            return True
        pairs = list(zip(NUMBER.findall(want), NUMBER.findall(got), strict=False))
        return NUMBER.sub("#", want) == NUMBER.sub("#", got) and all(within_a_place(*pair) for pair in pairs)


def within_a_place(shown: str, found: str) -> bool:
    digits, _, exponent = shown.partition("e")
    place = 10.0 ** (int(exponent or 0) - len(digits.partition(".")[2]))
    return abs(float(shown) - float(found)) < 1.01 * place


def run_examples(code: str, names: dict[str, object], page: Path, line: int) -> None:
    """Run `>>>` lines and compare their output; variables are kept between the blocks of a page."""
    test = doctest.DocTestParser().get_doctest(code, {}, page.name, str(page), line)
    assert test.examples, f"{page.name}, line {line}: python without prompts is not run"
    test.globs = names
    report: list[str] = []
    failed, _ = doctest.DocTestRunner(Shown(), verbose=False).run(test, out=report.append, clear_globs=False)
    assert not failed, "".join(report)


def draw(code: str, where: str) -> None:
    """Run a plot alone, as a reader who copies it would; it must produce a figure."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    plt.close("all")
    with torch.random.fork_rng(devices=[]):  # so that a figure does not change later numbers
        exec(compile(code, where, "exec"), {})
    assert plt.get_fignums(), f"{where}: no figure"
    for number in plt.get_fignums():
        plt.figure(number).canvas.draw()
    plt.close("all")


def test_shown_numbers_are_compared() -> None:
    same = Shown().check_output
    assert same("-19.3 nats\n", "-19.4 nats\n", 0) and same("7%, 1.2e+06\n", "8%, 1.3e+06\n", 0)
    for want, got in (("-19.3", "-19.5"), ("1.3", "-1.3"), ("4 nats", "6 nats"), ("1.5, exact", "1.5"), ("[3]", "[4]")):
        assert not same(want + "\n", got + "\n", 0)


def answers() -> dict[str, str]:
    """Anchor of each answer and the text from there to the next section of its level or above."""
    found = {}
    for page in PAGES:
        text = page.read_text()
        for anchor in ANCHOR.finditer(text):
            after = text[anchor.end() :].lstrip("\n")
            title, rest = after.split("\n", 1)
            level = len(title) - len(title.lstrip("#"))
            assert level, f"{page.name}: {anchor[1]} stands before no heading"
            end = re.search(rf"^#{{1,{level}}} ", rest, re.MULTILINE)
            found[anchor[1]] = rest[: end.start()] if end else rest
    return found


def asked() -> list[tuple[str, list[str]]]:
    rows = re.findall(r"^\| (.*\?.*) \| (.*) \|$", (DOCS / "questions.md").read_text(), re.MULTILINE)
    return [(question, re.findall(r"\]\(#([\w-]+)\)", links)) for question, links in rows]


@pytest.mark.parametrize("question, anchors", asked(), ids=lambda value: value if isinstance(value, str) else "")
def test_every_question_has_an_answer_with_a_computation(question: str, anchors: list[str]) -> None:
    there = answers()
    assert anchors
    for anchor in anchors:
        assert anchor in there, anchor
    assert any(BLOCK.search(there[anchor]) for anchor in anchors), "no number and no picture"


def test_anchors_are_unique() -> None:
    every = [anchor for page in PAGES for anchor in ANCHOR.findall(page.read_text())]
    assert len(every) == len(set(every))


def test_every_page_is_in_the_contents() -> None:
    listed = re.findall(r"^([\w/-]+)$", (DOCS / "index.md").read_text(), re.MULTILINE)
    listed_pages = {str(page.relative_to(DOCS).with_suffix("")) for page in PAGES} - {"index"} | {"decisions/index"}
    assert set(listed) == listed_pages


def test_docstrings_are_converted_to_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(DOCS)
    rewritten = importlib.import_module("building.docstrings").rewritten
    formula = ["", "    log p(x) = a|b|", ""]
    sections = ["Args:      x, y: shape (B, *e). k: `K`, a_", "           number.", "Returns:   nats."]
    text = "\n".join(rewritten(["Score x.", *formula, *sections]))
    assert "::\n\n    log p(x) = a|b|" in text
    assert "    * ``x, y``: shape (B, \\*e).\n    * ``k``: ``K``, a\\_ number." in text
    assert "Returns\n    nats." in text


def test_formulas_are_written_out_for_the_converter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(DOCS)
    tex = importlib.import_module("building.tex")
    assert tex.spaced(r"\frac12(\mu) + \frac1K \log p") == r"\frac{1}{2}(\mu) + \frac{1}{K} \log\,p"
    assert tex.spaced(r"\frac{1}{2} \log(p)") == r"\frac{1}{2} \log(p)"
    assert tex.as_environment("a") == "a" and tex.as_environment(r"a \\ b").startswith(r"\begin{aligned}a")


@pytest.mark.slow
def test_the_handbook_builds_without_external_resources(tmp_path: Path) -> None:
    for name in ("sphinx", "furo", "myst_parser", "sphinx_design", "nbformat"):
        pytest.importorskip(name)
    out = tmp_path / "html"
    build = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", str(DOCS), str(out)]
    done = subprocess.run([*build, "-d", str(tmp_path / "trees")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    pages = list(out.rglob("*.html"))
    assert len(pages) > len(PAGES)
    for file in [*pages, *out.rglob("*.css")]:
        assert not FROM_ELSEWHERE.search(file.read_text()), file
    check_commands((out / "commands.html").read_text())
    for page in [page for page in WITH_CODE if page.parent.name == "handbook"]:
        html, notebook = (out / "handbook" / f"{page.stem}.html").read_text(), out / "notebooks" / f"{page.stem}.ipynb"
        assert f'href="../notebooks/{notebook.name}" download' in html and notebook.stat().st_size > 1000


def check_commands(page: str) -> None:
    """A section for each command, with an example that was run or is shown, and every flag there is."""
    for name, command in COMMANDS.items():
        section = page.partition(f'<section id="ancestral-{name}">')[2].partition("</section>")[0]
        assert f"ancestral {name}" in re.sub("<[^>]*>", "", section), name
        trained = [command_of(name, family) for family in BUILT_IN] if name == "train" else []
        for flag in {flag for one in trained or [command] if name != "sweep" for flag in known_flags(one)}:
            assert f">{flag}</span>" in page, f"{name} {flag}"

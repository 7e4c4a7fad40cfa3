"""Lessons: their code imports only public names, each has exercises with solutions that run, derivations are folded.

`test_handbook.py` runs the code, solutions included.
"""

from __future__ import annotations

import ast
import doctest
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers import ROOT

from ancestral.core.public import names_in

DOCS = ROOT / "docs"
PACKAGE = ROOT / "src" / "ancestral"
# pages without lessons: what was read and measured, how processes are started, and what is compiled
COMPARISONS = {"numbers-elsewhere", "other-packages", "processes", "compiling"}
LESSONS = sorted(page for page in (DOCS / "handbook").glob("*.md") if page.stem not in COMPARISONS)
PAGES = sorted([*DOCS.glob("*.md"), *LESSONS])
BLOCK = re.compile(r"^```(python|\{plot\})\n(.*?)^```", re.MULTILINE | re.DOTALL)
OPTIONS = re.compile(r"^:[\w-]+:.*\n", re.MULTILINE)
EXERCISE = re.compile(r"^### (\d+)\. \S[^\n]*\n(.*?)(?=^### |\Z)", re.MULTILINE | re.DOTALL)
FOLDED = re.compile(r"^(:{3,})\{dropdown\} ([^\n]+)\n(.*?)^\1$", re.MULTILINE | re.DOTALL)

# what a page derives, in the title of its folded block
DERIVATIONS = {
    "autoregressive": ("mask",),
    "belief-net": ("sum over states", "gradient"),
    "change-of-variables": ("change of variables",),
    "flow": ("determinant",),
    "gan": ("discriminator", "value"),
    "kl": ("Gaussian",),
    "mixture": ("EM",),
    "tighter-bounds": ("grows with K", "upper bound", "AIS"),
    "vae": ("Jensen", "KL"),
}
# a page for those who extend the package shows one module of its inside
INSIDE = {"add-a-family": {"ancestral.families.catalogue"}}


def public_names() -> dict[str, set[str]]:
    """The names that each public module promises."""
    stubs = [PACKAGE / "__init__.pyi", *PACKAGE.glob("*/__init__.pyi")]
    found = {".".join(stub.parent.relative_to(PACKAGE.parent).parts): set(names_in(stub)) for stub in stubs}
    found["ancestral.lightning"] = {"GenerativeData", "LightningGenerative", "RunFolder"}
    found["ancestral"] |= {"__version__", "__file__"}
    return found


def code_of(page: Path) -> Iterator[tuple[int, str]]:
    """(line, code) of each block: a doctest without its prompts, a plot without its options."""
    text = page.read_text()
    for found in BLOCK.finditer(text):
        line = text.count("\n", 0, found.start()) + 1
        if found[1] == "python":
            yield line, "".join(example.source for example in doctest.DocTestParser().get_examples(found[2]))
        else:
            yield line, OPTIONS.sub("", found[2])


def not_public(code: str, public: dict[str, set[str]]) -> list[str]:
    """What a piece of code uses of the package although no public module promises it."""
    found = []
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "ancestral":
            module = str(node.module)
            names = [alias.name for alias in node.names]
            found += [f"{module}.{name}" for name in names if not promised(module, name, public)]
        elif isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names if alias.name.split(".")[0] == "ancestral"]
            found += [module for module in modules if module not in public]
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "ancestral":
            found += [] if promised("ancestral", node.attr, public) else [f"ancestral.{node.attr}"]
    return found


def promised(module: str, name: str, public: dict[str, set[str]]) -> bool:
    return f"{module}.{name}" in public or name in public.get(module, ())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_code_uses_only_public_names(page: Path) -> None:
    public = public_names()
    for module in INSIDE.get(page.stem, ()):
        public[module] = {"BUILT_IN", "find", "load_file"}
    wrong = [f"line {line}: {name}" for line, code in code_of(page) for name in not_public(code, public)]
    assert not wrong, f"{page.name}: {wrong}"


def test_private_names_are_found() -> None:
    code = """
import ancestral, ancestral.core.maths
from ancestral.families import MADE, found
from ancestral.families.vae.vae import VAE
ancestral.fit, ancestral.runs
"""
    wrong = ["ancestral.core.maths", "ancestral.families.found", "ancestral.families.vae.vae.VAE", "ancestral.runs"]
    assert sorted(not_public(code, public_names())) == wrong


@pytest.mark.parametrize("page", LESSONS, ids=lambda page: page.stem)
def test_it_has_five_exercises_with_solutions_that_run(page: Path) -> None:
    text = page.read_text()
    assert text.count("\n## Exercises\n") == 1, "a section Exercises"
    section = text.partition("\n## Exercises\n")[2]
    assert not re.search(r"^## ", section, re.MULTILINE), "the exercises are the end of the page"
    exercises = EXERCISE.findall(section)
    assert [int(number) for number, _ in exercises] == list(range(1, len(exercises) + 1)) and len(exercises) >= 5
    for number, exercise in exercises:
        folded = [inside for _, title, inside in FOLDED.findall(exercise) if title == "Solution"]
        assert len(folded) == 1, f"exercise {number} has one folded solution"
        assert ">>>" in "".join(code for kind, code in BLOCK.findall(folded[0])), f"exercise {number}: code that runs"
        asked, said = exercise.partition(":::")[0], FENCED.sub("", folded[0])
        assert len(asked.split()) > 8 and len(said.split()) > 5, f"exercise {number}: a question and an explanation"


FENCED = re.compile(r"^(`{3,}).*?^\1$", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", LESSONS, ids=lambda page: page.stem)
def test_derivations_are_there_and_folded(page: Path) -> None:
    text = page.read_text()
    assert not re.search(r"^#+ .*Derivation|^\*\*Derivation", text, re.MULTILINE), "a derivation is a dropdown"
    derived = {title: inside for _, title, inside in FOLDED.findall(text) if title.startswith("Derivation")}
    for word in DERIVATIONS.get(page.stem, ()):
        steps = [inside for title, inside in derived.items() if word in title]
        assert len(steps) >= 1, f"a derivation with {word!r} in its title"
        assert all(inside.count("$$") >= 2 and len(inside) > 300 for inside in steps), word

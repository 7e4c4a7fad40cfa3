"""The notebooks of `examples/`: stored without outputs, in plain English, and executed without errors."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from helpers import ROOT

NOTEBOOKS = sorted((ROOT / "examples").glob("*.ipynb"))
EXPECTED = ("vae", "gan", "flow", "mixture_and_belief_net", "own_network")


def cells(path: Path, kind: str) -> list[dict[str, Any]]:
    return [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == kind]


def code_of(path: Path) -> str:
    return "\n".join("".join(cell["source"]) for cell in cells(path, "code"))


def test_there_is_a_notebook_for_each_group_of_questions() -> None:
    assert {path.stem for path in NOTEBOOKS} == set(EXPECTED)
    page = (ROOT / "docs" / "notebooks.md").read_text()
    assert all(f"`{path.name}`" in page for path in NOTEBOOKS)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_has_no_outputs_and_answers_its_questions(path: Path) -> None:
    for cell in cells(path, "code"):
        assert cell["outputs"] == [] and cell["execution_count"] is None
    text = "\n".join("".join(cell["source"]) for cell in cells(path, "markdown"))
    questions = len(re.findall(r"^## Question", text, re.MULTILINE))
    answers = len(re.findall(r'print\(f?"Answer:', code_of(path)))
    assert questions >= 1 and answers == questions, "an answer is computed from the numbers"
    assert (
        len(text) > 1500 and ".show(" in code_of(path) and re.search(r"ancestral\.(compare|quality)\(", code_of(path))
    )
    assert path.stat().st_size < 30_000
    assert "\n# " in f"\n{text}" and "mnist" not in code_of(path).lower(), "only data that come with the package"


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_without_errors(path: Path, tmp_path: Path) -> None:
    for name in ("nbclient", "nbformat", "ipykernel"):
        pytest.importorskip(name)
    executed = execute(path, tmp_path)
    outputs = [output for cell in executed["cells"] for output in cell.get("outputs", [])]
    data = [output["data"] for output in outputs if "data" in output]
    assert sum("image/png" in one for one in data) >= 4, "pictures are shown as pictures"
    tables = [one["text/html"] for one in data if "ancestral-cell" in one.get("text/html", "")]
    assert tables and any("nats" in html for html in tables)
    assert any("in " in one.get("text/plain", "") and "epoch" in one["text/plain"] for one in data), "the bar"
    printed = "".join(output["text"] for output in outputs if output["output_type"] == "stream")
    assert printed.count("Answer:") == len(re.findall(r'"Answer:', code_of(path)))
    assert "nan" not in printed and "Warning" not in printed


def execute(path: Path, folder: Path) -> Any:
    """Execute a notebook and return it with its outputs; runs are written to a folder. Errors in cells are raised."""
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    client = NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(folder)}})
    return client.execute()

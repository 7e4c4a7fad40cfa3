"""The notebooks made from the handbook's pages: nothing is lost, nothing is left that Jupyter cannot read, they run."""

from __future__ import annotations

import ast
import doctest
import importlib
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from helpers import ROOT
from project.test_handbook import Shown
from project.test_lessons import LESSONS

DOCS = ROOT / "docs"
LEFT_OVER = re.compile(
    r"^:{3}|^\([\w-]+\)=$|\{(?:plot|diagram|dropdown|download|ref)\}|\]\((?!https?:|#)", re.MULTILINE
)
EXECUTED = ("autoregressive", "mixture")  # others have the same code as their pages, which test_handbook.py runs

PAGE = """# A page

See [another page](other.md), [here](#below) and [there](#elsewhere).

```python
>>> a = 1
>>> a
1
>>> print(a + 1)   # doctest: +ELLIPSIS
2
>>> 1 / 0
Traceback (most recent call last):
    ...
ZeroDivisionError: division by zero
>>> b = 3
```

```{plot}
:alt: A line.
:caption: A line.

import matplotlib.pyplot as plt

a = [1, 2]
plt.plot(a)
```

(below)=
## Exercises

### 1. Add

Add one.

:::{dropdown} Solution
```python
>>> a + b
4
```

By addition,

$$
x &= 1 \\\\
y &= 2
$$
:::
"""


@pytest.fixture
def notebooks(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    pytest.importorskip("nbformat")
    monkeypatch.syspath_prepend(DOCS)
    return importlib.import_module("building.notebooks")


def of_kind(notebook: Any, kind: str) -> list[Any]:
    return [cell for cell in notebook["cells"] if cell["cell_type"] == kind]


def test_a_page_becomes_cells(notebooks: ModuleType, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE)
    notebook = notebooks.notebook(page)
    code = of_kind(notebook, "code")[1:]  # after the cell that chooses a folder
    assert [cell["source"] for cell in code] == [
        "a = 1\na",
        "print(a + 1)",
        "1 / 0",
        "b = 3",
        "def draw():\n    import matplotlib.pyplot as plt\n\n    a = [1, 2]\n    plt.plot(a)\n\ndraw()",
        "# your answer",
        "a + b",
    ]
    kinds = [[output["output_type"] for output in cell["outputs"]] for cell in code]
    assert kinds == [["execute_result"], ["stream"], ["error"], [], [], [], ["execute_result"]]
    assert code[2]["metadata"]["tags"] == ["raises-exception"] and code[2]["outputs"][0]["ename"] == "ZeroDivisionError"
    assert code[6]["metadata"]["jupyter"]["source_hidden"] and "jupyter" not in code[0]["metadata"]
    text = [cell["source"] for cell in of_kind(notebook, "markdown")]
    assert text[1] == "See another page, [here](#below) and there."
    assert text[2].startswith('*A line.*\n\n<a id="below"></a>\n\n## Exercises')
    assert text[3].startswith("<details><summary>Solution</summary>\n\nBy addition,")
    assert "\\begin{aligned}x &= 1 \\\\\ny &= 2\n\\end{aligned}$$" in text[3]
    assert notebooks.notebook(page) == notebook, "the same page gives the same file"


def test_a_plot_that_changes_no_name_stays_as_it_is(notebooks: ModuleType) -> None:
    assert notebooks.plot("x = 1\nprint(x)", {"y"}) == "x = 1\nprint(x);"
    assert notebooks.plot("x = 1\ny = x", {"y"}).startswith("def draw():\n    x = 1")


@pytest.mark.parametrize("page", LESSONS, ids=lambda page: page.stem)
def test_nothing_is_lost_or_left_over(page: Path, notebooks: ModuleType) -> None:
    assert notebooks.has_code(page)
    notebook, text = notebooks.notebook(page), page.read_text()
    for cell in of_kind(notebook, "markdown"):
        assert not LEFT_OVER.search(re.sub(r"```.*?```", "", cell["source"], flags=re.DOTALL)), cell["source"]
    code = of_kind(notebook, "code")
    for cell in code:
        last = ast.parse(cell["source"]).body[-1:]
        if cell["outputs"] and cell["outputs"][0]["output_type"] == "stream":
            shows = isinstance(last[0], ast.Expr) or "print(" in ast.unparse(last[0])
            assert shows, f"a value inside a block is shown by print only: {cell['source']}"
        assert ">>>" not in cell["source"]
    blocks = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    wants = [
        example.want for block in blocks for example in doctest.DocTestParser().get_examples(block) if example.want
    ]
    diagrams = text.count("```{diagram}")
    assert sum(len(cell["outputs"]) for cell in code) == len(wants) + diagrams
    assert sum("svg" in str(cell["outputs"]) for cell in code) == diagrams
    for heading in re.findall(
        r"^#+ (.+)$", re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE), re.MULTILINE
    ):
        assert any(heading in cell["source"] for cell in of_kind(notebook, "markdown")), heading


@pytest.mark.slow
@pytest.mark.parametrize("name", EXECUTED)
def test_it_runs_and_prints_what_it_shows(name: str, notebooks: ModuleType, tmp_path: Path) -> None:
    for needed in ("nbclient", "ipykernel"):
        pytest.importorskip(needed)
    from nbclient import NotebookClient

    page = DOCS / "handbook" / f"{name}.md"
    shown = [printed(cell) for cell in of_kind(notebooks.notebook(page), "code")]
    resources = {"metadata": {"path": str(tmp_path)}}
    executed = NotebookClient(notebooks.notebook(page), timeout=300, resources=resources).execute()
    found = [printed(cell) for cell in of_kind(executed, "code")]
    for want, got in zip(shown, found, strict=True):
        assert not want or Shown().check_output(want, got, doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE), (want, got)
    pictures = sum(
        "image/png" in output.get("data", {}) for cell in executed["cells"] for output in cell.get("outputs", [])
    )
    assert pictures == page.read_text().count("```{plot}"), "each picture once"


def printed(cell: Any) -> str:
    """Printed text and values; not pictures, progress bars and messages."""
    found = ""
    for output in cell["outputs"]:
        if output["output_type"] == "stream" and output["name"] == "stdout":
            found += output["text"]
        elif output["output_type"] == "execute_result" and "image/svg+xml" not in output["data"]:
            found += output["data"].get("text/plain", "") + "\n"
        elif output["output_type"] == "error":
            found += output["ename"].rpartition(".")[2] + "\n"
    return found

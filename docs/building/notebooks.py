"""Each page with code as a Jupyter notebook that runs, and a link to it on the page.

Text becomes Markdown cells and code becomes code cells: a doctest loses its prompts and keeps its outputs, a plot loses
its options. What Jupyter does not know is rewritten: links between pages become text, folded blocks become `<details>`,
diagrams become SVG. The code of a solution is a cell whose input is folded.
"""

from __future__ import annotations

import ast
import doctest
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import nbformat
from building.drawings import drawn
from building.tex import as_environment
from nbformat import NotebookNode, v4

LEFT_OUT = {"add-a-family"}  # its code reads a file of the repository
PYTHON = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
FENCE = re.compile(r"^(`{3,})(.*)$")
FOLD = re.compile(r"^(:{3,})\{dropdown\} (.+)$")
OPTION = re.compile(r"^:([\w-]+): ?(.*)$")
ANCHOR = re.compile(r"^\(([\w-]+)\)=$", re.MULTILINE)
LINK = re.compile(r"\[((?:[^\[\]]|\[[^\]]*\])+)\]\((?!https?://)([^)]*)\)")
DISPLAY = re.compile(r"^\$\$\n(.*?)^\$\$$", re.MULTILINE | re.DOTALL)
NO_DOCTEST = re.compile(r"\s*# doctest: .*$", re.MULTILINE)
DIRECTIVES = ("{plot}", "{diagram}")
FOLDED_CODE = {"jupyter": {"source_hidden": True, "outputs_hidden": True}, "tags": ["hide-input", "solution"]}
START = """# Runs are written into a temporary folder. Remove this cell to keep them in the present one.
import os, tempfile
os.chdir(tempfile.mkdtemp())"""


def notebook(page: Path) -> NotebookNode:
    """The notebook of a page."""
    lines = page.read_text(encoding="utf-8").splitlines()
    title, text = lines[0].removeprefix("# "), lines[1:]
    first = f"# {title}\n\nFrom the handbook of `ancestral`. This notebook needs the package `ancestral` and Jupyter."
    cells = [v4.new_markdown_cell(first), v4.new_code_cell(START), *cells_of(text, Page.of(page))]
    for number, cell in enumerate(cells):
        cell["id"] = f"cell-{number}"  # the same page gives the same file
    kernel = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    made = v4.new_notebook(cells=cells, metadata=kernel)
    nbformat.validate(made)
    return made


class Page(NamedTuple):
    """What a cell must know of its page: places that links may lead to, and names that its doctests assign."""

    anchors: set[str]
    names: set[str]

    @classmethod
    def of(cls, page: Path) -> Page:
        text = page.read_text(encoding="utf-8")
        examples = doctest.DocTestParser().get_examples("\n".join(PYTHON.findall(text)))
        return cls(set(ANCHOR.findall(text)), names("".join(example.source for example in examples)))


def cells_of(lines: list[str], page: Page) -> Iterator[NotebookNode]:
    """Cells of some lines of a page, in order."""
    text: list[str] = []
    at = 0
    while at < len(lines):
        fence, fold = FENCE.match(lines[at]), FOLD.match(lines[at])
        block = fence or fold
        end = lines.index(block[1], at + 1) if block else at
        inside = lines[at + 1 : end]
        kind = fence[2].split(" ")[0] if fence else ""
        made: list[NotebookNode] = []
        if fold:
            made = folded(fold[2], inside, page)
        elif kind == "python":
            made = examples("\n".join(inside))
        elif kind in DIRECTIVES:
            made = [directive(kind, fence[2].split(" ")[-1], inside, page)] if fence else []
        if made:
            yield from prose(text, page)
            yield from made
            text = caption(inside) if kind in DIRECTIVES else []
        else:
            text += lines[at : end + 1]
        at = end + 1
    yield from prose(text, page)


def prose(lines: list[str], page: Page) -> Iterator[NotebookNode]:
    """A Markdown cell, if there is any text."""
    text = markdown("\n".join(lines), page)
    if text:
        yield v4.new_markdown_cell(text)


def markdown(text: str, page: Page) -> str:
    """Text of a page in the Markdown that Jupyter reads."""

    def link(found: re.Match[str]) -> str:
        return found[0] if found[2].removeprefix("#") in page.anchors else found[1]

    text = DISPLAY.sub(lambda found: f"$$\n{as_environment(found[1])}$$", text)
    text = ANCHOR.sub(r'<a id="\1"></a>\n', text)
    return LINK.sub(link, text).strip()


def folded(title: str, lines: list[str], page: Page) -> list[NotebookNode]:
    """A folded block. Code cannot be inside `<details>`: the cells of a solution are folded by their metadata."""
    cells = list(cells_of(lines, page))
    for cell in cells:
        if cell["cell_type"] == "code":
            cell["metadata"].update(FOLDED_CODE)
        else:
            cell["source"] = f"<details><summary>{title}</summary>\n\n{cell['source']}\n\n</details>"
    if title == "Solution":
        return [v4.new_code_cell("# your answer"), *cells]
    return cells


def examples(code: str) -> list[NotebookNode]:
    """A doctest as cells, one for each output that is shown."""
    cells, source = [], ""
    for example in doctest.DocTestParser().get_examples(code):
        source += NO_DOCTEST.sub("", example.source)
        if example.want:
            cells.append(code_cell(source, example))
            source = ""
    return [*cells, v4.new_code_cell(source.rstrip())] if source else cells


def code_cell(source: str, example: doctest.Example) -> NotebookNode:
    """Code and what it shows: printed text, a value or an exception."""
    last = ast.parse(example.source).body[-1]
    if example.exc_msg:
        name, _, message = example.exc_msg.strip().partition(": ")
        output = v4.new_output("error", ename=name.split(".")[-1], evalue=message, traceback=[example.exc_msg.strip()])
    elif isinstance(last, ast.Expr) and not _prints(last):
        output = v4.new_output("execute_result", data={"text/plain": example.want.rstrip()}, execution_count=None)
    else:
        output = v4.new_output("stream", name="stdout", text=example.want)
    metadata = {"tags": ["raises-exception"]} if example.exc_msg else {}
    return v4.new_code_cell(source.rstrip(), outputs=[output], metadata=metadata)


def _prints(expression: ast.Expr) -> bool:
    call = expression.value
    return isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "print"


def directive(kind: str, argument: str, lines: list[str], page: Page) -> NotebookNode:
    """A plot as a code cell; a diagram as a folded cell that shows it."""
    if kind == "{plot}":
        code = "\n".join(line for line in lines if not OPTION.match(line)).strip()
        return v4.new_code_cell(plot(code, page.names))
    svg = drawn(argument, paper="#ffffff")
    output = v4.new_output("execute_result", data={"image/svg+xml": svg, "text/plain": ""}, execution_count=None)
    source = f'from IPython.display import SVG\nSVG("""{svg}""")'
    return v4.new_code_cell(source, outputs=[output], metadata={"jupyter": {"source_hidden": True}})


def plot(code: str, taken: set[str]) -> str:
    """The code of a picture. It becomes a function where it would change a name that other cells use."""
    last = ast.parse(code).body[-1]
    if names(code) & taken:
        body = "\n".join(f"    {line}" if line else "" for line in code.splitlines())
        return f"def draw():\n{body}\n\ndraw()"
    return code + (";" if isinstance(last, ast.Expr) else "")  # the picture is shown once


def names(code: str) -> set[str]:
    """Names that code assigns."""
    found = {
        node.id for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }
    return found - {"seed", "_"}


def caption(lines: list[str]) -> list[str]:
    """The caption of a plot or a diagram, as text below it."""
    found = [option[2] for line in lines if (option := OPTION.match(line)) and option[1] == "caption"]
    return [f"*{found[0]}*" if "*" not in found[0] else found[0]] if found else []


def has_code(page: Path) -> bool:
    return page.stem not in LEFT_OUT and "\n```python\n" in page.read_text(encoding="utf-8")


def written(app: Any, error: Exception | None) -> None:
    """Write the notebooks beside the pages, once these are built."""
    folder = Path(app.outdir) / "notebooks"
    if error is None and app.builder.format == "html":
        folder.mkdir(exist_ok=True)
        for page in with_notebook(Path(app.srcdir)).values():
            nbformat.write(notebook(page), folder / f"{page.stem}.ipynb")


def with_notebook(source: Path) -> dict[str, Path]:
    """Pages that become notebooks, by the name that Sphinx uses."""
    pages = [*source.glob("*.md"), *source.glob("handbook/*.md")]
    return {str(page.relative_to(source).with_suffix("")): page for page in sorted(pages) if has_code(page)}


def linked(app: Any, name: str, template: str, context: dict[str, Any], doctree: object) -> None:
    """A link to the notebook below the title of a page."""
    if name in with_notebook(Path(app.srcdir)):
        target = f"{'../' * name.count('/')}notebooks/{name.rpartition('/')[2]}.ipynb"
        link = f'<p class="notebook"><a href="{target}" download>Download this page as a notebook</a></p>'
        context["body"] = context["body"].replace("</h1>", f"</h1>\n{link}", 1)


def setup(app: Any) -> dict[str, bool]:
    app.connect("build-finished", written)
    app.connect("html-page-context", linked)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

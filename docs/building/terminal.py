"""Directives for the page of commands: `{terminal}` runs command lines, `{flags} COMMAND` lists a command's flags.

Both ask the command itself when the page is built, so that the page is always current.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import tempfile
from collections.abc import Sequence
from typing import Any

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.util.docutils import SphinxDirective

from ancestral.commands.main import main

COLUMNS = "92"  # as many as fit on a page
TABLE = re.compile(r"^ (\w.*)\n -{4,}\n((?:  .*\n|\n)*)", re.MULTILINE)
ROW = re.compile(r"(\S.*?)(?: {2,}(\S.*))?$")
DEFAULT = re.compile(r" ?\((?:default: (.*)|(required))\)$")
SEVERAL = re.compile(r"\[(\S+) \[\1 \.\.\.\]\]")
CHOICES = re.compile(r"\{([^{}]*)\}")

Flag = tuple[str, str, str]  # name and kind of value, meaning, default


def printed(words: Sequence[str]) -> str:
    """What `ancestral WORDS` prints, results and messages.

    Raises:    ValueError: it fails.
    """
    os.environ["COLUMNS"] = COLUMNS
    with io.StringIO() as out:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
            code = main(words)
        text = out.getvalue()
    if code:
        raise ValueError(f"ancestral {shlex.join(words)} ends with {code}: {text}")
    return "\n".join(line.rstrip() for line in text.splitlines()).strip("\n")


def tables(text: str) -> dict[str, list[Flag]]:
    """The flags in the help of a command, by the title of their table."""
    found = {}
    for title, inside in TABLE.findall(f"{text}\n"):
        lines = [line.removeprefix("  ") for line in inside.splitlines()]
        rule = next((i for i, line in enumerate(lines) if line.startswith("----")), -1)  # below a description
        found[title] = rows(lines[rule + 1 :])
    return found


def rows(lines: list[str]) -> list[Flag]:
    """Lines of one table: a flag begins at the margin, and what it means goes on below, indented."""
    joined: list[list[str]] = []
    for line in lines:
        if line and not line.startswith(" "):
            match = ROW.match(line)
            assert match, line
            joined.append([match[1], *([match[2]] if match[2] else [])])
        elif line:
            joined[-1].append(line.strip())
    return [(name, *meaning(" ".join(words))) for name, *words in joined if "--help" not in name]


def meaning(text: str) -> tuple[str, str]:
    """What a flag does, and its default; a switch that is off has none."""
    default = DEFAULT.search(text)
    value = (default[1] or default[2]) if default else ""
    return text[: default.start()] if default else text, {"False": "", "True": "on"}.get(value, value)


class Terminal(SphinxDirective):
    """Command lines and what they print. The commands of a page are run one after another in one folder."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        folder = self.env.temp_data.setdefault("terminal", tempfile.mkdtemp(prefix="commands-"))
        before = os.getcwd()
        os.chdir(folder)
        try:
            text = "\n\n".join(f"$ {line}\n{printed(shlex.split(line)[1:])}".strip() for line in self.content)
        except ValueError as error:
            raise self.error(str(error)) from None
        finally:
            os.chdir(before)
        return [nodes.literal_block(text, text, language="text", classes=["terminal"])]


class Flags(SphinxDirective):
    """The arguments and flags of a command as a table; of some tables of its help only, where `tables` names them."""

    required_arguments = 1
    final_argument_whitespace = True
    option_spec = {"tables": directives.unchanged}  # noqa: RUF012 (the way of docutils)

    def run(self) -> list[nodes.Node]:
        found = tables(printed([*self.arguments[0].split(), "--help"]))
        titles = [title.strip() for title in self.options.get("tables", ",".join(found)).split(",")]
        return [table([flag for title in titles for flag in found[title]])]


def table(flags: list[Flag]) -> nodes.table:
    """Flag, meaning and default in columns."""
    made = nodes.table(classes=["flags"])
    group = nodes.tgroup(cols=3)
    made += group
    group += [nodes.colspec(colwidth=width) for width in (30, 55, 15)]
    head = nodes.thead()
    head += row(*(nodes.paragraph("", title) for title in ("flag", "meaning", "default")))
    body = nodes.tbody()
    for name, text, default in flags:
        flag, _, value = name.partition(" ") if name.startswith("--") else (name, "", "")
        shown = nodes.paragraph("", "", nodes.literal(flag, flag))
        if value:
            value = CHOICES.sub(lambda found: found[1].replace(",", ", "), SEVERAL.sub(r"\1 …", value))
            shown += nodes.inline("", f" {value}", classes=["value"])
        body += row(
            shown, nodes.paragraph("", text), *([nodes.paragraph("", default)] if default else [nodes.comment()])
        )
    group += [head, body]
    return made


def row(*cells: nodes.Node) -> nodes.row:
    return nodes.row("", *(nodes.entry("", cell) for cell in cells))


def setup(app: Any) -> dict[str, bool]:
    app.add_directive("terminal", Terminal)
    app.add_directive("flags", Flags)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

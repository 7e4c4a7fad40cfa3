"""A directive that runs the help of each command when the page is built, so that the page is always current."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Sequence
from contextlib import redirect_stdout
from typing import Any

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

from ancestral.commands.dispatch import COMMANDS
from ancestral.commands.main import main
from ancestral.families.catalogue import BUILT_IN

COLUMNS = "92"  # as many as fit on a page


def printed(words: Sequence[str]) -> str:
    """What `ancestral WORDS` prints on its standard output.

    Raises:    ValueError: it fails.
    """
    os.environ["COLUMNS"] = COLUMNS
    with redirect_stdout(io.StringIO()) as out:
        code = main(words)
    if code:
        raise ValueError(f"ancestral {' '.join(words)} ends with {code}")
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()).strip()


def commands() -> Iterator[tuple[str, ...]]:
    """Every command there is, and `train` once for each family."""
    for name in COMMANDS:
        yield (name,)
        if name == "train":
            yield from ((name, family) for family in BUILT_IN)


class Commands(SphinxDirective):
    """A section for each command: its help."""

    def run(self) -> list[nodes.Node]:
        sections: list[nodes.Node] = []
        for words in commands():
            title = f"ancestral {' '.join(words)}"
            section = nodes.section(ids=[nodes.make_id(title)], names=[title])
            section += nodes.title(title, title)
            section += nodes.literal_block("", printed([*words, "--help"]), language="text", classes=["terminal"])
            self.state.document.note_explicit_target(section)
            sections.append(section)
        return sections


def setup(app: Any) -> dict[str, bool]:
    app.add_directive("commands", Commands)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

"""The directive `{diagram} NAME`, which puts one of the drawn diagrams on a page."""

from __future__ import annotations

from typing import Any

from building.drawings import DIAGRAMS, drawn
from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.util.docutils import SphinxDirective


class DiagramDirective(SphinxDirective):
    """A figure: the diagram and, with the option `caption`, a caption."""

    required_arguments = 1
    option_spec = {"caption": directives.unchanged}  # noqa: RUF012 (the way of docutils)

    def run(self) -> list[nodes.Node]:
        name = self.arguments[0]
        if name not in DIAGRAMS:
            raise self.error(f"no diagram {name!r}; there are {', '.join(DIAGRAMS)}")
        figure = nodes.figure(classes=["diagram"])
        figure += nodes.raw("", drawn(name), format="html")
        if "caption" in self.options:
            inside, messages = self.parse_inline(self.options["caption"])
            figure += nodes.caption("", "", *inside, *messages)
        return [figure]


def setup(app: Any) -> dict[str, bool]:
    app.add_directive("diagram", DiagramDirective)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

"""matplotlib's `plot` directive in Markdown: what it writes for reStructuredText is read as that."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from docutils import nodes
from docutils.parsers.rst import Parser
from docutils.utils import new_document
from matplotlib.sphinxext import plot_directive


class Plot(plot_directive.PlotDirective):
    """As matplotlib's, whose code goes back into the source that is being parsed: Markdown has no such place."""

    def run(self) -> list[nodes.Node]:
        lines: list[str] = []
        machine = SimpleNamespace(document=self.state.document, insert_input=lambda text, source: lines.extend(text))
        found = plot_directive.run(self.arguments, self.content, self.options, machine, self.state, self.lineno)
        written = new_document(self.state.document["source"], self.state.document.settings)
        Parser().parse("\n".join(lines), written)
        return [*found, *written.children]


def setup(app: Any) -> dict[str, bool]:
    app.add_directive("plot", Plot, override=True)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

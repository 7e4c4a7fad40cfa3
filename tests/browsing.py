"""A page that was opened in a browser, and the engine of pages without a page."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from ancestral.explorer.bundle import bundle

READY_MS = 60_000  # a busy machine is slow


class Opened(NamedTuple):
    """A page that was opened from a file, and what it did."""

    page: Any
    outcome: str  # of the self-test
    requests: list[str]
    problems: list[str]  # errors, and messages in the console


class Engine:
    """The page's engine in an empty page: models by their descriptions, and JavaScript that uses them."""

    def __init__(self, page: Any) -> None:
        self.page = page
        page.add_script_tag(content=f"{bundle('engine/models')}\n{bundle('engine/store')}\nwindow.models = {{}};")
        names = "$random, $models, $layers, $pixels, $store, $statistics"
        page.add_script_tag(content=f"window.modules = {{ {names} }};")

    def load(self, name: str, spec: dict[str, Any], weights: str) -> None:
        """Make a model that JavaScript finds as `models[name]`."""
        self.page.evaluate(
            "async ([name, spec, weights]) => { models[name] = modules.$models.makeModel(spec, "
            "await modules.$store.openStore(weights)); }",
            [name, spec, weights],
        )

    def run(self, script: str, *arguments: Any) -> Any:
        """The value of the body of a function whose parameters are `Random` and `args`."""
        values = json.loads(json.dumps(arguments))
        return self.page.evaluate(f"(args) => {{ const {{ Random }} = modules.$random; {script} }}", values)

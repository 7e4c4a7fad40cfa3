"""The page's JavaScript modules as one text, without a build tool."""

from __future__ import annotations

import re
from importlib import resources

IMPORT = re.compile(r'^import (\{[^}]*\}) from "\./(\w+)\.js";\n', re.MULTILINE)
EXPORT = re.compile(r"^export ((?:async )?function|class|const) (\w+)", re.MULTILINE)
FOLDER = resources.files("ancestral.explorer")


def bundle(entry: str) -> str:
    """All modules that `entry` needs, each after those it imports, and each in a scope of its own.

    The modules import by `import { a, b } from "./name.js"` from their own folder, and export functions, classes and
    constants where they are defined.

    Args:      entry: folder and name without ".js": "engine/worker".
    """
    folder, name = entry.split("/")
    return "\n".join(wrapped(part, source(folder, part)) for part in in_order(folder, name))


def wrapped(name: str, text: str) -> str:
    """A module as a function that is called once and returns what the module exports."""
    body = IMPORT.sub(lambda found: f"const {found[1]} = ${found[2]};\n", text)
    exported = ", ".join(found[2] for found in EXPORT.finditer(text))
    plain = EXPORT.sub(r"\1 \2", body)
    return f"const ${name} = (() => {{\n{plain}return {{ {exported} }};\n}})();"


def in_order(folder: str, name: str) -> list[str]:
    """The modules that one needs, each once and after its own imports, itself last."""
    done: list[str] = []

    def visit(part: str) -> None:
        for _, other in IMPORT.findall(source(folder, part)):
            visit(other)
        if part not in done:
            done.append(part)

    visit(name)
    return done


def source(folder: str, name: str) -> str:
    return FOLDER.joinpath(folder, f"{name}.js").read_text(encoding="utf-8")

"""The docstrings of the package as reStructuredText: `Args:   name: meaning. other: meaning.` becomes a list."""

from __future__ import annotations

import re
from typing import Any

SECTIONS = {
    "Args": "Arguments",
    "Attributes": "Attributes",
    "Returns": "Returns",
    "Raises": "Raises",
    "Deviation": "Deviation",
    "Reference": "Reference",
    "Example": "Example",
}
HEAD = re.compile(rf"^({'|'.join(SECTIONS)}):\s*(.*)$")
ITEM = re.compile(r"(?:^|(?<=[.;)\]] ))(\*{0,2}[A-Za-z]\w*(?:, [A-Za-z]\w*)*): ")


def literal(text: str) -> str:
    """Plain text with `code` in it; all other markup characters are escaped."""
    parts = text.split("`")
    if len(parts) % 2 == 0:  # a single backtick
        return re.sub(r"([\\*_|`])", r"\\\1", text)
    for i, part in enumerate(parts):
        parts[i] = f"``{part}``" if i % 2 else re.sub(r"([\\*_|])", r"\\\1", part)
    return "".join(parts)


def items(text: str) -> list[str]:
    """`a: first. b, c: second.` as a list of two; text without names as one paragraph."""
    found = list(ITEM.finditer(text))
    if not found:
        return [literal(text)]
    ends = [match.start() for match in found[1:]] + [len(text)]
    lead = [literal(text[: found[0].start()].strip()), ""] if found[0].start() else []
    return lead + [
        f"* ``{match[1]}``: {literal(text[match.end() : end].strip())}" for match, end in zip(found, ends, strict=True)
    ]


def section(name: str, body: list[str]) -> list[str]:
    """A term and its definition."""
    if any(line.lstrip().startswith(">>>") for line in body):
        inside = [line.strip() for line in body if line.strip()]
    elif name in ("Args", "Attributes", "Raises"):
        inside = items(" ".join(line.strip() for line in body if line.strip()))
    else:
        inside = [literal(" ".join(line.strip() for line in body if line.strip()))]
    return ["", SECTIONS[name], *(f"    {line}" if line else "" for line in inside), ""]


def paragraph(lines: list[str]) -> list[str]:
    """Text; or, where it is indented, a formula, which is kept as it is."""
    if all(line.startswith("    ") for line in lines):
        return ["", "::", "", *lines, ""]
    return ["", *map(literal, lines), ""]


def rewritten(lines: list[str]) -> list[str]:
    """A whole docstring."""
    done: list[str] = []
    at = 0
    while at < len(lines):
        if not lines[at].strip():
            at += 1
            continue
        end = at + 1
        head = HEAD.match(lines[at])
        while end < len(lines) and (
            (lines[end].strip() and not HEAD.match(lines[end]))
            or (head and lines[end : end + 2][-1].startswith(" ") and not lines[end].strip())
        ):
            if head and lines[end].strip() and not lines[end].startswith(" "):
                break
            end += 1
        block = lines[at:end]
        done += section(head[1], [head[2], *block[1:]]) if head else paragraph(block)
        at = end
    return done


def process(app: Any, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    lines[:] = rewritten(lines)


def setup(app: Any) -> dict[str, bool]:
    app.connect("autodoc-process-docstring", process)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

"""Tables of flags for narrow terminals, where the columns of the parser would break words."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from shutil import get_terminal_size

from ancestral.commands.console import listed, wrapped_at_words

NARROW = 80  # terminals with fewer characters get rewrapped tables
RENDERED = 100  # width at which the parser breaks no words and puts groups below each other
RULE = re.compile(r" -{4,} *$")
POSITIONAL = "positional arguments"


@contextmanager
def as_wide_as(columns: int) -> Iterator[None]:
    """Set the width of the terminal, as other code sees it, inside the context."""
    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = str(columns)
    try:
        yield
    finally:
        if before is None:
            del os.environ["COLUMNS"]
        else:
            os.environ["COLUMNS"] = before


def rewrapped(tables: str) -> str:
    """Convert tables without frames, as the parser writes them to a file, to lists.

    Args:      tables: rendered at `RENDERED` characters.
    """
    lines = tables.splitlines()
    titles = [number - 1 for number, line in enumerate(lines) if number and _is_title(lines, number)]
    parts = zip(titles, [*titles[1:], len(lines)], strict=True)
    return "\n".join(_group(lines[start].strip(), lines[start + 2 : end]) for start, end in parts) + "\n"


def _is_title(lines: list[str], rule: int) -> bool:
    """Whether a line is the rule below a title; the rule below the description of a group is indented further."""
    return bool(RULE.match(lines[rule])) and lines[rule - 1].startswith(" ") and not lines[rule - 1].startswith("  ")


def _group(title: str, lines: list[str]) -> str:
    entries: list[tuple[str, str]] = []
    about: list[str] = []
    for line in lines:
        text = line[2:].rstrip()
        if not text.strip() or not text.strip(" -"):
            continue
        if text.startswith("-") or (title == POSITIONAL and not text.startswith(" ")):
            name, _, said = text.partition("  ")
            entries.append((name, said.strip()))
        elif entries:
            name, said = entries[-1]
            entries[-1] = name, f"{said} {text.strip()}".strip()
        else:
            about.append(text.strip())
    head = [f"{title}:", *([wrapped_at_words(" ".join(about), get_terminal_size().columns, "  ")] if about else [])]
    return "\n".join([*head, listed(entries), ""])

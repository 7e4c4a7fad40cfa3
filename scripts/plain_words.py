"""List phrases that plain technical English replaces.

    python scripts/plain_words.py            # every tracked text
    python scripts/plain_words.py FILE ...   # only these files

Each line of `plain_words.tsv` is a regular expression and its replacement. `not_yet_plain.txt` lists the files that
still hold such phrases; a test keeps every other file free of them, and this list may only become shorter.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
KINDS = {".py", ".md", ".jinja", ".toml"}
LISTS = {"scripts/plain_words.py", "scripts/plain_words.tsv", "scripts/not_yet_plain.txt"}


def phrases() -> list[tuple[re.Pattern[str], str]]:
    """Each phrase to replace, and what to write instead."""
    rows = [line.split("\t") for line in (HERE / "plain_words.tsv").read_text().splitlines() if "\t" in line]
    return [(re.compile(pattern, re.IGNORECASE), instead) for pattern, instead in rows]


def texts() -> list[str]:
    """Tracked text files, by their path from the root."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [name for name in listed.splitlines() if Path(name).suffix in KINDS and name not in LISTS]


def found_in(name: str) -> Iterator[tuple[int, str, str]]:
    """(line, phrase, replacement) of each phrase in a file."""
    known = phrases()
    for number, line in enumerate((ROOT / name).read_text(errors="replace").splitlines(), 1):
        for pattern, instead in known:
            if match := pattern.search(line):
                yield number, match.group(0), instead


def not_yet_plain() -> set[str]:
    return set((HERE / "not_yet_plain.txt").read_text().split())


if __name__ == "__main__":
    for text in sys.argv[1:] or texts():
        for at, phrase, better in found_in(text):
            print(f"{text}:{at}: {phrase!r} -> {better}")

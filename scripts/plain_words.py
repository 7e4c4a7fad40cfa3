"""List phrases that plain technical English replaces.

    python scripts/plain_words.py                 # lines changed since the last commit
    python scripts/plain_words.py --base REV      # lines added since a revision
    python scripts/plain_words.py --all           # every tracked text
    python scripts/plain_words.py FILE ...        # only these files

Each line of `plain_words.tsv` is a regular expression and its replacement. A test checks every tracked text.
"""

from __future__ import annotations

import argparse
import re
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
KINDS = {".py", ".md", ".jinja", ".toml"}
EXEMPT = {"scripts/plain_words.py", "scripts/plain_words.tsv"}
HUNK = re.compile(r"@@ -\S+ \+(\d+)")

Found = tuple[str, int, str, str]


def git(*words: str) -> str:
    """Output of a git command in the repository.

    Raises:    SystemExit: it fails; the message is git's.
    """
    done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, errors="replace")
    if done.returncode:
        raise SystemExit(done.stderr.strip())
    return done.stdout


def phrases() -> list[tuple[re.Pattern[str], str]]:
    """Each phrase to replace, and what to write instead."""
    rows = [line.split("\t") for line in (HERE / "plain_words.tsv").read_text().splitlines() if "\t" in line]
    return [(re.compile(pattern, re.IGNORECASE), instead) for pattern, instead in rows]


def is_text(name: str) -> bool:
    return Path(name).suffix in KINDS and name not in EXEMPT


def texts() -> list[str]:
    """Tracked text files, by their path from the root."""
    return [name for name in git("ls-files").splitlines() if is_text(name) and (ROOT / name).exists()]


def lines_of(name: str) -> Iterator[tuple[str, int, str]]:
    """(file, line number, line) of a whole file."""
    for number, line in enumerate((ROOT / name).read_text(errors="replace").splitlines(), 1):
        yield name, number, line


def added_in(diff: str) -> Iterator[tuple[str, int, str]]:
    """(file, line number, line) of each line that a diff without context adds."""
    name, number, in_hunk = "", 0, False
    for line in diff.splitlines():
        if line.startswith("diff --git "):
            in_hunk = False
        elif line.startswith("+++ ") and not in_hunk:
            name = line[4:].strip().strip('"').removeprefix("b/")
        elif hunk := HUNK.match(line):
            number, in_hunk = int(hunk[1]), True
        elif line.startswith("+") and in_hunk:
            yield name, number, line[1:]
            number += 1


def added_since(base: str) -> Iterator[tuple[str, int, str]]:
    """The lines of texts that are new since a revision, those not committed included."""
    diff = git("diff", "--unified=0", "--no-color", "--no-ext-diff", base, "--")
    yield from (line for line in added_in(diff) if is_text(line[0]))
    for name in git("ls-files", "--others", "--exclude-standard").splitlines():
        if is_text(name):
            yield from lines_of(name)


def found_in(lines: Iterable[tuple[str, int, str]]) -> Iterator[Found]:
    """(file, line number, phrase, replacement) of each phrase in some lines."""
    known = phrases()
    for name, number, line in lines:
        for pattern, instead in known:
            if match := pattern.search(line):
                yield name, number, match.group(0), instead


def main() -> None:
    parser = argparse.ArgumentParser(description="List phrases that plain technical English replaces.")
    parser.add_argument("files", nargs="*", help="only these files")
    parser.add_argument("--base", metavar="REV", default="HEAD", help="lines added since this revision")
    parser.add_argument("--all", action="store_true", help="every tracked text")
    given = parser.parse_args()
    names = [str(Path(name).resolve().relative_to(ROOT)) for name in given.files] or (texts() if given.all else [])
    lines = (line for name in names for line in lines_of(name)) if names else added_since(given.base)
    count = 0
    for name, number, phrase, instead in found_in(lines):
        print(f"{name}:{number}: {phrase!r} -> {instead}")
        count += 1
    print(f"{count} phrases")


if __name__ == "__main__":
    main()

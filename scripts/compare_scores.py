"""Compare the scores of the runs in two folders, for example before and after a change that must not alter a number.

    ancestral study tour --out before          # with the old code
    ancestral study tour --out after           # with the new code
    python scripts/compare_scores.py before after

Every `scores.json` below the first folder is compared with that of the same path below the second. Exit code 1: a
score is absent or differs in its last bit.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

NAME = "scores.json"
COMPARED = ("nats", "stderr", "count", "kind", "side", "space", "split", "method")


def scores_in(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """The scores of each run below a folder, by the path of the run."""
    paths = sorted(folder.rglob(NAME))
    return {path.parent.relative_to(folder).as_posix(): list(_records(json.loads(path.read_text()))) for path in paths}


def _records(stored: Any) -> Iterator[dict[str, Any]]:
    """Every record with a score in it, however it is nested."""
    if isinstance(stored, dict):
        if "nats" in stored:
            yield stored
        for value in stored.values():
            yield from _records(value)
    elif isinstance(stored, list):
        for value in stored:
            yield from _records(value)


def differences(before: Path, after: Path) -> Iterator[str]:
    """One line for each score that is absent or differs."""
    old, new = scores_in(before), scores_in(after)
    for run, scores in old.items():
        found = new.get(run)
        if found is None:
            yield f"{run}: no scores in {after}"
        elif len(found) != len(scores):
            yield f"{run}: {len(scores)} scores before, {len(found)} after"
        else:
            for first, second in zip(scores, found, strict=True):
                for name in COMPARED:
                    if first.get(name) != second.get(name):
                        yield f"{run}: {name} {first.get(name)} before, {second.get(name)} after"
    for run in new.keys() - old.keys():
        yield f"{run}: no scores in {before}"


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare the scores of the runs in two folders.")
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    given = parser.parse_args()
    count = sum(map(len, scores_in(given.before).values()))
    if not count:
        sys.exit(f"no {NAME} below {given.before}")
    found = list(differences(given.before, given.after))
    print("\n".join([*found, f"{count} scores compared, {len(found)} differences"]))
    sys.exit(bool(found))


if __name__ == "__main__":
    main()

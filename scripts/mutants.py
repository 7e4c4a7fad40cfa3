"""Deliberate mistakes, one at a time, each of which the tests must catch.

    python scripts/mutants.py [--only WORD ...] [--jobs 2] [--list]

The files in `scripts/mutants` list them: a file, a piece of it, what takes its place, what is wrong with that, and the
tests that must fail. Each is applied to a copy of the source tree, and its tests are run there. The command fails where
a piece does not occur exactly once (the code has changed: write the mutant anew), where the tests fail without it, and
where they pass with it.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
COPIED = ("src", "tests", "examples", "docs", "scripts", "pyproject.toml", "README.md", "Makefile")
LIMIT = 600  # seconds for the tests of one mutant


class Mutant(NamedTuple):
    """One deliberate mistake.

    Args:      name: of the mutant. file: it changes, from the root. old: the piece, which occurs once. new: what takes
               its place. wrong: what is wrong with that. tests: arguments of pytest.
    """

    name: str
    file: str
    old: str
    new: str
    wrong: str
    tests: tuple[str, ...]

    @property
    def problem(self) -> str:
        """Why it cannot be applied; empty where it can."""
        count = (ROOT / self.file).read_text().count(self.old) if (ROOT / self.file).exists() else 0
        return "" if count == 1 and self.old != self.new else f"its piece occurs {count} times in {self.file}"


def mutants() -> list[Mutant]:
    """All of them, in the order of the files."""
    found = []
    for path in sorted((ROOT / "scripts" / "mutants").glob("*.toml")):
        content = tomllib.loads(path.read_text())
        found += [
            Mutant(
                f"{path.stem}: {one['wrong']}", one["file"], one["old"], one["new"], one["wrong"], tuple(one["tests"])
            )
            for one in content["mutant"]
        ]
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the mutants; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", default=[], help="mutants whose name has one of these words")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--no-baseline", action="store_true", help="trust that the tests pass without a mutant")
    parser.add_argument("--list", action="store_true", help="name them, and run nothing")
    chosen = parser.parse_args(arguments)
    wanted = [m for m in mutants() if not chosen.only or any(word in m.name for word in chosen.only)]
    gone = [f"{mutant.name}: {mutant.problem}" for mutant in wanted if mutant.problem]
    for line in gone:
        print(f"NO LONGER APPLIES  {line}")
    if chosen.list:
        print(*(mutant.name for mutant in wanted), sep="\n")
    if chosen.list or gone:
        return 1 if gone else 0
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(chosen.jobs) as pool:
        free = [_copy(Path(folder) / str(number)) for number in range(chosen.jobs)]

        def passes(tests: tuple[str, ...]) -> bool:
            copy = free.pop()
            try:
                return _pass(tests, copy)
            finally:
                free.append(copy)

        sets = [] if chosen.no_baseline else list(dict.fromkeys(mutant.tests for mutant in wanted))
        broken = [tests for tests, passed in zip(sets, pool.map(passes, sets), strict=True) if not passed]
        if broken:
            print(*(f"FAILS WITHOUT A MUTANT  {' '.join(args)}" for args in broken), sep="\n")
            return 1

        def caught(mutant: Mutant) -> bool:
            copy = free.pop()
            try:
                return _caught(mutant, copy)
            finally:
                free.append(copy)

        survived = []
        for mutant, found in zip(wanted, pool.map(caught, wanted), strict=True):
            print(f"{'caught  ' if found else 'SURVIVED'}  {mutant.name}", flush=True)
            survived += [] if found else [mutant]
    print(f"{len(wanted) - len(survived)} of {len(wanted)} caught")
    return 1 if survived else 0


def _copy(folder: Path) -> Path:
    """A copy of what the tests need."""
    folder.mkdir()
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__", "_build"))
        else:
            shutil.copy2(source, folder / name)
    return folder


def _caught(mutant: Mutant, copy: Path) -> bool:
    """Whether the tests fail with the mutant in place."""
    path = copy / mutant.file
    whole = path.read_text()
    path.write_text(whole.replace(mutant.old, mutant.new))
    try:
        return not _pass(mutant.tests, copy)
    finally:
        path.write_text(whole)


def _pass(tests: Sequence[str], copy: Path) -> bool:
    """Whether tests pass in a copy. No bytecode is written: a mutant may change a file within its clock's tick."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(copy / "src"),
        "PYTHONDONTWRITEBYTECODE": "1",
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, "-m", "pytest", "-x", "-p", "no:cacheprovider", *tests]
    try:
        done = subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True, timeout=LIMIT)
    except subprocess.TimeoutExpired:
        return False
    if done.returncode not in (0, 1):
        raise SystemExit(f"pytest {' '.join(tests)} ended with {done.returncode}:\n{done.stdout[-2000:]}")
    return done.returncode == 0


if __name__ == "__main__":
    raise SystemExit(main())

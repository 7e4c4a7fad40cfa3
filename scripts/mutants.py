"""Mutation tests: deliberate mistakes, made one at a time, that the tests must catch.

    python scripts/mutants.py [--area AREA ...] [--only WORD ...] [--jobs 2] [--list] [--no-baseline]

The files in `scripts/mutants` list the mistakes by area. Each entry has a file of the package, a piece of its text, the
replacement, a description, and the tests that must fail. First, all these tests run without a mutant. Then each mutant
is applied to a copy of the source tree, and its tests run there in a separate process. The command fails if a piece
does not occur exactly once (the code has changed: rewrite the mutant), if a test fails without a mutant, or if the
tests of a mutant pass, take longer than the limit or cannot be run.
"""

from __future__ import annotations

import argparse
import ast
import multiprocessing
import os
import shutil
import sys
import tempfile
import time
import tomllib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
COPIED = ("src", "tests", "examples", "docs", "scripts", "pyproject.toml", "README.md", "Makefile")
LIMIT = 300  # seconds for the tests of one mutant
TOO_LONG = 124
# bytecode is disabled, because a mutant may change a file within the resolution of its time stamp
os.environ |= {"PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}
sys.dont_write_bytecode = True
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["torch", "scipy.stats", "sklearn.datasets", "matplotlib.figure", "tyro", "pytest"])
"""Packages that all tests import and no mutant changes are imported once, because that takes longer than most tests."""
OUTCOMES = {0: "SURVIVED", 1: "caught", TOO_LONG: "TOO LONG"}  # by exit code; any other code: the tests did not run


class Mutant(NamedTuple):
    """One deliberate mistake.

    Args:      area: the file that lists it. file: the file to change, relative to the root. old: the piece to replace,
               which must occur once. new: the replacement. wrong: description of the mistake. tests: arguments of
               pytest: names such as `tests/x.py::test_y`, or a file and `-k` with words.
    """

    area: str
    file: str
    old: str
    new: str
    wrong: str
    tests: tuple[str, ...]

    @property
    def name(self) -> str:
        return f"{self.area}: {self.wrong}"

    @property
    def problem(self) -> str:
        """Why the mutant cannot be applied or tested; empty if it can."""
        path = ROOT / self.file
        count = path.read_text().count(self.old) if path.exists() else 0
        if count != 1 or self.old == self.new:
            return f"its piece occurs {count} times in {self.file}"
        if path.suffix == ".py":
            try:
                ast.parse(self.changed(path.read_text()))
            except SyntaxError as error:
                return f"{self.file} with it is no Python: {error}"
        missing = [test for test in self.tests if test.startswith("tests/") and not _exists(test)]
        return f"no test {missing[0]}" if missing else ("" if self.tests else "it names no test")

    def changed(self, text: str) -> str:
        """The text of the file with the mistake."""
        return text.replace(self.old, self.new)


def mutants() -> list[Mutant]:
    """All mutants, in the order of the files."""
    return [
        Mutant(path.stem, one["file"], one["old"], one["new"], one["wrong"], tuple(one["tests"]))
        for path in sorted((ROOT / "scripts" / "mutants").glob("*.toml"))
        for one in tomllib.loads(path.read_text())["mutant"]
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the mutants; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", default=[], help="mutants whose name has one of these words")
    parser.add_argument("--area", nargs="*", default=[], help="mutants of these areas: the names of the files")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes at once")
    parser.add_argument("--no-baseline", action="store_true", help="skip the run without a mutant")
    parser.add_argument("--list", action="store_true", help="print their names and run nothing")
    chosen = parser.parse_args(arguments)
    wanted = [
        mutant
        for mutant in mutants()
        if (not chosen.area or mutant.area in chosen.area)
        and (not chosen.only or any(word in mutant.name for word in chosen.only))
    ]
    problems = [f"NO LONGER APPLIES  {mutant.name}: {mutant.problem}" for mutant in wanted if mutant.problem]
    if chosen.list:
        print(*(mutant.name for mutant in wanted), sep="\n")
    if problems or not wanted:
        print(*problems or ["no mutant of that name"], sep="\n")
        return 1
    return 0 if chosen.list else _run(wanted, chosen.jobs, baseline=not chosen.no_baseline)


def _run(wanted: Sequence[Mutant], jobs: int, baseline: bool) -> int:
    """Run the tests without a mutant if `baseline` is true, then with each mutant; returns the exit code."""
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(jobs) as pool:
        free: SimpleQueue[Path] = SimpleQueue()
        for number in range(jobs):
            free.put(_copy(Path(folder) / str(number)))
        if baseline and (broken := _broken(wanted, free, pool, jobs)):
            print(*broken, sep="\n")
            return 1

        def outcome(mutant: Mutant) -> tuple[str, float]:
            copy, started = free.get(), time.monotonic()
            try:
                return _outcome(mutant, copy), time.monotonic() - started
            finally:
                free.put(copy)

        missed = []
        for mutant, (found, seconds) in zip(wanted, pool.map(outcome, wanted), strict=True):
            print(f"{found:9} {seconds:4.0f} s  {mutant.name}", flush=True)
            if found != OUTCOMES[1]:
                missed.append(f"{found:9} {mutant.name}\n          {mutant.file}; {', '.join(mutant.tests)}")
    print(f"\n{len(wanted) - len(missed)} of {len(wanted)} caught")
    print(*missed, sep="\n")
    return 1 if missed else 0


def _exists(test: str) -> bool:
    path, _, function = test.partition("::")
    there = ROOT / path
    return there.is_file() and (not function or f"def {function.partition('[')[0]}(" in there.read_text())


def _copy(folder: Path) -> Path:
    """A copy of the files that the tests need."""
    folder.mkdir()
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__", "_build"))
        else:
            shutil.copy2(source, folder / name)
    return folder


def _broken(wanted: Sequence[Mutant], free: SimpleQueue[Path], pool: ThreadPoolExecutor, jobs: int) -> list[str]:
    """Failures without a mutant, a line each.

    Tests that are given by name run together, in `jobs` processes; tests that are selected by words run by file.
    """
    named = tuple(dict.fromkeys(test for mutant in wanted if "-k" not in mutant.tests for test in mutant.tests))
    words: dict[tuple[str, ...], dict[str, None]] = {}
    for mutant in wanted:
        if "-k" in mutant.tests:
            *files, _, expression = mutant.tests
            words.setdefault(tuple(files), {})[f"({expression})"] = None
    sets = [named[number::jobs] for number in range(jobs)]
    sets += [(*files, "-k", " or ".join(expressions)) for files, expressions in words.items()]

    def run(tests: tuple[str, ...]) -> tuple[int, str]:
        copy = free.get()
        try:
            return _pytest(tests, copy)
        finally:
            free.put(copy)

    return [
        line
        for code, output in pool.map(run, filter(None, sets))
        if code
        for line in [f"FAILS WITHOUT A MUTANT (exit code {code})", *output.splitlines()[-10:]]
    ]


def _outcome(mutant: Mutant, copy: Path) -> str:
    """Outcome of the tests with the mutant: a value of `OUTCOMES`, or the reason why they did not run."""
    path = copy / mutant.file
    whole = path.read_text()
    path.write_text(mutant.changed(whole))
    try:
        code, _ = _pytest(mutant.tests, copy)
        return OUTCOMES.get(code, f"NOT RUN (exit code {code})")
    finally:
        path.write_text(whole)


def _pytest(tests: Sequence[str], copy: Path) -> tuple[int, str]:
    """Run tests in a copy, in a separate process; returns exit code and output."""
    limit = LIMIT + 10 * len(tests)
    output = copy / "output.txt"
    process = PROCESSES.Process(target=_run_tests, args=(tuple(tests), copy, output))
    process.start()
    process.join(limit)
    if process.is_alive():
        process.kill()
        process.join()
        return TOO_LONG, f"longer than {limit} seconds"
    return process.exitcode or 0, output.read_text(errors="replace")


def _run_tests(tests: Sequence[str], copy: Path, output: Path) -> None:
    """The work of a process, which exits with the exit code of pytest. Tests may start further processes."""
    handle = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    os.chdir(copy)
    os.environ["PYTHONPATH"] = str(copy / "src")
    sys.path[:0] = [str(copy / "src")]
    import pytest

    code = int(pytest.main(["-x", "-p", "no:cacheprovider", *tests]))
    sys.stdout.flush()
    os._exit(code)  # exits even if a test has left a thread running


if __name__ == "__main__":
    raise SystemExit(main())

"""Open damaged run folders: each must be opened or refused with one line, without hangs or crashes.

The runs are test fixtures from an earlier version. Each case copies a run, with or without its manifest, changes a
value in a JSON file, some bits, or the length of a file, and opens the run. A changed file that is listed in the
manifest must be refused.

    python scripts/fuzz_runs.py --count 500 --seed 0 [--file settings.json]
"""

from __future__ import annotations

import argparse
import json
import logging
import random
import resource
import shutil
import signal
import sys
import tempfile
import traceback
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Any

from ancestral.core.errors import InputError
from ancestral.runs.records import BRACKET, QUALITY, SCORES
from ancestral.runs.run import Run

FIXTURES = Path(__file__).parents[1] / "tests" / "fixtures" / "runs_e7fe433"
RECORDS = {"scores.json": SCORES, "quality.json": QUALITY, "bracket.json": BRACKET}
JSON_FILES = ("model/config.json", "settings.json", "training.json", "health.json", *RECORDS)
BINARY_FILES = ("model/model.safetensors", "checkpoint/state.safetensors")
ALL_FILES = (*JSON_FILES, *BINARY_FILES, "log.jsonl")
SECONDS = 2  # processor time, because the machine may be busy with other work
MEMORY = 4 << 30  # bytes beyond the memory of the process at its start
DEEP: Any = 0
for _ in range(900):
    DEEP = [DEEP]
VALUES: tuple[Any, ...] = (
    -1, 0, 1, 2**20, 2**31, 2**70, 1e308, float("nan"), "", "x", [], {}, [[]], None, True, DEEP, list(range(200_000)),
    {"class": "MLP"}, {"class": "own:Nothing"},
)  # fmt: skip


class TooLong(BaseException):
    """A case took longer than `SECONDS`."""


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path to each value inside a JSON value, including the value itself."""
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, part in parts for place in places(part, (*path, key)))]


def changed_json(content: bytes, chance: random.Random) -> bytes:
    """The file with one value replaced, removed, or moved to another name."""
    value = json.loads(content)
    place = chance.choice(places(value))
    new = chance.choice(VALUES)
    if not place:
        return json.dumps(new).encode()
    holder = value
    for key in place[:-1]:
        holder = holder[key]
    kind = chance.random()
    if kind < 0.8:
        holder[place[-1]] = new
    elif kind < 0.9:
        del holder[place[-1]]
    elif isinstance(holder, dict):
        holder["unknown"] = holder.pop(place[-1])
    return json.dumps(value).encode()


def changed_bytes(content: bytes, chance: random.Random) -> bytes:
    """The file with a few bits flipped, or truncated."""
    if chance.random() < 0.25:
        return content[: chance.randrange(len(content))]
    damaged = bytearray(content)
    most = len(content) if chance.random() < 0.5 else min(400, len(content))  # damage the header more often
    for _ in range(chance.choice((1, 1, 4))):
        damaged[chance.randrange(most)] ^= 1 << chance.randrange(8)
    return bytes(damaged)


def opened(path: Path, name: str) -> None:
    """Use the file as a command would."""
    run = Run(path)
    _ = run.settings
    if name.startswith("checkpoint"):
        run.state()
    elif name == "log.jsonl":
        run.log()
    elif name == "training.json":
        _ = run.outcome
    elif name == "health.json":
        _ = run.health
    elif name in RECORDS:
        RECORDS[name].of(run)
    elif name.startswith("model"):
        run.load()


def case(folder: Path, chance: random.Random, only: str | None = None) -> tuple[str, str]:
    """Damage and open one run; returns the damage and the outcome. Outcomes that begin with `FAULT` are errors.

    Args:      only: the file to damage; default: a random one.
    """
    fixtures = sorted(path.name for path in FIXTURES.iterdir() if (path / (only or "settings.json")).exists())
    path = Path(shutil.copytree(FIXTURES / chance.choice(fixtures), folder))
    names = [name for name in ALL_FILES if (path / name).exists()]
    sealed = chance.random() < 0.3
    if sealed:
        Run(path).manifest.write()
    names = [only] if only else names
    weights = [3 if name in ("model/config.json", "settings.json") else 1 for name in names]
    name = chance.choices(names, weights)[0]
    before = (path / name).read_bytes()
    as_json = name.endswith(".json") and chance.random() < 0.8
    after = changed_json(before, chance) if as_json else changed_bytes(before, chance)
    (path / name).write_bytes(after)
    what = f"{path.name}: {name}{', listed' if sealed else ''}"
    try:
        opened(path, name)
    except InputError as error:
        return what, "refused" if "\n" not in str(error) else f"FAULT: several lines: {error}"
    except TooLong:
        return what, "FAULT: it takes too long"
    except Exception:
        return what, f"FAULT: {traceback.format_exc()}"
    return what, "FAULT: the change was not noticed" if sealed and after != before else "opened"


def run_cases(
    count: int, seed: int, folder: Path, seconds: int = SECONDS, only: str | None = None
) -> tuple[Counter[str], list[str]]:
    """Open `count` damaged runs; returns numbers of refused and opened runs, and a description of each fault."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise TooLong

    previous = signal.signal(signal.SIGPROF, stop)
    found: Counter[str] = Counter()
    faults = []
    try:
        for number in range(count):
            place = folder / f"case-{number}"
            signal.setitimer(signal.ITIMER_PROF, seconds)
            what, outcome = case(place, random.Random(f"{seed}/{number}"), only)
            signal.setitimer(signal.ITIMER_PROF, 0)
            shutil.rmtree(place)
            found[outcome.partition(":")[0]] += 1
            if outcome.startswith("FAULT"):
                faults.append(f"case {number} of seed {seed}, {what}: {outcome}")
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, previous)
    return found, faults


def main() -> int:
    """Run the cases given on the command line; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=500, help="number of damaged runs")
    parser.add_argument("--seed", type=int, default=0, help="random seed of the damage")
    parser.add_argument("--file", choices=ALL_FILES, help="damage this file in each run (default: a random file)")
    arguments = parser.parse_args()
    logging.getLogger("ancestral").setLevel(logging.ERROR)  # thousands of notices
    for fixture in sorted(FIXTURES.glob("*/model")):
        Run(fixture.parent).load()  # so that imports at first use are not part of a case
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    with tempfile.TemporaryDirectory() as folder:
        found, faults = run_cases(arguments.count, arguments.seed, Path(folder), only=arguments.file)
    for fault in faults:
        print(fault)
    print(", ".join(f"{number} {outcome}" for outcome, number in sorted(found.items())))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())

"""Measure the workloads: `make bench`, or `python -m benchmarks [NAME ...]`.

A NAME is the beginning of the name of a workload, such as `vae` or `em-500`; without names all are measured. Results
are written to benchmarks/results, with one table and one picture of everything that is stored there.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from benchmarks.harness import environment
from benchmarks.harness.catalogue import workloads
from benchmarks.harness.measure import measure
from benchmarks.harness.report import PICTURE, RESULTS, keep, noise, picture, short_table, stored, table

ROUNDS, QUICK_ROUNDS = 7, 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="beginnings of names of workloads (default: all)")
    parser.add_argument("--rounds", type=int, help=f"rounds of each contestant (default: {ROUNDS})")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_ROUNDS} rounds, one thread")
    parser.add_argument("--peers", action="store_true", help="first make the environment of the other packages")
    parser.add_argument("--list", action="store_true", help="list the workloads")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for the results")
    args = parser.parse_args()
    known = workloads()
    if args.list:
        for name, one in known.items():
            print(f"{name:18} {one.title}: {one.work}; {', '.join(part.name for part in one.contestants)}")
        return
    wrong = [name for name in args.names if not any(one.startswith(name) for one in known)]
    if wrong:
        parser.error(f"no workload begins with {wrong[0]!r}: choose among {', '.join(known)}")
    if args.peers:
        for line in environment.make():
            print(f"not installed: {line}", file=sys.stderr)
    if environment.interpreter() is None:
        print("the environment of the other packages does not exist: add --peers to make it", file=sys.stderr)
    chosen = [one for name, one in known.items() if not args.names or name.startswith(tuple(args.names))]
    begun = time.monotonic()
    for one in chosen:
        started = time.monotonic()
        rounds = args.rounds or (QUICK_ROUNDS if args.quick else ROUNDS)
        results = measure(one, max(1, rounds), threads=(1,) if args.quick else ())
        keep(results, args.out)
        for name, why in results["missing"].items():
            print(f"{one.name}: {name} is not measured: {why}", file=sys.stderr)
        for line in noise([results]):
            print(f"not quiet, {line}", file=sys.stderr)
        print(f"{one.name}: {time.monotonic() - started:.0f} s", file=sys.stderr)
    found = stored(args.out)
    (args.out / "table.md").write_text(table(found))
    (args.out / "short.md").write_text(short_table(found))
    picture(found, PICTURE if args.out == RESULTS else args.out / "speed.png")
    print(table(found))
    print(f"{len(chosen)} workloads in {(time.monotonic() - begun) / 60:.1f} minutes", file=sys.stderr)


if __name__ == "__main__":
    main()

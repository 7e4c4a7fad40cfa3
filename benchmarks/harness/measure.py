"""Measures a workload: a child process for each contestant, which take turns in every round."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from benchmarks.harness import environment
from benchmarks.harness.declarations import Contestant, Workload
from benchmarks.harness.machine import ROOT, machine, quietness
from benchmarks.harness.statistics import Summary, paired_ratio, turns


class Child:
    """The process of one contestant. `missing` says why it cannot run; it is "" if it can."""

    def __init__(self, workload: Workload, contestant: Contestant, tiny: bool = False) -> None:
        python = environment.interpreter() if contestant.role == "peer" else None
        paths = [str(ROOT), str(ROOT / "src"), os.environ.get("PYTHONPATH", "")]
        # thread counts are set in the process; the largest one here, because some libraries only lower it later
        threads = str(max(workload.threads))
        values = {"PYTHONPATH": os.pathsep.join(filter(None, paths)), "OMP_NUM_THREADS": threads}
        values |= {"MKL_NUM_THREADS": threads, "PYTHONWARNINGS": "ignore"}
        words = ["--tiny"] * tiny + ["--", workload.name, contestant.name]
        self.name, self.most_threads, self.missing = contestant.name, contestant.most_threads, ""
        self.versions: dict[str, str] = {}
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115
        self._process = subprocess.Popen(
            [python or sys.executable, "-m", "benchmarks.harness.child", *words],
            env=os.environ | values,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )

    def wait(self) -> None:
        """Wait until it is set up."""
        found = self._read()
        self.missing, self.versions = found.get("missing", ""), found.get("versions", {})

    def repeat(self, threads: int) -> dict[str, float]:
        """One repetition: wall and CPU seconds, and added megabytes."""
        assert self._process.stdin is not None
        print(threads, file=self._process.stdin, flush=True)
        return self._read()

    def close(self) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()
        self._errors.close()

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if line:
            return json.loads(line)
        self._process.wait()
        self._errors.seek(0)
        last = self._errors.read().strip().splitlines()[-12:]
        raise RuntimeError(f"{self.name} failed:\n" + "\n".join(last))


def measure(workload: Workload, rounds: int, tiny: bool = False, threads: Sequence[int] = ()) -> dict[str, Any]:
    """Results of a workload, ready for JSON.

    Args:      rounds: counted repetitions of each contestant and number of threads, after one for warming up.
    """
    quiet, rounds = quietness(), min(rounds, workload.most_rounds)
    children, missing = [], {}
    started = [Child(workload, one, tiny) for one in workload.contestants]
    try:
        for child in started:
            child.wait()
            if child.missing:
                missing[child.name] = child.missing
            else:
                children.append(child)
        found = {
            str(count): _rounds(children, rounds, count, workload.measure) for count in threads or workload.threads
        }
    finally:
        for child in started:
            child.close()
    return {
        "workload": workload.name,
        "title": workload.title,
        "work": workload.work,
        "along": workload.along,
        "measure": workload.measure,
        "roles": {one.name: one.role for one in workload.contestants},
        "missing": missing,
        "machine": machine(),
        "versions": {name: version for child in children for name, version in child.versions.items()},
        "quiet_before": quiet,
        "quiet_after": quietness(),
        "threads": found,
    }


def _rounds(children: list[Child], rounds: int, threads: int, quantity: str) -> dict[str, Any]:
    children = [child for child in children if child.most_threads >= threads]
    by_name = {child.name: child for child in children}
    values: dict[str, dict[str, list[float]]] = {name: {quantity: [], "cpu": []} for name in by_name}
    if quantity == "seconds":  # memory is added in the first repetition only
        for child in children:
            child.repeat(threads)
    for order in turns(list(by_name), 1 if quantity == "megabytes" else rounds):
        for name in order:
            found = by_name[name].repeat(threads)
            for kind, kept in values[name].items():
                kept.append(round(found[kind], 5))
    return values


def summary(results: dict[str, Any], threads: str) -> dict[str, dict[str, Any]]:
    """For each contestant: median and range, and the ratio of its value to that of ours in the same round.

    A ratio above 1 means that ours is faster. That of the limit is the share of our time that its products need.
    """
    values, ours = results["threads"][threads], next(name for name, role in results["roles"].items() if role == "ours")
    kind = results["measure"]
    return {
        name: {
            kind: asdict(Summary.of(one[kind])),
            "cpu": asdict(Summary.of(one["cpu"])),
            "over_ours": asdict(paired_ratio(one[kind], values[ours][kind])),
            "cpu_over_ours": asdict(paired_ratio(one["cpu"], [max(v, 1e-9) for v in values[ours]["cpu"]])),
        }
        for name, one in values.items()
    }

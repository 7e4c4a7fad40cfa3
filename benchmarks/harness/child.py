"""The process of one contestant: sets up, then does one repetition for each line that it reads.

    python -m benchmarks.harness.child WORKLOAD CONTESTANT [--tiny]

Each line on stdin is a number of threads. The answer is a line of JSON: wall and CPU seconds, and the memory that the
repetition added at its peak. Output of packages goes to stderr, because stdout has only answers.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import os
import resource
import sys
import time
from typing import Any, TextIO


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("workload")
    parser.add_argument("contestant")
    parser.add_argument("--tiny", action="store_true")
    args = parser.parse_args()
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    from benchmarks.harness.catalogue import workload
    from benchmarks.harness.declarations import Missing
    from benchmarks.harness.machine import versions

    contestant = workload(args.workload).contestant(args.contestant)
    try:
        for package in contestant.needs:
            importlib.import_module(package)
        _prepare()
        repetition = contestant.setup(args.tiny)
    except (Missing, ModuleNotFoundError) as error:
        _answer(answers, {"missing": str(error)})
        return
    _answer(answers, {"ready": True, "versions": versions()})
    for line in sys.stdin:
        with _threads(int(line)):
            peak, wall, cpu = _peak(), time.perf_counter(), _cpu()
            repetition()
            found = {"seconds": time.perf_counter() - wall, "cpu": _cpu() - cpu, "megabytes": _peak() - peak}
        _answer(answers, found)


def _prepare() -> None:
    """Equal conditions for all contestants: large freed blocks stay in the process, and a fixed random seed."""
    import torch

    from ancestral.core.threads import keep_large_blocks

    keep_large_blocks()
    torch.manual_seed(0)


@contextlib.contextmanager
def _threads(count: int):
    import torch
    from threadpoolctl import threadpool_limits

    torch.set_num_threads(count)
    os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = str(count)  # for processes that it starts
    with threadpool_limits(count):
        yield


def _peak() -> float:
    """Largest memory of the process so far, in megabytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _cpu() -> float:
    """CPU seconds of the process and of finished children."""
    return time.process_time() + sum(os.times()[2:4])


def _answer(stream: TextIO, values: dict[str, Any]) -> None:
    print(json.dumps(values), file=stream, flush=True)


if __name__ == "__main__":
    main()

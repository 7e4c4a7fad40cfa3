"""All workloads: each file in `benchmarks/workloads` has a tuple `WORKLOADS`."""

from __future__ import annotations

import importlib
import pkgutil

import benchmarks.workloads
from benchmarks.harness.declarations import Workload


def workloads() -> dict[str, Workload]:
    """Every workload by its name."""
    found = {}
    for module in sorted(pkgutil.iter_modules(benchmarks.workloads.__path__), key=lambda one: one.name):
        declared = getattr(importlib.import_module(f"benchmarks.workloads.{module.name}"), "WORKLOADS", ())
        found |= {one.name: one for one in declared}
    return found


def workload(name: str) -> Workload:
    return workloads()[name]

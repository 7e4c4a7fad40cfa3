"""The machine, the versions, and whether the machine is quiet."""

from __future__ import annotations

import datetime
import os
import platform
import subprocess
import time
from importlib import metadata
from pathlib import Path
from typing import Any

from benchmarks.harness.statistics import relative_spread

ROOT = Path(__file__).parents[2]
MOST_LOAD = 0.5  # cores that other processes use
MOST_SPREAD = 0.15  # of the time of one repeated product
PACKAGES = ("torch", "numpy", "pythae", "zuko", "normflows", "pytorch-lightning", "scikit-learn", "jax")


def machine() -> dict[str, Any]:
    """Processor, cores, system, date, commit and versions."""
    info = Path("/proc/cpuinfo")
    names = [line for line in info.read_text().splitlines() if "model name" in line] if info.exists() else []
    return {
        "cpu": names[0].partition(":")[2].strip() if names else platform.processor(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": _git("rev-parse", "--short", "HEAD") + ("-changed" if _git("status", "--porcelain", "src") else ""),
    }


def versions() -> dict[str, str]:
    """Versions of the packages that are installed, by name."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def busy_cores(seconds: float = 0.5) -> float:
    """Cores in use while this process sleeps, those that the host gave to others included.

    The contestants wait for their turn then. The system's load average would not serve: over a minute, it counts the
    benchmark itself. It is used where the system has no `/proc/stat`.
    """
    counters = Path("/proc/stat")
    if not counters.exists():
        return os.getloadavg()[0]

    def read() -> tuple[int, int]:
        user, nice, system, idle, waiting, *rest = (int(word) for word in counters.read_text().split()[1:9])
        used = user + nice + system + sum(rest)
        return used, used + idle + waiting

    used, total = read()
    time.sleep(seconds)
    used_then, total_then = read()
    return (os.cpu_count() or 1) * (used_then - used) / max(1, total_then - total)


def quietness() -> dict[str, Any]:
    """Load, the spread of 40 equal matrix products, their median time, and what is wrong ("" if quiet)."""
    import torch

    load, before = busy_cores(), torch.get_num_threads()
    torch.set_num_threads(1)
    a, times = torch.randn(768, 768), []
    for _ in range(45):
        started = time.perf_counter()
        _ = a @ a
        times.append(time.perf_counter() - started)
    torch.set_num_threads(before)
    spread = relative_spread(times[5:])
    wrong = [f"load {load:.1f}"] if load > MOST_LOAD else []
    wrong += [f"equal products differ by {spread:.0%}"] if spread > MOST_SPREAD else []
    return {
        "load": round(load, 2),
        "spread": round(spread, 3),
        "product_ms": round(1e3 * sorted(times[5:])[20], 2),
        "noise": " and ".join(wrong),
    }


def _git(*words: str) -> str:
    done = subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""

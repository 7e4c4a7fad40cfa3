"""The environment of the other packages, outside the repository.

It sees the packages of the project's environment through a `.pth` file, so torch is not installed a second time.
"""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

from benchmarks.harness.machine import ROOT

PEERS = ("pythae", "normflows", "zuko", "pytorch-lightning", "scikit-learn", "jax")


def folder() -> Path:
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "ancestral" / f"benchmark-peers-{sys.version_info.major}.{sys.version_info.minor}"


def interpreter() -> str | None:
    """The interpreter of the environment, or None if it does not exist."""
    path = folder() / "bin" / "python"
    return str(path) if path.exists() else None


def make() -> list[str]:
    """Make the environment and install what is missing in it. Returns one line for each package that cannot be
    installed."""
    path = folder()
    if interpreter() is None:
        venv.create(path, with_pip=True)
    python = str(path / "bin" / "python")
    ask = [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    site = Path(subprocess.run(ask, capture_output=True, text=True, check=True).stdout.strip())
    (site / "project.pth").write_text(sysconfig.get_path("purelib") + "\n")
    failed = []
    for name in PEERS:
        words = ["install", "--quiet", "--disable-pip-version-check", "--prefer-binary", name]
        words += ["--constraint", str(ROOT / "constraints.txt")]
        done = subprocess.run([python, "-m", "pip", *words], capture_output=True, text=True, check=False)
        if done.returncode:
            failed.append(f"{name}: {done.stderr.strip().splitlines()[-1] if done.stderr.strip() else 'pip failed'}")
    return failed

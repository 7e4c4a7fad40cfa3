"""Studies of MNIST under `--quick`, for their tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from ancestral.commands.main import main
from ancestral.data.datasets import dataset_status

needs_mnist = pytest.mark.skipif(
    dataset_status("mnist").state != "ready", reason="MNIST is not on this machine: set ANCESTRAL_DATA"
)


def carried_out(name: str, folders: pytest.TempPathFactory) -> Path:
    """Run a study with `--quick`; returns its folder."""
    out = folders.mktemp(name) / "out"
    assert main(["study", name, "--quick", "--out", str(out)]) == 0
    return out

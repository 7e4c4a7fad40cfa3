"""Studies of MNIST, carried out quickly: what the tests of each share."""

from __future__ import annotations

from pathlib import Path

import pytest

from ancestral.commands.main import main
from ancestral.data.datasets import dataset_status

needs_mnist = pytest.mark.skipif(
    dataset_status("mnist").state != "ready", reason="MNIST is not on this machine: set ANCESTRAL_DATA"
)


def carried_out(name: str, folders: pytest.TempPathFactory) -> Path:
    """The folder of a study that has just been made quickly."""
    out = folders.mktemp(name) / "out"
    assert main(["study", name, "--quick", "--out", str(out)]) == 0
    return out

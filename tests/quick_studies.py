"""Studies of MNIST under `--quick`, for their tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from ancestral.commands.main import main
from ancestral.data.datasets import dataset_status

needs_mnist = pytest.mark.skipif(
    dataset_status("mnist").state != "ready", reason="MNIST is not on this machine: set ANCESTRAL_DATA"
)


MB = 1_000_000
STUDY_MB, TOUR_MB = 8, 3  # how heavy the page of a study, and that of the tour, may be
SHEET = 110_000  # bytes of 64 images of pure noise in MNIST's size, the heaviest sheet of samples
EMBEDDED = 2 * 4 / 3  # each picture is in a page twice, to look at and to download, as base64


def carried_out(name: str, folders: pytest.TempPathFactory, *options: str) -> Path:
    """Run a study with `--quick` and other options; returns its folder."""
    out = folders.mktemp(name) / "out"
    assert main(["study", name, "--quick", "--out", str(out), *options]) == 0
    return out

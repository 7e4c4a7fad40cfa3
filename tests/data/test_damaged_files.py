"""Damaged files of all kinds are read or raise an error of one line, see scripts/fuzz_readers.py."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from helpers import ROOT

sys.path.insert(0, str(ROOT / "scripts"))
import fuzz_readers


@pytest.mark.parametrize("kind", fuzz_readers.KINDS)
def test_damaged_files_are_read_or_refused(tmp_path, kind):
    if kind in ("csv", "npy"):  # one of the .npy files holds points
        pytest.importorskip("ancestral.data.tables")
    counts, faults = fuzz_readers.fuzz(kind, 60, 1, tmp_path)
    assert not faults
    assert counts["refused"] and counts.total() == 60


def test_good_files_are_read_and_faults_are_found(tmp_path, monkeypatch):
    monkeypatch.setattr(fuzz_readers, "damaged", lambda good, rng: good)
    for kind in ("npz", "mat", "pt", "idx"):
        assert fuzz_readers.fuzz(kind, 6, 0, tmp_path) == ({"read": 6}, [])

    def broken(path: str, options: object) -> None:
        raise ValueError(Path(path).name)

    monkeypatch.setattr(fuzz_readers, "read_source", broken)
    counts, faults = fuzz_readers.fuzz("npz", 3, 0, tmp_path)
    assert counts == {"at fault": 3} and "npz, seed 0, file 2: ValueError: damaged.npz" in faults


def test_a_reader_that_hangs_is_found(tmp_path, monkeypatch):
    monkeypatch.setattr(fuzz_readers, "SECONDS", 0.05)

    def endless(path: str, options: object) -> None:
        while True:
            np.zeros(9).sum()

    monkeypatch.setattr(fuzz_readers, "read_source", endless)
    assert "TooSlow" in fuzz_readers.fuzz("npz", 1, 0, tmp_path)[1][0]

"""Arrays of MATLAB files, written by SciPy and by hand according to the format."""

from __future__ import annotations

import struct
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
import scipy.io
from helpers import refused

from ancestral.data.matlab import open_mat

SEED = np.random.default_rng(0)
TYPES = ["f8", "f4", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "?"]


def read(path: Path) -> dict[str, np.ndarray]:
    return {member.name: member.load() for member in open_mat(path) if member.readable}


def element(order: str, kind: int, data: bytes) -> bytes:
    if 0 < len(data) <= 4:  # the short form: type and length share a word
        return struct.pack(f"{order}I", len(data) << 16 | kind) + data.ljust(4, b"\0")
    return struct.pack(f"{order}2I", kind, len(data)) + data + bytes(-len(data) % 8)


def by_hand(order: str, compressed: bool, shape: tuple[int, ...], numbers: bytes, kind: int = 6, stored: int = 2):
    """A file with one array `x`; by default of class double whose numbers are stored as bytes."""
    parts = [
        element(order, 6, struct.pack(f"{order}2I", kind, 0)),
        element(order, 5, struct.pack(f"{order}{len(shape)}i", *shape)),
        element(order, 1, b"x"),
        element(order, stored, numbers),
    ]
    array = element(order, 14, b"".join(parts))
    if compressed:
        data = zlib.compress(array)
        array = struct.pack(f"{order}2I", 15, len(data)) + data
    mark = {"<": b"IM", ">": b"MI"}[order]
    return b"MATLAB 5.0 MAT-file".ljust(124) + struct.pack(f"{order}H", 0x0100) + mark + array


@pytest.mark.parametrize("compressed", [True, False])
@pytest.mark.parametrize("shape", [(2, 3), (4, 3, 2), (1, 1), (2, 3, 4, 5), (0, 3)])
def test_arrays_of_every_type(tmp_path, shape, compressed):
    arrays = {f"name_of_{kind.strip('?') or 'bool'}": SEED.integers(0, 99, shape).astype(kind) for kind in TYPES}
    arrays["ab"] = SEED.normal(size=shape)
    scipy.io.savemat(tmp_path / "a.mat", arrays, do_compression=compressed)
    found = read(tmp_path / "a.mat")
    assert list(found) == list(arrays)
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype and np.array_equal(found[name], array)
    sizes = {member.name: (member.shape, member.nbytes) for member in open_mat(tmp_path / "a.mat")}
    assert sizes == {name: (array.shape, array.nbytes) for name, array in arrays.items()}


@pytest.mark.parametrize("compressed", [True, False])
@pytest.mark.parametrize("order", ["<", ">"])
def test_numbers_keep_the_type_of_their_class(tmp_path, order, compressed):
    path = tmp_path / "a.mat"
    path.write_bytes(by_hand(order, compressed, (2, 3), bytes(range(6))))
    found = read(path)["x"]
    assert found.dtype == np.float64 and found.tolist() == [[0, 2, 4], [1, 3, 5]]
    path.write_bytes(by_hand(order, compressed, (1, 2), struct.pack(f"{order}2h", -5, 300), kind=10, stored=3))
    assert read(path)["x"].tolist() == [[-5, 300]]


def test_text_and_unsupported_arrays(tmp_path):
    cell, complex_numbers = np.array(["a", "b"], object), np.array([1j])
    arrays = {"names": np.array(["ab", "cde"]), "c": cell, "s": {"a": 1}, "z": complex_numbers, "n": np.ones((1, 1))}
    scipy.io.savemat(tmp_path / "a.mat", arrays)
    members = {member.name: member for member in open_mat(tmp_path / "a.mat")}
    assert [word.strip() for word in members["names"].load().tolist()] == ["ab", "cde"]
    for name, kind in {"c": "cell", "s": "struct", "z": "complex"}.items():
        assert not members[name].readable
        refused(members[name].load, "a.mat", f"{name} is ", kind)


@pytest.mark.parametrize("compressed", [True, False])
@pytest.mark.parametrize(
    ("shape", "numbers", "stored"),
    [
        ((2, 3), bytes(5), 2),
        ((2, 3), bytes(7), 2),
        ((2**30, 2**30), bytes(6), 2),
        ((2, -3), bytes(6), 2),
        ((-2, -3), bytes(6), 2),
        ((6,), bytes(6), 2),
        ((2, 3), bytes(6), 99),
        ((2, 3), bytes(6), 3),
        ((1,) * 33, bytes(1), 2),
    ],
)
def test_sizes_that_do_not_fit_are_refused(tmp_path, shape, numbers, stored, compressed):
    (tmp_path / "a.mat").write_bytes(by_hand("<", compressed, shape, numbers, stored=stored))
    members = open_mat(tmp_path / "a.mat") if len(shape) < 33 else []
    refused(lambda: [member.load() for member in open_mat(tmp_path / "a.mat")], "a.mat")
    # no array may lower the sum of the sizes, which is compared with the cap before anything is loaded
    assert all(member.nbytes in (0, 48) for member in members)


def test_numbers_beyond_the_shape_are_not_unpacked(tmp_path):
    path = tmp_path / "a.mat"
    path.write_bytes(by_hand("<", True, (2, 3), bytes(20_000_000)))
    tracemalloc.start()
    refused(lambda: read(path), "a.mat", "20,000,000 bytes for 6 numbers")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2_000_000


def test_damage_within_a_compressed_array_is_refused(tmp_path):
    path, good = tmp_path / "a.mat", by_hand("<", True, (8, 8), SEED.bytes(64))
    path.write_bytes(good)
    assert read(path)["x"].shape == (8, 8)
    path.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))  # the checksum
    refused(lambda: read(path), "a.mat", "incorrect data check")
    for cut in range(1, 60, 7):
        for whole in (good, by_hand("<", False, (8, 8), bytes(64))):
            path.write_bytes(whole[:-cut])
            refused(lambda: open_mat(path), "a.mat", "truncated")  # before any array is loaded
    more = zlib.compress(zlib.decompress(good[136:]) + bytes(1000))  # bytes behind the numbers
    path.write_bytes(good[:128] + struct.pack("<2I", 15, len(more)) + more)
    refused(lambda: read(path), "a.mat", "longer than its numbers")

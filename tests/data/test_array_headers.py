"""Malicious and damaged files of arrays: an error of one line before memory is allocated, and nothing is unpickled."""

from __future__ import annotations

import io
import pickle
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import torch
from helpers import refused

from ancestral.data import readers
from ancestral.data.arrays import read_arrays

GIB = 2**30


def numbered(count: int) -> np.ndarray:
    return np.arange(count * 20, dtype=np.uint8).reshape(count, 4, 5)


def save_npz(path: Path, **members) -> Path:
    np.savez_compressed(path, **members)
    return path


def test_pickles_are_never_loaded(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (pytest.fail, ("a pickle was loaded",))

    np.save(tmp_path / "a.npy", np.array([Bomb()] * 5, object), allow_pickle=True)
    np.savez(tmp_path / "a.npz", images=np.array([Bomb()], object))
    for name in ("a.npy", "a.npz"):
        refused(lambda name=name: read_arrays(tmp_path / name), name, "pickled Python objects")


def npy_header(shape: tuple[int, ...], descr: str = "|u1") -> bytes:
    text = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode()


@pytest.mark.parametrize(
    ("shape", "word"),
    [
        ((2**40, 28, 28), "states"),
        ((2**62, 2**62, 4), "states"),
        ((4 * GIB // 784, 28, 28), "states"),
        ((11, 4, 5), "states"),
        ((9, 4, 5), "states"),
        ((-10, 4, -5), "states"),
    ],
)
def test_headers_with_too_large_sizes_raise(tmp_path, shape, word):
    content = npy_header(shape) + bytes(200)
    (tmp_path / "a.npy").write_bytes(content)
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("images.npy", content)
    for name in ("a.npy", "a.npz"):
        refused(lambda name=name: read_arrays(tmp_path / name), name, word)


def test_a_zip_bomb_is_refused_by_its_directory(tmp_path, monkeypatch):
    monkeypatch.setattr(readers, "MAX_BYTES", 2**20)
    path = save_npz(tmp_path / "bomb.npz", images=np.zeros((3000, 28, 28), np.uint8))
    assert path.stat().st_size < 2**14

    def no_reading(*_args, **_kwargs):
        pytest.fail("the bomb was unpacked")

    monkeypatch.setattr(np.lib.format, "read_array", no_reading)
    refused(lambda: read_arrays(path), "bomb.npz", "limit of 1,048,576")


def test_a_flipped_bit_in_a_zip_file_is_refused(tmp_path):
    np.savez(tmp_path / "a.npz", images=numbered(5))
    raw = bytearray((tmp_path / "a.npz").read_bytes())
    raw[raw.index(b"\x93NUMPY") + 140] ^= 1
    (tmp_path / "a.npz").write_bytes(raw)
    refused(lambda: read_arrays(tmp_path / "a.npz"), "a.npz", "CRC")


def test_many_arrays_share_one_size_limit(tmp_path, monkeypatch):
    monkeypatch.setattr(readers, "MAX_BYTES", 2**20)
    part = np.zeros((700, 28, 28), np.uint8)
    refused(lambda: read_arrays(save_npz(tmp_path / "a.npz", train=part, test=part)), "limit")


def test_a_zip_file_with_wrong_sizes_raises(tmp_path):
    images = 3 * GIB // 784
    content = npy_header((images, 28, 28)) + bytes(2**21)
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("images.npy", content)
    raw = bytearray(path.read_bytes())
    for signature, offset in ((b"PK\x01\x02", 24), (b"PK\x03\x04", 22)):
        at = raw.index(signature) + offset
        raw[at : at + 4] = struct.pack("<I", 128 + images * 784)
    path.write_bytes(raw)
    refused(lambda: read_arrays(path), "a.npz", "more bytes than the file has")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("images.npy", content)
    refused(lambda: read_arrays(path), "a.npz", "compression")


@pytest.mark.parametrize("name", ["a.npz", "a.npy"])
def test_files_of_another_kind(tmp_path, name):
    path = tmp_path / name
    refused(lambda: read_arrays(path), str(path), "no such file")
    path.write_text("This is a text file.\n")
    refused(lambda: read_arrays(path), str(path), "not a readable")
    path.write_bytes(b"")
    refused(lambda: read_arrays(path), str(path), "not a readable")
    buffer = io.BytesIO()
    np.savez(buffer, images=numbered(5))
    path.write_bytes(buffer.getvalue()[:-30])
    refused(lambda: read_arrays(path), str(path), "not a readable")
    path.write_bytes(npy_header((3, 2, 2)).replace(b"'shape'", b"'sh\xffpe'"))
    refused(lambda: read_arrays(path), str(path), "not a readable")


class Bomb:
    def __reduce__(self):
        return (pytest.fail, ("a pickle was loaded",))


@pytest.mark.parametrize("held", [Bomb(), {"images": Bomb()}, [1, 2], {"a": 1.5}, {1: torch.zeros(2, 2, 2)}, {}])
def test_only_tensors_are_loaded(tmp_path, held):
    torch.save(held, tmp_path / "a.pt")
    refused(lambda: read_arrays(tmp_path / "a.pt"), "a.pt", "tensor")
    (tmp_path / "a.pt").write_bytes(pickle.dumps(held))
    refused(lambda: read_arrays(tmp_path / "a.pt"), "a.pt")


def test_files_of_former_versions_of_torch_are_refused_before_they_are_loaded(tmp_path, monkeypatch):
    """The sizes that they state cannot be checked before torch takes memory for them."""
    path = tmp_path / "training.pt"
    torch.save((torch.zeros(9, 4, 4), torch.arange(9)), path, _use_new_zipfile_serialization=False)
    with monkeypatch.context() as inside:
        inside.setattr(torch, "load", lambda *_args, **_kwargs: pytest.fail("the file was loaded"))
        refused(lambda: read_arrays(path), "training.pt", "before 1.6", "torch.save(torch.load(")
        path.with_name("b.pt").write_bytes(b"x" + path.read_bytes())
        refused(lambda: read_arrays(path.with_name("b.pt")), "not a zip archive")
    torch.save(torch.load(path, weights_only=True), path)  # what the line advises
    assert read_arrays(path).parts["all"].images.shape == (9, 1, 4, 4)


CALLS = {
    "bytearray": b"cbuiltins\nbytearray\n",
    "bytearray of a later protocol": b"\x8c\x08builtins\x8c\x09bytearray\x93",
    "_rebuild_qtensor": b"ctorch._utils\n_rebuild_qtensor\n",
    "Tensor": b"ctorch\nTensor\n",
    "FloatStorage": b"ctorch.cuda\nFloatStorage\n",
}


@pytest.mark.parametrize("call", CALLS)
def test_a_small_description_cannot_allocate_much_memory(tmp_path, monkeypatch, call):
    """`weights_only` lets a pickle of 40 bytes call bytearray(3 GiB), which is filled with zeros."""
    torch.save({"images": torch.zeros(9, 4, 4)}, tmp_path / "good.pt")
    monkeypatch.setattr(torch, "load", lambda *_args, **_kwargs: pytest.fail("the file was loaded"))
    with zipfile.ZipFile(tmp_path / "good.pt") as good, zipfile.ZipFile(tmp_path / "bad.pt", "w") as bad:
        for name in good.namelist():
            called = b"\x80\x02" + CALLS[call] + b"\x8a\x08" + struct.pack("<q", 3 * 2**30) + b"\x85R."
            bad.writestr(name, called if name.endswith("data.pkl") else good.read(name))
    refused(lambda: read_arrays(tmp_path / "bad.pt"), "bad.pt", "never loaded")
    with zipfile.ZipFile(tmp_path / "good.pt") as good, zipfile.ZipFile(tmp_path / "two.pt", "w") as bad:
        for name in [*good.namelist(), "GOOD/DATA.PKL"]:
            bad.writestr(name, good.read(name) if name in good.namelist() else called)
    refused(lambda: read_arrays(tmp_path / "two.pt"), "two.pt", "exactly one description")


@pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16, torch.int64, torch.bool, torch.float16, torch.bfloat16])
def test_every_number_format_is_described_by_parts_of_tensors(tmp_path, dtype):
    values = torch.arange(36).reshape(9, 2, 2) % 2
    torch.save(
        {"images": torch.nn.Parameter(values.to(dtype), requires_grad=dtype.is_floating_point)}, tmp_path / "a.pt"
    )
    assert np.array_equal(read_arrays(tmp_path / "a.pt").parts["all"].images[:, 0] > 0, values.numpy() > 0)


def test_files_of_tensors_above_the_size_limit_are_not_loaded(tmp_path, monkeypatch):
    torch.save(torch.zeros(50, 8, 8), tmp_path / "a.pt")
    with zipfile.ZipFile(tmp_path / "b.pt", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("b/data.pkl", bytes(20_000))
    monkeypatch.setattr(readers, "MAX_BYTES", 10_000)
    monkeypatch.setattr(torch, "load", lambda *_args, **_kwargs: pytest.fail("the file was loaded"))
    for name in ("a.pt", "b.pt"):
        refused(lambda name=name: read_arrays(tmp_path / name), name, "limit")


def test_a_small_file_cannot_state_a_large_tensor(tmp_path):
    torch.save({"images": torch.zeros(1, dtype=torch.uint8).expand(2**20, 64, 128)}, tmp_path / "a.pt")
    assert (tmp_path / "a.pt").stat().st_size < 4096
    refused(lambda: read_arrays(tmp_path / "a.pt"), "a.pt", "limit")
    for tensor in (torch.zeros(3, 2, 2).to_sparse(), torch.zeros(3, 2, 2, device="meta")):
        torch.save({"images": tensor}, tmp_path / "a.pt")
        refused(lambda: read_arrays(tmp_path / "a.pt"), "a.pt", "not a dense tensor")


def test_a_mat_file_with_wrong_sizes_raises(tmp_path, monkeypatch):
    path = tmp_path / "a.mat"
    scipy.io.savemat(path, {"images": numbered(10)})
    raw = bytearray(path.read_bytes())
    at = raw.index(struct.pack("<3i", 10, 4, 5))
    raw[at : at + 12] = struct.pack("<3i", 2**30, 4, 5)
    path.write_bytes(raw)
    refused(lambda: read_arrays(path), "a.mat", "not enough bytes")
    raw[at : at + 12] = struct.pack("<3i", -1, 4, -5)
    path.write_bytes(raw)
    refused(lambda: read_arrays(path), "a.mat")
    scipy.io.savemat(path, {"images": np.zeros((400, 60, 60), np.uint8)}, do_compression=True)
    monkeypatch.setattr(readers, "MAX_BYTES", 2**20)
    refused(lambda: read_arrays(path), "a.mat", "limit of 1,048,576")


def test_other_versions_of_mat_files_are_refused_with_the_way_to_convert(tmp_path):
    path = tmp_path / "a.mat"
    scipy.io.savemat(path, {"images": np.zeros((30, 40))}, format="4")
    refused(lambda: read_arrays(path), "a.mat", "version 4", "-v7")
    text = b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x02IM"
    path.write_bytes(text.ljust(512, b"\0") + b"\x89HDF\r\n\x1a\n" + bytes(100))
    refused(lambda: read_arrays(path), "a.mat", "7.3", "-v7", "numpy.savez")
    path.write_bytes(b"MATLAB 5.0")
    refused(lambda: read_arrays(path), "a.mat", "truncated")
    scipy.io.savemat(path, {"images": {"a": 1}})
    refused(lambda: read_arrays(path), "a.mat", "images is a struct")
    scipy.io.savemat(path, {"images": np.array(["a", "b"], object)})
    refused(lambda: read_arrays(path), "a.mat", "images is a cell")

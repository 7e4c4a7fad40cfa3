"""Sources of images: their content, their splits, and one-line errors for malicious files."""

from __future__ import annotations

import dataclasses
import functools
import gzip
import hashlib
import http.server
import os
import struct
import threading
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ancestral.core.errors import InputError
from ancestral.data import readers, sources
from ancestral.data.datasets import (
    PROTOCOLS,
    Split,
    dataset_names,
    dataset_status,
    fetch_dataset,
    load_dataset,
    verify_dataset,
)

REAL = Path(os.environ.get("ANCESTRAL_DATA", "../shared/data")).expanduser()
needs_mnist = pytest.mark.skipif(
    not all((REAL / "mnist" / f"{stem}.gz").is_file() for stem in sources._FILES),
    reason="the four MNIST files are not under $ANCESTRAL_DATA/mnist",
)
GIB = 2**30


@pytest.fixture(autouse=True)
def own_machine(tmp_path_factory, monkeypatch):
    """No test uses the user's data, writes into the user's cache, or uses a network."""
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("XDG_CACHE_HOME", str(home))
    monkeypatch.setenv("ANCESTRAL_DATA", str(home / "own"))
    monkeypatch.setenv("NO_PROXY", "*")

    def no_network(*_args, **_kwargs):
        raise OSError("no network\nin tests")

    monkeypatch.setattr("pooch.retrieve", no_network)


@pytest.fixture(scope="module")
def mnist():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ANCESTRAL_DATA", str(REAL))
        yield load_dataset("mnist")


def refused(call, *words) -> str:
    """The message of the InputError that the call must raise: one line with all the words."""
    with pytest.raises(InputError) as caught:
        call()
    message = str(caught.value)
    assert message.isprintable() and len(message) < 700
    for word in words:
        assert str(word) in message, f"{word!r} not in {message!r}"
    return message


def numbered(count: int, height: int = 4, width: int = 5) -> np.ndarray:
    """Images that say in their first two pixels which one they are."""
    images = np.zeros((count, height, width), np.uint8)
    images[:, 0, 0], images[:, 0, 1] = np.arange(count) // 256, np.arange(count) % 256
    return images


def numbers(split: Split) -> list[int]:
    first = split.images[:, 0, 0].long()
    return (first[:, 0] * 256 + first[:, 1]).tolist()


def idx(array: np.ndarray) -> bytes:
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


def write_named(folder: Path, pool: int = 60, test: int = 12, zipped: bool = True) -> dict[str, bytes]:
    """A small set in MNIST's four files; returns their bytes as written."""
    folder.mkdir(parents=True, exist_ok=True)
    images = numbered(pool + test)
    labels = (np.arange(pool + test) % 10).astype(np.uint8)
    contents = (images[:pool], labels[:pool], images[pool:], labels[pool:])
    written = {}
    for stem, array in zip(sources._FILES, contents, strict=True):
        name, data = (f"{stem}.gz", gzip.compress(idx(array), 1, mtime=0)) if zipped else (stem, idx(array))
        (folder / name).write_bytes(data)
        written[name] = data
    return written


def own(name: str) -> Path:
    return Path(os.environ["ANCESTRAL_DATA"]) / name


def save_npz(path: Path, **members) -> Path:
    np.savez_compressed(path, **members)
    return path


# --- digits -----------------------------------------------------------------------------------------------


def test_digits_are_the_embedded_default():
    from sklearn.datasets import load_digits

    data = load_dataset("digits")
    assert (data.name, data.levels, data.event_shape) == ("digits", 17, (1, 8, 8))
    assert [len(data.split(name)) for name in ("train", "valid", "test")] == [1000, 350, 447]
    together = torch.cat([data.split(name).images for name in ("train", "valid", "test")])
    assert together.dtype == torch.uint8 and together.max() == 16
    pixels, classes = load_digits(return_X_y=True)
    assert np.array_equal(together.flatten(1).numpy(), pixels)
    labels = [label for name in ("train", "valid", "test") if (label := data.split(name).labels) is not None]
    assert np.array_equal(torch.cat(labels).numpy(), classes) and labels[0].dtype == torch.int64


def test_names_and_splits_are_checked():
    assert dataset_names() == ("digits", "mnist", "fashion", "kmnist", "synthetic-circuit", "synthetic-pixelcnn")
    refused(lambda: load_dataset("digits").split("training"), "training", "train, valid, test")
    refused(lambda: load_dataset("minst"), "minst", *dataset_names()[1:2])
    refused(lambda: load_dataset(""), "unknown")
    refused(lambda: load_dataset("~nobody-of-that-name/x"), "unknown")
    refused(lambda: load_dataset("evil\nname\x1b[0m\0"), "evil")
    refused(lambda: load_dataset("evil\nname\x1b[0m\udc80.npz"), "evil name?[0m?.npz", "no such file")
    for call in (dataset_status, verify_dataset, fetch_dataset):
        refused(lambda call=call: call("minst"), "minst", *dataset_names())


def test_global_generators_are_not_changed(tmp_path):
    torch.manual_seed(5)
    np.random.seed(5)  # noqa: NPY002
    before = torch.get_rng_state().clone(), str(np.random.get_state())  # noqa: NPY002
    load_dataset("digits", split_seed=3)
    np.save(tmp_path / "a.npy", numbered(30))
    load_dataset(str(tmp_path / "a.npy"))
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1] == str(np.random.get_state())  # noqa: NPY002


# --- dividing ---------------------------------------------------------------------------------------------


def test_sizes_use_the_order_of_the_pool():
    """Of a named set this is the order of its files; one's own files are divided at random, see `test_division`."""
    write_named(own("kmnist"), 300, 40)
    default = load_dataset("kmnist")
    assert numbers(default.train) == list(range(250)) and numbers(default.valid) == list(range(250, 300))
    assert numbers(default.test) == list(range(300, 340))
    both = load_dataset("kmnist", train_size=100, valid_size=20)
    assert numbers(both.train) == list(range(100)) and numbers(both.valid) == list(range(100, 120))
    one = load_dataset("kmnist", train_size=280)
    assert numbers(one.train) == list(range(280)) and numbers(one.valid) == list(range(280, 300))
    other = load_dataset("kmnist", valid_size=30)
    assert numbers(other.train) == list(range(270)) and numbers(other.valid) == list(range(270, 300))
    none = load_dataset("kmnist", valid_size=0)
    assert len(none.train) == 300 and none.valid.images.shape == (0, 1, 4, 5)
    assert {default.sha256} == {both.sha256, one.sha256, other.sha256, none.sha256}


def test_sizes_of_one_s_own_file_fit(tmp_path):
    path = str(save_npz(tmp_path / "a.npz", train=numbered(300), test=numbered(40)))
    for sizes, expected in (({}, (250, 50)), ({"train_size": 280}, (280, 20)), ({"valid_size": 30}, (270, 30))):
        data = load_dataset(path, **sizes)
        assert (len(data.train), len(data.valid), len(data.test)) == (*expected, 40)
        assert not set(numbers(data.train)) & set(numbers(data.valid))


def test_split_seed_shuffles_the_pool_only():
    write_named(own("kmnist"), 300, 40)
    first, again, other = (load_dataset("kmnist", split_seed=seed) for seed in (1, 1, 2))
    assert numbers(first.train) == numbers(again.train) != numbers(other.train)
    assert sorted(numbers(first.train) + numbers(first.valid)) == list(range(300))
    assert first.train.labels is not None
    assert first.train.labels.tolist() == [number % 10 for number in numbers(first.train)]
    assert numbers(first.test) == list(range(300, 340))
    # Pinned: another order would mix training and validation images of runs that exist.
    assert numbers(first.train)[:5] == [93, 61, 176, 184, 256]
    refused(lambda: load_dataset("kmnist", split_seed=-1), "split_seed")


@pytest.mark.parametrize(
    "sizes",
    [
        {"train_size": 1351},
        {"valid_size": 1350},
        {"train_size": 1000, "valid_size": 351},
        {"train_size": 0},
        {"train_size": -5},
        {"valid_size": -1},
    ],
)
def test_sizes_that_do_not_fit_are_refused(sizes):
    refused(lambda: load_dataset("digits", **sizes), "digits", "1,350", "train_size")


def test_protocols_are_for_60_000_and_10_000_only():
    refused(lambda: load_dataset("digits", protocol="uva2020"), "uva2020", "60,000", "digits")
    refused(lambda: load_dataset("digits", protocol="uva2021"), "uva2021", *PROTOCOLS)
    for choice in ({"train_size": 10}, {"valid_size": 0}, {"split_seed": 0}):
        refused(lambda choice=choice: load_dataset("mnist", protocol="uva2018", **choice), "remove")


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_protocols_divide_as_the_courseworks_do(tmp_path, protocol):
    path = str(save_npz(tmp_path / "a.npz", train=numbered(60_000, 1, 2), test=numbered(10_000, 1, 2)))
    data = load_dataset(path, protocol=protocol)
    train, valid = {"uva2018": (60_000, 0), "uva2020": (45_000, 5_000), "tue2024": (50_000, 10_000)}.get(
        protocol, (60_000, 0)
    )
    assert numbers(data.train) == list(range(train))
    assert numbers(data.valid) == list(range(train, train + valid))
    assert numbers(data.test) == list(range(10_000))


def test_padding_is_symmetric_and_empty(tmp_path):
    path = str(save_npz(tmp_path / "a.npz", images=np.full((10, 3, 4), 9, np.uint8)))
    data = load_dataset(path, pad_to=8)
    assert data.event_shape == (1, 8, 8)
    assert data.train.images[:, :, 2:5, 2:6].eq(9).all() and data.train.images.sum() == 8 * 12 * 9
    assert data.valid.images.shape[1:] == data.test.images.shape[1:] == (1, 8, 8)
    assert load_dataset(path, pad_to=4).event_shape == (1, 4, 4)
    assert data.sha256 == load_dataset(path).sha256
    refused(lambda: load_dataset(path, pad_to=3), "3x4", "pad_to")
    refused(lambda: load_dataset(path, pad_to=10**6), "limit")


# --- published sets ---------------------------------------------------------------------------------------


@needs_mnist
def test_mnist_is_read_whole(mnist):
    assert (mnist.name, mnist.levels, mnist.event_shape) == ("mnist", 256, (1, 28, 28))
    assert [len(mnist.split(name)) for name in ("train", "valid", "test")] == [50_000, 10_000, 10_000]
    assert mnist.train.labels[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert mnist.test.labels[:5].tolist() == [7, 2, 1, 0, 4]
    # The mean of all training pixels is the 0.1307 that everyone normalises by.
    pixels = torch.cat((mnist.train.images, mnist.valid.images))
    assert abs(pixels.double().mean() / 255 - 0.1307) < 5e-5
    assert mnist.sha256 == "151461e11a6d4edf8fe93d7df64f7bb10cca2804520bfd0fe28ef4e229b4e4db"


@needs_mnist
def test_mnist_protocols_and_padding(mnist, monkeypatch):
    monkeypatch.setenv("ANCESTRAL_DATA", str(REAL))
    data = load_dataset("mnist", protocol="uva2020", pad_to=32)
    assert data.event_shape == (1, 32, 32) and (len(data.train), len(data.valid)) == (45_000, 5_000)
    assert torch.equal(data.train.images[:, :, 2:30, 2:30], mnist.train.images[:45_000])
    assert torch.equal(data.valid.images[:, :, 2:30, 2:30], mnist.train.images[45_000:])
    assert data.sha256 == mnist.sha256


@needs_mnist
def test_mnist_matches_what_was_published(monkeypatch):
    monkeypatch.setenv("ANCESTRAL_DATA", str(REAL))
    status = verify_dataset("mnist")
    assert (status.state, status.verified) == ("ready", True)
    assert status.counts == {"train": 60_000, "test": 10_000}


def test_a_set_reads_the_same_zipped_or_not():
    write_named(own("kmnist"))
    zipped = load_dataset("kmnist")
    for file in own("kmnist").iterdir():
        file.unlink()
    write_named(own("kmnist"), zipped=False)
    plain = load_dataset("kmnist")
    assert zipped.sha256 == plain.sha256 and torch.equal(zipped.train.images, plain.train.images)
    assert numbers(plain.train) == list(range(50)) and numbers(plain.valid) == list(range(50, 60))
    assert plain.test.labels is not None and plain.test.labels.tolist() == [n % 10 for n in range(60, 72)]


def test_sha256_tells_contents_apart():
    sums = set()
    for pool, test in ((60, 12), (61, 11)):
        write_named(own("kmnist"), pool, test)
        sums.add(load_dataset("kmnist").sha256)
    assert len(sums | {load_dataset("digits").sha256}) == 3


def test_the_error_for_a_missing_set_names_its_folders():
    (own("fashion")).mkdir(parents=True)
    write_named(own("fashion"))
    (own("fashion") / "t10k-labels-idx1-ubyte.gz").unlink()
    message = refused(lambda: load_dataset("fashion"), "could not download fashion", "$ANCESTRAL_DATA/fashion", "copy")
    assert all(f"{stem}.gz" in message for stem in sources._FILES)
    status = dataset_status("fashion")
    assert (status.state, status.counts, status.verified) == ("missing", None, None)
    assert str(own("fashion")) in status.detail and "\n" not in status.detail
    assert verify_dataset("fashion") == status


def test_the_own_folder_comes_before_the_cache(monkeypatch):
    cache = Path(os.environ["XDG_CACHE_HOME"]) / "ancestral" / "mnist"
    write_named(cache, 30, 6)
    assert dataset_status("mnist").where == str(cache)
    monkeypatch.delenv("ANCESTRAL_DATA")
    assert len(load_dataset("mnist").test) == 6
    monkeypatch.setenv("ANCESTRAL_DATA", str(cache.parent.parent / "own"))
    write_named(own("mnist"), 60, 12)
    assert len(load_dataset("mnist").test) == 12 and dataset_status("mnist").where == str(own("mnist"))


def test_status_and_verification_of_damage():
    written = write_named(own("kmnist"))
    assert dataset_status("kmnist").state == "ready"
    # Readable, yet not what was published.
    status = verify_dataset("kmnist")
    assert (status.state, status.verified) == ("ready", False) and "differs" in status.detail
    name = "train-images-idx3-ubyte.gz"
    (own("kmnist") / name).write_bytes(written[name][:-40])
    for status in (dataset_status("kmnist"), verify_dataset("kmnist")):
        assert status.state == "damaged" and name in status.detail and "\n" not in status.detail
    refused(lambda: load_dataset("kmnist"), name, "damaged")


def test_plain_files_without_a_published_sum_stay_unverified():
    write_named(own("kmnist"), zipped=False)
    status = verify_dataset("kmnist")
    assert (status.state, status.verified) == ("ready", None) and "only the .gz files" in status.detail


def test_digits_status():
    assert dataset_status("digits").where == "embedded"
    assert verify_dataset("digits").verified is True
    refused(lambda: fetch_dataset("digits"), "nothing to download")


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    """A local server with a small set, published as kmnist after a mirror that is dead."""
    monkeypatch.undo()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("ANCESTRAL_DATA", str(tmp_path / "own"))
    monkeypatch.setenv("NO_PROXY", "*")
    served = tmp_path / "served"
    written = write_named(served)

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format, *args):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(served)))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    address = f"http://127.0.0.1:{server.server_port}/"
    sums = tuple(hashlib.sha256(written[f"{stem}.gz"]).hexdigest() for stem in sources._FILES)
    published = sources._Published((f"{address}nowhere/", address), sums)
    monkeypatch.setitem(sources._PUBLISHED, "kmnist", published)
    yield served
    server.shutdown()
    server.server_close()
    thread.join()


def test_download_falls_back_to_the_next_mirror(mirror, tmp_path):
    data = load_dataset("kmnist")
    assert (len(data.train), len(data.valid), len(data.test)) == (50, 10, 12)
    folder = tmp_path / "cache" / "ancestral" / "kmnist"
    assert sorted(file.name for file in folder.iterdir()) == sorted(f"{stem}.gz" for stem in sources._FILES)
    assert verify_dataset("kmnist").verified is True and not (tmp_path / "own").exists()
    # A damaged download is replaced, an intact one kept.
    (folder / "t10k-labels-idx1-ubyte.gz").write_bytes(b"damage")
    kept = (folder / "train-images-idx3-ubyte.gz").stat().st_mtime_ns
    assert dataset_status("kmnist").state == "damaged"
    assert fetch_dataset("kmnist") == folder and verify_dataset("kmnist").verified is True
    assert (folder / "train-images-idx3-ubyte.gz").stat().st_mtime_ns == kept


def test_a_download_with_a_wrong_checksum_raises(mirror, tmp_path):
    (mirror / "train-labels-idx1-ubyte.gz").write_bytes(b"a page of a captive portal")
    refused(lambda: load_dataset("kmnist"), "could not download kmnist", "train-labels-idx1-ubyte.gz")
    assert not (tmp_path / "cache" / "ancestral" / "kmnist" / "train-labels-idx1-ubyte.gz").exists()


def test_published_table_is_complete():
    for name, published in sources._PUBLISHED.items():
        sums = published.zipped + (published.plain or ())
        assert len(published.zipped) == 4 and all(len(bytes.fromhex(total)) == 32 for total in sums), name
        assert len(set(sums)) == len(sums)
        assert all(address.startswith("http") and address.endswith("/") for address in published.mirrors)


# --- hostile IDX files ------------------------------------------------------------------------------------

GOOD = idx(numbered(6))


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"", "magic"),
        (GOOD[:3], "magic"),
        (GOOD[:9], "header"),
        (GOOD[:-1], "truncated"),
        (GOOD + b"\0", "longer"),
        (b"\0\0\x0d\x03" + GOOD[4:], "magic number 0x00000d03"),
        (idx(np.zeros(6, np.uint8)), "magic"),
        (b"<html>not found</html>", "magic"),
        (struct.pack(">BBBB3I", 0, 0, 8, 3, 2**32 - 1, 2**32 - 1, 2**32 - 1), "limit"),
        (struct.pack(">BBBB3I", 0, 0, 8, 3, 4 * GIB // 784, 28, 28), "truncated"),
    ],
)
def test_bad_idx_is_refused(tmp_path, content, word, zipped):
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(gzip.compress(content, mtime=0) if zipped else content)
    refused(lambda: readers.read_idx(path, 3), path, word)


@pytest.mark.parametrize("cut", [1, 4, 8, 12, 30, 60])
def test_a_gzip_file_cut_anywhere_is_refused(tmp_path, cut):
    data = gzip.compress(GOOD, mtime=0)
    (tmp_path / "a.gz").write_bytes(data[:-cut])
    refused(lambda: readers.read_idx(tmp_path / "a.gz", 3), "a.gz")


def test_a_flipped_bit_in_a_gzip_file_is_refused(tmp_path):
    data = bytearray(gzip.compress(GOOD, 0, mtime=0))
    data[60] ^= 1
    (tmp_path / "a.gz").write_bytes(data)
    refused(lambda: readers.read_idx(tmp_path / "a.gz", 3), "a.gz", "CRC")


def test_a_gzip_bomb_does_not_unpack(tmp_path):
    path = tmp_path / "bomb.gz"
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    zeros = bytes(2**23)
    with open(path, "wb") as file:
        file.write(packer.compress(GOOD))
        for _ in range(16):  # 128 MiB behind six small images
            file.write(packer.compress(zeros))
        file.write(packer.flush())
    tracemalloc.start()
    refused(lambda: readers.read_idx(path, 3), path, "longer")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**22


def test_idx_pairs_must_agree():
    write_named(own("mnist"))
    (own("mnist") / "train-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(np.zeros(59, np.uint8))))
    refused(lambda: load_dataset("mnist"), "train-labels-idx1-ubyte.gz", "59", "60 images")
    write_named(own("mnist"))
    (own("mnist") / "t10k-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(numbered(12, 5, 5))))
    refused(lambda: load_dataset("mnist"), "differ in size")
    (own("mnist") / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(numbered(0))))
    refused(lambda: load_dataset("mnist"), "train-images-idx3-ubyte.gz", "no pixels")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=64), st.sampled_from(["idx", "npy", "npz", "png"]))
def test_arbitrary_bytes_raise_nothing_but_input_errors(tmp_path, data, kind):
    prefix = {
        "idx": b"\0\0\x08\x03",
        "npy": b"\x93NUMPY\x01\x00",
        "npz": b"PK\x03\x04",
        "png": b"\x89PNG\r\n\x1a\n",
    }
    folder = tmp_path / "fuzz"
    folder.mkdir(exist_ok=True)
    path = folder / f"fuzz.{kind}"
    path.write_bytes(prefix[kind] + data)
    try:
        if kind == "idx":
            readers.read_idx(path, 3)
        else:
            load_dataset(str(folder if kind == "png" else path))
    except InputError as error:
        assert "\n" not in str(error)
    finally:
        path.unlink()


def test_a_file_without_a_test_set_is_shuffled_80_10_10(tmp_path):
    labels = np.arange(100) % 7
    path = str(save_npz(tmp_path / "a.npz", images=numbered(100), labels=labels))
    data = load_dataset(path)
    parts = [numbers(data.split(name)) for name in ("train", "valid", "test")]
    assert [len(part) for part in parts] == [80, 10, 10]
    assert sorted(parts[0] + parts[1] + parts[2]) == list(range(100)) and parts[0] != sorted(parts[0])
    assert data.train.labels is not None and data.train.labels.tolist() == [n % 7 for n in parts[0]]
    same, other = load_dataset(path, split_seed=0), load_dataset(path, split_seed=1)
    assert numbers(same.test) == parts[2] != numbers(other.test)
    assert other.sha256 == data.sha256
    # Other sizes leave the test set alone.
    assert numbers(load_dataset(path, train_size=50, valid_size=30).test) == parts[2]
    refused(lambda: load_dataset(path, train_size=91), "90")
    np.save(tmp_path / "two.npy", numbered(2))
    refused(lambda: load_dataset(str(tmp_path / "two.npy")), "two", "at least 3")


def test_datasets_are_frozen():
    data = load_dataset("digits")
    with pytest.raises(dataclasses.FrozenInstanceError):
        data.levels = 2  # pyright: ignore[reportAttributeAccessIssue]

"""Read damaged files of every kind: each must be read, or refused with a one-line `InputError`, within two seconds.

    python scripts/fuzz_readers.py [--files 5000] [--seed 0] [--kinds npy npz mat ...]

Damaged files are made from valid ones with a random seed: bits are flipped, numbers in a header are replaced, parts are
cut, copied or removed. Each kind is read in a separate process with limited memory, so that a crash is reported.
"""

from __future__ import annotations

import argparse
import faulthandler
import io
import multiprocessing
import resource
import signal
import struct
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np

from ancestral.core.errors import InputError
from ancestral.data.datasets import read_source
from ancestral.data.readers import read_idx
from ancestral.settings.data import ReadOptions

SECONDS = 2.0
MEMORY = 3 * 2**30  # address space above what the process has at the start
SHOWN_FAULTS = 5
NUMBERS = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 2**63 - 1, 2**64 - 1)


class TooSlow(BaseException):
    """Reading took too long; readers do not catch this exception."""


def _images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (6, 5, 4), dtype=np.uint8)


def _npy() -> list[bytes]:
    files = []
    for array in (_images(), _images() / 255.0, _images() > 9, np.random.default_rng(1).normal(size=(9, 3))):
        stream = io.BytesIO()
        np.save(stream, array)
        files.append(stream.getvalue())
    return files


def _npz() -> list[bytes]:
    files = []
    words = np.array(["a", "b", "a", "b", "c", "c"])
    for save in (np.savez, np.savez_compressed):
        stream = io.BytesIO()
        save(stream, x_train=_images(), y_train=words, x_test=_images(), levels=np.array(256))
        files.append(stream.getvalue())
    return files


def _mat() -> list[bytes]:
    from scipy.io import savemat

    files = []
    arrays = {"X": np.moveaxis(_images(), 0, -1), "y": np.arange(6)[:, None], "note": "text", "s": {"a": [1, "b"]}}
    for compressed in (False, True):
        stream = io.BytesIO()
        savemat(stream, arrays, do_compression=compressed)
        files.append(stream.getvalue())
    stream = io.BytesIO()
    savemat(stream, {"ff": np.random.default_rng(2).random((560, 3)), "b": _images() > 3})
    return [*files, stream.getvalue()]


def _pt() -> list[bytes]:
    import torch

    files = []
    pair = (torch.from_numpy(_images()), torch.arange(6))
    for held in (pair, {"images": pair[0] / 255, "labels": pair[1], "classes": ["a"] * 6}, pair[0]):
        stream = io.BytesIO()
        torch.save(held, stream)
        files.append(stream.getvalue())
    return files


def _csv() -> list[bytes]:
    rows = [f"{i * 0.37:.3f},{i * i},{'ab'[i % 2]}" for i in range(1, 12)]
    text = "\n".join(["width,height,label", *rows])
    return [text.encode(), text.replace(",", ";").encode("utf-8-sig"), text.replace(",", "\t").encode("utf-16")]


def _idx() -> list[bytes]:
    import gzip

    plain = struct.pack(">4B3I", 0, 0, 8, 3, 6, 5, 4) + _images().tobytes()
    return [plain, gzip.compress(plain, mtime=0)]


def _pictures(*saves: tuple[str, dict[str, object]]) -> list[bytes]:
    from PIL import Image

    files = []
    for mode, options in saves:
        stream = io.BytesIO()
        Image.fromarray(_images()[0]).convert(mode).save(stream, **options)  # type: ignore[arg-type]
        files.append(stream.getvalue())
    return files


def _png() -> list[bytes]:
    return _pictures(*((mode, {"format": "PNG"}) for mode in ("1", "L", "LA", "P", "RGB", "RGBA")))


def _jpeg() -> list[bytes]:
    return _pictures(*((mode, {"format": "JPEG"}) for mode in ("L", "RGB", "CMYK")))


def _tiff() -> list[bytes]:
    compressed = ("L", {"format": "TIFF", "compression": "tiff_lzw"})
    return _pictures(("L", {"format": "TIFF"}), ("RGB", {"format": "TIFF"}), ("F", {"format": "TIFF"}), compressed)


KINDS: dict[str, Callable[[], list[bytes]]] = {
    "npy": _npy,
    "npz": _npz,
    "mat": _mat,
    "pt": _pt,
    "csv": _csv,
    "idx": _idx,
    "png": _png,
    "jpg": _jpeg,
    "tif": _tiff,
}
PICTURES = ("png", "jpg", "tif")


def damaged(good: bytes, rng: np.random.Generator) -> bytes:
    """A copy of a file with one to four faults."""
    data = bytearray(good)
    for _ in range(int(rng.choice([1, 1, 1, 2, 4]))):
        if not data:
            break
        # headers are at the start and directories at the end, so these parts are damaged most often
        place = int(len(data) * rng.random() ** rng.choice([1, 4]))
        place = min(place if rng.random() < 0.7 else len(data) - 1 - place, len(data) - 1)
        fault = rng.integers(5)
        if fault == 0:
            data[place] ^= 1 << int(rng.integers(8))
        elif fault == 1:
            del data[place + 1 :]
        elif fault == 2:
            width = int(rng.choice([1, 2, 4, 8]))
            number = int(rng.choice(np.array(NUMBERS, np.uint64))) % (1 << 8 * width)
            data[place : place + width] = number.to_bytes(width, "little" if rng.random() < 0.5 else "big")
        elif fault == 3:
            data[place:place] = data[place : place + int(rng.integers(1, 32))]
        else:
            del data[place : place + int(rng.integers(1, 32))]
    return bytes(data)


def _too_slow(*_: object) -> None:
    raise TooSlow


def _read(kind: str, folder: Path, data: bytes) -> None:
    path = folder / f"damaged.{kind}"
    path.write_bytes(data)
    if kind == "idx":
        read_idx(path, 3)
    else:
        read_source(str(folder if kind in PICTURES else path), ReadOptions())


def fuzz(kind: str, count: int, seed: int, folder: Path) -> tuple[Counter[str], list[str]]:
    """Read `count` damaged files of a kind.

    Args:
        kind: a key of `KINDS`.
        count: of files.
        seed: of the damage; file i is the same for every count.
        folder: empty; the file that is being read lies there.

    Returns: numbers of files that were read, refused and faulty; and a line for each fault.
    """
    good = KINDS[kind]()
    if kind in PICTURES:
        (folder / f"good.{kind}").write_bytes(good[1])
    counts, faults = Counter[str](), []
    before = signal.signal(signal.SIGALRM, _too_slow)
    try:
        for number in range(count):
            rng = np.random.default_rng([seed, number])
            data = damaged(good[number % len(good)], rng)
            fault = ""
            signal.setitimer(signal.ITIMER_REAL, SECONDS)
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("error")
                    _read(kind, folder, data)
                counts["read"] += 1
            except InputError as error:
                counts["refused"] += 1
                fault = "" if str(error).isprintable() else "an error of several lines"
            except (Exception, TooSlow) as error:
                fault = f"{type(error).__name__}: {str(error)[:200]}"
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
            if fault:
                counts["at fault"] += 1
                faults.append(f"{kind}, seed {seed}, file {number}: {fault}")
    finally:
        signal.signal(signal.SIGALRM, before)
    return counts, faults


def _limited(kind: str, count: int, seed: int) -> None:
    """The work of one process; its exit code is 1 if there were faults."""
    faulthandler.enable()
    used = 0
    with suppress(OSError):
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
    with tempfile.TemporaryDirectory() as folder:
        counts, faults = fuzz(kind, count, seed, Path(folder))
    shown = ", ".join(f"{counts[name]:,} {name}" for name in ("read", "refused", "at fault"))
    print(f"{kind}: {count:,} files, {shown}", *faults[:SHOWN_FAULTS], sep="\n  ", flush=True)
    sys.exit(bool(faults))


def main() -> int:
    """Run all kinds; returns 1 if there is a fault."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=5000, help="damaged files of each kind (default 5000)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", nargs="*", choices=list(KINDS), default=list(KINDS))
    options = parser.parse_args()
    failed = False
    for kind in options.kinds:
        process = multiprocessing.get_context("spawn").Process(
            target=_limited, args=(kind, options.files, options.seed)
        )
        process.start()
        process.join()
        if process.exitcode not in (0, 1):
            print(f"{kind}: the process ended with {process.exitcode}")
        failed = failed or process.exitcode != 0
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())

"""The named sets: their folders, download, and comparison with the published checksums."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import os
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import numpy as np

from ancestral.core.errors import InputError, refusal
from ancestral.core.files import write_atomically
from ancestral.data.readers import PART_NAMES, Part, is_gzip, read_idx_part
from ancestral.data.sampled import RECORDED, refuse_without_sampler, sampled_files
from ancestral.data.storage import row_blocks
from ancestral.settings.data import IMAGE_SETS, SAMPLED_SETS

_DIGITS_SIZES: tuple[int, int, int] = (1000, 350, 447)
_DIGITS_LEVELS = 17
_DIGITS_SHA256 = "10b73c63709e1491c8222bbb2afd0dfeaf139a4fc49cc69d8767bc40a880f7c3"
_FILES = tuple(f"{part}-{kind}-ubyte" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1"))


@dataclass(frozen=True)
class _Published:
    """Where a set is published and the SHA-256 of its files, in the order of `_FILES`."""

    mirrors: tuple[str, ...]
    zipped: tuple[str, ...]  # of the .gz files as published
    plain: tuple[str, ...] | None = None  # of their contents, if known: these do not depend on the compression


# The checksums of the .gz files are those of TensorFlow Datasets (url_checksums); they were not checked with a
# download. The checksums of MNIST's contents were computed from a copy of the originals.
_PUBLISHED: dict[str, _Published] = {
    "mnist": _Published(
        mirrors=(
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
            "https://storage.googleapis.com/cvdf-datasets/mnist/",
        ),
        zipped=(
            "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
            "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
            "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
            "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
        ),
        plain=(
            "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
            "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
            "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
            "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        ),
    ),
    "fashion": _Published(
        mirrors=(
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
            "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
        ),
        zipped=(
            "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
            "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
            "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
            "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
        ),
    ),
    "kmnist": _Published(
        mirrors=("https://codh.rois.ac.jp/kmnist/dataset/kmnist/",),
        zipped=(
            "51467d22d8cc72929e2a028a0428f2086b092bb31cfb79c69cc0a90ce135fde4",
            "e38f9ebcd0f3ebcdec7fc8eabdcdaef93bb0df8ea12bee65224341c8183d8e17",
            "edd7a857845ad6bb1d0ba43fe7e794d164fe2dce499a1694695a792adfac43c5",
            "20bb9a0ef54c7db3efc55a92eef5582c109615df22683c380526788f98e42a1c",
        ),
    ),
}


@dataclass(frozen=True)
class DatasetStatus:
    """Status of a named set on this machine.

    Args:
        name: the named set.
        where: the folder of its files, or "embedded".
        state: "ready", "missing" or "damaged".
        detail: one line of text.
        counts: number of images by part of the files; None unless ready.
        verified: whether all files match their published checksums; None if not checked or not known.
    """

    name: str
    where: str
    state: Literal["ready", "missing", "damaged"]
    detail: str
    counts: dict[str, int] | None = None
    verified: bool | None = None


def dataset_names() -> tuple[str, ...]:
    """The named sets.

    Returns: the names, the embedded one first.
    Example:
        >>> dataset_names()
        ('digits', 'mnist', 'fashion', 'kmnist', 'synthetic-circuit', 'synthetic-pixelcnn')
    """
    return IMAGE_SETS


def read_named(name: str, fetch: bool = True) -> tuple[dict[str, Part], int]:
    """Read a named set. It is downloaded or sampled if it is in neither of its two folders.

    Args:
        name: a name of `dataset_names()`.
        fetch: download or sample the set if it is missing.

    Returns: the parts by name, "train" and "test" (and "valid"), and the number of levels.
    Raises: InputError for an unknown name, a damaged file, or a failed download.
    """
    _check_name(name)
    if name == "digits":
        return _read_digits(), _DIGITS_LEVELS
    folder = _find(name)
    if folder is None and not fetch:
        verb = "samples" if name in SAMPLED_SETS else "downloads"
        raise refusal(name, _missing(name).detail.partition(";")[0], f"ancestral data {name} --fetch {verb} it")
    return _read_folder(folder or fetch_dataset(name)), 2 if name in SAMPLED_SETS else 256


def missing_places(name: str) -> str:
    """The folders in which the files of a named set are searched, as text; empty if the files are there."""
    if name == "digits" or _find(name) is not None:
        return ""
    cache, own = _cache_folder(name), _own_folder(name)
    return f"{own} or {cache}" if own else str(cache)


def digest(parts: dict[str, Part]) -> str:
    """The SHA-256 of all images, labels, masks, weights and conditions, in hexadecimal, for any file format."""
    total = hashlib.sha256()
    for name, part in parts.items():
        total.update(f"{name} {part.images.shape} {part.labels is not None};".encode())
        for _, block in row_blocks(part.images):
            total.update(np.ascontiguousarray(block).reshape(-1).data)
        if part.labels is not None:
            # fixed byte order, so that the sum is the same on all machines
            total.update(np.ascontiguousarray(part.labels, dtype="<i8").data)
        if part.seen is not None:
            total.update(b"seen;" + np.packbits(part.seen).tobytes())
        if part.weights is not None:
            total.update(b"weights;" + np.ascontiguousarray(part.weights, dtype="<f8").tobytes())
        if part.conditions is not None:
            shape = f"conditions {part.conditions.shape};".encode()
            total.update(shape + np.ascontiguousarray(part.conditions, dtype="<f8").tobytes())
    return total.hexdigest()


def fetch_dataset(name: str) -> Path:
    """Download a named set into the user's cache, or sample it, and check the SHA-256 of every file.

    Args:
        name: "mnist", "fashion", "kmnist" or a sampled set. Existing files are kept if they match.

    Returns: the folder of the files.
    Raises: InputError if the set needs no download, no mirror has the published files, or no package that can sample
        the set is imported.
    """
    _check_name(name)
    if name == "digits":
        raise refusal(name, "comes with scikit-learn", "there is nothing to download")
    folder = _cache_folder(name)
    if name in SAMPLED_SETS:
        _sample_into(name, folder)
        return folder
    for stem, sha256 in zip(_FILES, _PUBLISHED[name].zipped, strict=True):
        _fetch_file(name, f"{stem}.gz", sha256, folder)
    return folder


def dataset_status(name: str) -> DatasetStatus:
    """Status of a named set on this machine, without a download.

    Args:
        name: a name of `dataset_names()`.

    Returns: the status. The files are read, but not compared with their published checksums.
    Raises: InputError for an unknown name.
    Example:
        >>> dataset_status("digits").counts
        {'train': 1000, 'valid': 350, 'test': 447}
    """
    _check_name(name)
    if name == "digits":
        counts: dict[str, int] = dict(zip(PART_NAMES, _DIGITS_SIZES, strict=True))
        return DatasetStatus(name, "embedded", "ready", "comes with scikit-learn", counts)
    folder = _find(name)
    if folder is None:
        return _missing(name)
    try:
        parts = _read_folder(folder)
    except InputError as error:
        return DatasetStatus(name, str(folder), "damaged", str(error))
    counts = {key: len(part) for key, part in parts.items()}
    return DatasetStatus(name, str(folder), "ready", "the four files can be read", counts)


def verify_dataset(name: str) -> DatasetStatus:
    """Read a named set and compare every file with its published SHA-256.

    Args:
        name: a name of `dataset_names()`.

    Returns: the status with `verified`, and with a `detail` that names files that differ. A file matches by its own
        checksum or by that of its contents, if known; the files of a sampled set match by that of their contents.
        Files that differ but can be read are still "ready".
    Raises: InputError for an unknown name.
    Example:
        >>> verify_dataset("digits").verified
        True
    """
    status = dataset_status(name)
    if status.state != "ready":
        return dataclasses.replace(status, verified=False if status.state == "damaged" else None)
    if name == "digits":
        matches = digest(_read_digits()) == _DIGITS_SHA256
        detail = "matches the known SHA-256" if matches else "differs from the known SHA-256 of scikit-learn's digits"
        return dataclasses.replace(status, verified=matches, detail=detail)
    verdicts = {path.name: _matches(name, index, path) for index, path in enumerate(_files_in(Path(status.where)))}
    if all(verdicts.values()):
        return dataclasses.replace(status, verified=True, detail="all four files match the published SHA-256")
    differing = ", ".join(file for file, verdict in verdicts.items() if verdict is False)
    if differing:
        return dataclasses.replace(
            status, verified=False, detail=f"can be read, but differs from the published SHA-256: {differing}"
        )
    unknown = ", ".join(file for file, verdict in verdicts.items() if verdict is None)
    return dataclasses.replace(status, detail=f"can be read; only the .gz files have a published SHA-256: {unknown}")


def _check_name(name: str) -> None:
    if name not in dataset_names():
        raise refusal(f"dataset {name!r}", "unknown", f"choose one of {', '.join(dataset_names())}")


def _read_digits() -> dict[str, Part]:
    flat, classes = _digits_table()
    images, labels = flat.astype(np.uint8).reshape(-1, 1, 8, 8), classes.astype(np.int64)
    train, valid, _ = _DIGITS_SIZES
    bounds = (slice(train), slice(train, train + valid), slice(train + valid, None))
    return {name: Part(images[rows], labels[rows]) for name, rows in zip(PART_NAMES, bounds, strict=True)}


def _digits_table() -> tuple[np.ndarray, np.ndarray]:
    """Pixels (1797, 64) and classes (1797,), from the file in scikit-learn, because importing it is slow."""
    found = find_spec("sklearn")
    path = Path(found.origin).parent / "datasets/data/digits.csv.gz" if found and found.origin else None
    if path is not None and path.is_file():
        table = np.loadtxt(path, delimiter=",", dtype=np.int64)
        return table[:, :-1], table[:, -1]
    from sklearn.datasets import load_digits  # other versions may have the file elsewhere

    found_there = load_digits()
    return found_there.data, found_there.target  # type: ignore[union-attr]


def _read_folder(folder: Path) -> dict[str, Part]:
    train_images, train_labels, test_images, test_labels = _files_in(folder)
    parts = {
        "train": read_idx_part(train_images, train_labels),
        "test": read_idx_part(test_images, test_labels),
    }
    if parts["train"].images.shape[1:] != parts["test"].images.shape[1:]:
        raise refusal(folder, "training and test images differ in size", "download or copy the files again")
    return parts


def _own_folder(name: str) -> Path | None:
    own = os.environ.get("ANCESTRAL_DATA")
    return Path(own).expanduser() / name if own else None


def _cache_folder(name: str) -> Path:
    import pooch

    return Path(pooch.os_cache("ancestral")) / name


def _files_in(folder: Path) -> list[Path]:
    """The existing ones of the four files, in the order of `_FILES`."""
    pairs = ((folder / f"{stem}.gz", folder / stem) for stem in _FILES)
    return [next(path for path in pair if os.path.isfile(path)) for pair in pairs if any(map(os.path.isfile, pair))]


def _find(name: str) -> Path | None:
    own = _own_folder(name)
    if own is not None and len(_files_in(own)) == len(_FILES):
        return own
    cache = _cache_folder(name)
    return cache if len(_files_in(cache)) == len(_FILES) else None


def _missing(name: str) -> DatasetStatus:
    how = "sampled" if name in SAMPLED_SETS else "downloaded"
    detail = f"its four files are not in {missing_places(name)}; it is {how} at first use"
    return DatasetStatus(name, str(_cache_folder(name)), "missing", detail)


def _sample_into(name: str, folder: Path) -> None:
    """Write the files of a sampled set, unless all are there and match.

    Raises:    InputError: as `refuse_without_sampler`.
    """
    there = _files_in(folder)
    if len(there) == len(_FILES) and all(_matches(name, index, path) for index, path in enumerate(there)):
        return
    refuse_without_sampler(name)
    for stem, content in zip(_FILES, sampled_files(name), strict=True):
        write_atomically(folder / f"{stem}.gz", content)


def _fetch_file(name: str, file: str, sha256: str, folder: Path) -> None:
    import pooch

    cause: Exception | None = None
    for mirror in _PUBLISHED[name].mirrors:
        try:
            pooch.retrieve(mirror + file, known_hash=f"sha256:{sha256}", fname=file, path=folder)
            return
        except Exception as error:  # no network, a wrong checksum, no permission: try the next mirror
            cause = error
    files = ", ".join(f"{stem}.gz" for stem in _FILES)
    raise refusal(
        f"could not download {name}",
        f"{file}: {str(cause)[:160]}",
        f"copy {files} into {folder} or $ANCESTRAL_DATA/{name}",
    ) from cause


def _matches(name: str, index: int, path: Path) -> bool | None:
    """Whether a file matches its published checksum; None if there is no checksum for its form."""
    published = _PUBLISHED[name] if name in _PUBLISHED else _Published((), (), RECORDED[name])
    with open(path, "rb") as stream:
        if hashlib.file_digest(stream, "sha256").hexdigest() in published.zipped[index : index + 1]:
            return True
    zipped = is_gzip(path)
    if published.plain is None:
        return False if zipped else None
    with gzip.open(path) if zipped else open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest() == published.plain[index]

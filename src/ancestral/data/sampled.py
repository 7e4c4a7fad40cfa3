"""Named sets that are sampled from a model of this package, so that their distribution is known.

Reading data needs no models, so this package cannot sample. A package above it provides the samples once it is
imported; the files are then stored in the user's cache, as downloaded ones are.
"""

from __future__ import annotations

import gzip
import logging
from collections.abc import Callable, Iterator

import numpy as np

from ancestral.core.errors import refusal
from ancestral.core.files import sha256_of
from ancestral.data.imported import Part

log = logging.getLogger("ancestral")

RECORDED: dict[str, tuple[str, ...]] = {
    "synthetic-circuit": (
        "2a0b7f3f2b0a322750177522fecc539576638a900d12a42d6f08f2b3074fc21a",
        "829d29ed31b716f11b7bc5a97434f582a3008dc460b337080a56f48c0fc5f1d1",
        "99dbb3a9354a74fe9d3917a802c6a9e109daaf9b1c4d8e9ddd8ae697b3b1ee0f",
        "16103bfc97c9eb9d74b08d0bb0620dc5c50ff27dcf7e40b8471df5bd7d288bfd",
    ),
}
"""SHA-256 of the contents of the four files: training images and labels, test images and labels."""

_SAMPLERS: list[Callable[[str], dict[str, Part]]] = []


def provide_samples(sampler: Callable[[str], dict[str, Part]]) -> None:
    """Set the function that samples a set, by its name; it returns the parts "train" and "test"."""
    _SAMPLERS[:] = [sampler]


def refuse_without_sampler(name: str) -> None:
    """Raises:    InputError: no package that can sample is imported."""
    if not _SAMPLERS:
        raise refusal(name, "not sampled yet", f"ancestral data {name} --fetch samples it")


def sampled_files(name: str) -> Iterator[bytes]:
    """The four gzipped IDX files of a set, newly sampled; their contents are compared with the recorded sums."""
    log.warning("note: %s is sampled from its model and stored; this takes a minute", name)
    parts = _SAMPLERS[0](name)
    arrays = [array for part in (parts["train"], parts["test"]) for array in (part.images[:, 0], part.labels)]
    contents = [idx_bytes(np.asarray(array)) for array in arrays]
    if tuple(map(sha256_of, contents)) != RECORDED[name]:
        log.warning(
            "note: the images of %s sampled on this machine differ from the recorded ones (rounding); they have the "
            "same distribution, but results cannot be compared image by image",
            name,
        )
    return (gzip.compress(content, 6, mtime=0) for content in contents)


def idx_bytes(array: np.ndarray) -> bytes:
    """An array of unsigned bytes as the content of an IDX file, the format of MNIST."""
    header = bytes((0, 0, 8, array.ndim)) + np.array(array.shape, ">u4").tobytes()
    return header + array.astype(np.uint8).tobytes()

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
        "0800b7e1e25eac6b640c2b29dd97857686b82945df4fcd59de6c37eff368432d",
        "96cb6e83dd386e2089174e40038334823adf072d43c5f995ffa955ed3dc3a85d",
        "39a36c9d10bb12fe8388c93a23433f45a3cc00565570e93f58c7c4a38b6ba027",
        "a9734d505b8f4dcac5c4e916461e114d788e44fba3f4a1a2c03ced93094a7807",
    ),
    "synthetic-pixelcnn": (
        "4cc0337b62de5abc10f888f36888dc46707c978d3b39528a41787918683c34fa",
        "03788b7b45c0280837b224799acf1ff630cbcd385561d95bbeadabc0b427f34c",
        "f7caaaeb0bff1eedf2b18f87e9c84485625999a54ec70e926cb2b6609ce3bdbc",
        "b0edf34e9f4b7767ce0b45b1fde8bf64d102eb8df6e33c563922ba0e6316e345",
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
    log.warning("note: %s is sampled from its model and stored; this takes up to some minutes", name)
    parts = _SAMPLERS[0](name)
    arrays = [array for part in (parts["train"], parts["test"]) for array in (part.array[:, 0], part.labels)]
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

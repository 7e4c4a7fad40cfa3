"""Reading arrays from untrusted .pt and .pth files of PyTorch. Only tensors are loaded, never pickled objects."""

from __future__ import annotations

import functools
import pickletools
import warnings
import zipfile
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np

from ancestral.core.errors import InputError, refusal
from ancestral.core.text import type_in_words
from ancestral.data.names import Member
from ancestral.data.numpy_files import check_names, unreadable
from ancestral.data.readers import check_size, parsing

_PAIR = ("images", "labels")
_ADVICE = "save a tensor, a dictionary of tensors, or (images, labels)"
_LEGACY = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."  # a pickled number: the first bytes of files before PyTorch 1.6
_MOST_PICKLED = 64 * 2**20  # most bytes that describe the tensors
_PARTS = {
    *("collections OrderedDict", "torch Size", "torch.storage UntypedStorage", "torch.serialization _get_layout"),
    *(f"torch._utils _rebuild_{kind}" for kind in ("tensor", "tensor_v2", "tensor_v3", "parameter", "sparse_tensor")),
    "torch._utils _rebuild_meta_tensor_no_storage",
}
"""Names that the description of tensors may contain, besides number formats and classes of storage."""


def open_tensors(path: Path) -> list[Member]:
    """The tensors of a .pt or .pth file: one tensor, a dictionary of them, or a pair of images and labels.

    Raises: InputError for a damaged or too large file, and for other content.
    """
    import torch

    with parsing(path, ".pt file"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        size = path.stat().st_size
        check_size(path, size)
        if not zipfile.is_zipfile(path):
            raise _not_zipped(path)
        with zipfile.ZipFile(path) as archive:
            check_size(path, max(size, sum(info.file_size for info in archive.infolist())))
            _check_description(path, archive)
        try:
            held = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        except UnpicklingError as error:  # torch's message recommends to load any pickle
            raise _objects(path) from error
    entries = _entries(path, held)
    check_names(path, list(entries))
    return [_member(path, name, value) for name, value in entries.items()]


def _not_zipped(path: Path) -> InputError:
    """The error for a file that is not a zip archive. For legacy files, torch allocates memory without checks."""
    with open(path, "rb") as stream:
        legacy = stream.read(len(_LEGACY)) == _LEGACY
    if not legacy:
        return refusal(
            path, "not a readable .pt file (not a zip archive)", "the file is damaged or of another kind: replace it"
        )
    return refusal(
        path,
        "saved in the format of PyTorch before 1.6, whose sizes cannot be checked before memory is allocated",
        f"save it again: torch.save(torch.load({path.name!r}, weights_only=True), {path.name!r})",
    )


def _check_description(path: Path, archive: zipfile.ZipFile) -> None:
    """Check, before anything is loaded, that the description contains only the names of parts of tensors.

    torch allows more names, such as `bytearray`, with which a few bytes can allocate any amount of memory.

    Raises: InputError: other names; also no description, or several, because torch may read another one.
    """
    found = [info for info in archive.infolist() if info.filename.lower().endswith("data.pkl")]
    if len(found) != 1 or found[0].file_size > _MOST_PICKLED:
        raise refusal(path, "does not have exactly one description of tensors", _ADVICE)
    for opcode, argument, _ in pickletools.genops(archive.read(found[0])):
        named = "GLOBAL" in opcode.name or opcode.name in ("INST", "OBJ", "NEWOBJ", "NEWOBJ_EX")
        if named and not _is_part(str(argument)):
            raise _objects(path, str(argument or opcode.name))


def _is_part(name: str) -> bool:
    import torch

    module, _, attribute = name.partition(" ")
    format_or_storage = attribute.endswith("Storage") or isinstance(getattr(torch, attribute, None), torch.dtype)
    return name in _PARTS or (module == "torch" and format_or_storage)


def _objects(path: Path, name: str = "") -> InputError:
    what = f"Python objects ({name.replace(' ', '.')[:60]})" if name else "Python objects"
    return refusal(path, f"has {what}, which are never loaded, or is damaged", _ADVICE)


def _entries(path: Path, held: Any) -> dict[str, Any]:
    """The content of the file, by name."""
    import torch

    if isinstance(held, torch.Tensor):
        return {"array": held}
    if isinstance(held, dict) and held and all(isinstance(name, str) for name in held):
        return dict(held)
    pair = isinstance(held, (tuple, list)) and len(held) == len(_PAIR)
    if pair and all(isinstance(value, torch.Tensor) for value in held):
        return dict(zip(_PAIR, held, strict=True))
    raise refusal(path, f"has {type_in_words(held)}, not tensors", _ADVICE)


def _member(path: Path, name: str, value: Any) -> Member:
    import torch

    if isinstance(value, torch.Tensor):
        if value.layout != torch.strided or value.is_quantized or value.device.type != "cpu":
            return unreadable(name, refusal(path, f"{name} is not a dense tensor of numbers", _ADVICE))
        # with strides of 0, a small file can describe a tensor of any size, so check its full size
        nbytes = value.numel() * max(value.element_size(), 4 if value.dtype == torch.bfloat16 else 1)
        return Member(name, tuple(value.shape), nbytes, functools.partial(_array, path, name, value))
    if isinstance(value, (list, tuple)) and value and all(isinstance(word, str) for word in value):
        width = max(map(len, value))
        return Member(name, (len(value),), 4 * width * len(value), functools.partial(np.array, value))
    if isinstance(value, int):
        return Member(name, (), 8, functools.partial(np.array, value))
    return unreadable(name, refusal(path, f"{name} is {type_in_words(value)}, not a tensor", _ADVICE))


def _array(path: Path, name: str, tensor: Any) -> np.ndarray:
    import torch

    plain = tensor.detach().resolve_conj().resolve_neg()
    try:
        return (plain.float() if plain.dtype == torch.bfloat16 else plain).numpy()
    except (TypeError, RuntimeError) as error:
        raise refusal(path, f"{name} has the type {tensor.dtype}", "store uint8 or float32") from error

"""Untrusted .pt and .pth files of PyTorch -> arrays: only tensors are loaded, never pickled objects."""

from __future__ import annotations

import functools
import warnings
import zipfile
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np

from ancestral.core.errors import refusal
from ancestral.data.names import Member
from ancestral.data.numpy_files import check_names, unreadable
from ancestral.data.readers import check_size, parsing

_PAIR = ("images", "labels")
_ADVICE = "save a tensor, a dictionary of tensors, or (images, labels)"


def open_tensors(path: Path) -> list[Member]:
    """The tensors of a .pt or .pth file: one tensor, a dictionary of them, or a pair of images and labels.

    Raises: InputError for a damaged or oversized file, and for one that holds anything else.
    """
    import torch

    with parsing(path, ".pt file"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        zipped = zipfile.is_zipfile(path)
        promised = path.stat().st_size
        if zipped:
            with zipfile.ZipFile(path) as archive:
                promised = max(promised, sum(info.file_size for info in archive.infolist()))
        check_size(path, promised)
        try:
            held = torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
        except UnpicklingError as error:  # its own words advise to load any pickle
            raise refusal(path, "holds Python objects, which are never loaded, or is damaged", _ADVICE) from error
    entries = _entries(path, held)
    check_names(path, list(entries))
    return [_member(path, name, value) for name, value in entries.items()]


def _entries(path: Path, held: Any) -> dict[str, Any]:
    """What the file holds by name."""
    import torch

    if isinstance(held, torch.Tensor):
        return {"array": held}
    if isinstance(held, dict) and held and all(isinstance(name, str) for name in held):
        return dict(held)
    pair = isinstance(held, (tuple, list)) and len(held) == len(_PAIR)
    if pair and all(isinstance(value, torch.Tensor) for value in held):
        return dict(zip(_PAIR, held, strict=True))
    raise refusal(path, f"holds a {type(held).__name__}, not tensors", _ADVICE)


def _member(path: Path, name: str, value: Any) -> Member:
    import torch

    if isinstance(value, torch.Tensor):
        if value.layout != torch.strided or value.is_quantized or value.device.type != "cpu":
            return unreadable(name, refusal(path, f"{name} is no dense tensor of numbers", _ADVICE))
        # strides of 0 let a small file describe a tensor of any size, so it is this that counts
        nbytes = value.numel() * max(value.element_size(), 4 if value.dtype == torch.bfloat16 else 1)
        return Member(name, tuple(value.shape), nbytes, functools.partial(_array, path, name, value))
    if isinstance(value, (list, tuple)) and value and all(isinstance(word, str) for word in value):
        width = max(map(len, value))
        return Member(name, (len(value),), 4 * width * len(value), functools.partial(np.array, value))
    if isinstance(value, int):
        return Member(name, (), 8, functools.partial(np.array, value))
    return unreadable(name, refusal(path, f"{name} is a {type(value).__name__}, not a tensor", _ADVICE))


def _array(path: Path, name: str, tensor: Any) -> np.ndarray:
    import torch

    plain = tensor.detach().resolve_conj().resolve_neg()
    try:
        return (plain.float() if plain.dtype == torch.bfloat16 else plain).numpy()
    except (TypeError, RuntimeError) as error:
        raise refusal(path, f"{name} has the type {tensor.dtype}", "store uint8 or float32") from error

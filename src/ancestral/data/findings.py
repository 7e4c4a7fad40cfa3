"""What is found as data in memory are looked at: notes for people, and arrays out of arrays, tensors and their kin."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ancestral.core.errors import refusal
from ancestral.data.item_pictures import SUBJECT, is_picture


@dataclass
class Findings:
    """What is said of data in memory, and whether they are the same each time that they are read."""

    notes: list[str] = field(default_factory=list)
    repeatable: bool = True

    def say(self, *notes: str) -> None:
        """Add notes that are not there yet."""
        self.notes += [note for note in notes if note not in self.notes]


def is_array(data: Any) -> bool:
    """Whether data are an array of numpy or of a library like it, or a tensor."""
    if isinstance(data, np.ndarray) or hasattr(data, "detach"):
        return True
    return hasattr(data, "__array__") and hasattr(data, "shape") and hasattr(data, "dtype") and not is_picture(data)


def as_array(data: Any) -> np.ndarray:
    """A tensor or an array as a plain array, without a copy where that is possible.

    Raises:    InputError: it cannot be one, or holds Python objects, or some of its values are masked.
    """
    if isinstance(data, np.ma.MaskedArray) and np.ma.is_masked(data):
        raise refusal(SUBJECT, "some values are masked", "fill them, or leave out these images")
    try:
        array = _of_tensor(data) if hasattr(data, "detach") else np.asarray(data)
    except (NotImplementedError, RuntimeError, TypeError, ValueError) as error:
        raise refusal(SUBJECT, f"a {type(data).__name__} is no array ({str(error)[:80]})", "give numbers") from error
    if array.dtype.hasobject:
        raise refusal(SUBJECT, "Python objects, no numbers", "stack images of one size")
    return array


def _of_tensor(tensor: Any) -> np.ndarray:
    tensor = tensor.detach()
    tensor = (tensor.to_dense() if str(tensor.layout) != "torch.strided" else tensor).cpu().resolve_conj().resolve_neg()
    try:
        return tensor.numpy()
    except TypeError:  # a type that numpy lacks: bfloat16, say
        return tensor.float().numpy()


def length_of(data: Any) -> int | None:
    """The number of items; None where it is not known."""
    try:
        return len(data)
    except (TypeError, NotImplementedError):
        return None

"""Notices about data in memory, and conversion of tensors and other arrays to NumPy arrays."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ancestral.core.errors import refusal
from ancestral.core.text import type_in_words
from ancestral.data.item_pictures import SUBJECT, is_picture


@dataclass
class Findings:
    """Notices about data in memory. repeatable: whether the data are the same each time they are read."""

    notes: list[str] = field(default_factory=list)
    repeatable: bool = True

    def say(self, *notes: str) -> None:
        """Add notes, except those that are already there."""
        self.notes += [note for note in notes if note not in self.notes]


def is_array(data: Any) -> bool:
    """Whether data are a NumPy array, a similar array of another library, or a tensor."""
    if isinstance(data, np.ndarray) or hasattr(data, "detach"):
        return True
    return hasattr(data, "__array__") and hasattr(data, "shape") and hasattr(data, "dtype") and not is_picture(data)


def as_array(data: Any) -> np.ndarray:
    """A tensor or an array as a NumPy array, without a copy if possible.

    Raises:    InputError: it cannot be converted, has Python objects, or has masked values.
    """
    if isinstance(data, np.ma.MaskedArray) and np.ma.is_masked(data):
        raise refusal(SUBJECT, "some values are masked", "fill them, or remove these images")
    try:
        array = _of_tensor(data) if hasattr(data, "detach") else np.asarray(data)
    except (NotImplementedError, RuntimeError, TypeError, ValueError) as error:
        raise refusal(SUBJECT, f"{type_in_words(data)} is not an array ({str(error)[:80]})", "give numbers") from error
    if array.dtype.hasobject:
        raise refusal(SUBJECT, "Python objects instead of numbers", "stack images of one size")
    return array


def _of_tensor(tensor: Any) -> np.ndarray:
    tensor = tensor.detach()
    tensor = (tensor.to_dense() if str(tensor.layout) != "torch.strided" else tensor).cpu().resolve_conj().resolve_neg()
    try:
        return tensor.numpy()
    except TypeError:  # a type that NumPy does not have, such as bfloat16
        return tensor.float().numpy()


def length_of(data: Any) -> int | None:
    """The number of items; None if not known."""
    try:
        return len(data)
    except (TypeError, NotImplementedError):
        return None

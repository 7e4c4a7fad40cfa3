"""The hash of tensors, which identifies the weights of a model or the state of a training."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import torch
from torch import Tensor


def digest_of(tensors: Mapping[str, Tensor], facts: str = "") -> str:
    """SHA-256 of the facts and of each tensor's name, type, shape and bytes, in the order of the names.

    Example:
        >>> digest_of({"w": torch.ones(2)}) == digest_of({"w": torch.ones(2).double()})
        False
    """
    total = hashlib.sha256(facts.encode())
    for name, tensor in sorted(tensors.items()):
        values = tensor.detach().cpu().contiguous()
        total.update(f"\0{name}\0{values.dtype}\0{tuple(values.shape)}\0".encode())
        total.update(values.reshape(-1).view(torch.uint8).numpy().data)
    return total.hexdigest()

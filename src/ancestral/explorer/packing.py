"""Tensors of a description as one compressed text: float16 where that is exact, else float32."""

from __future__ import annotations

import base64
import gzip
from typing import Any

import torch
from torch import Tensor


class Packing:
    """Collects the tensors of nested descriptions. A tensor is replaced by where it lies.

    The page reads the same numbers as PyTorch: a floating-point tensor is stored in half precision only if no value
    changes by it. Tensors with the same bytes are stored once: the descriptions of the classes of a model share most.
    """

    def __init__(self) -> None:
        self._places: dict[bytes, int] = {}  # the stored bytes, in order, and where they begin
        self._bytes = 0

    def replace(self, value: Any) -> Any:
        """The same description with {"at", "size", "shape", "type"} in place of each tensor."""
        if isinstance(value, Tensor):
            return self._put(value)
        if isinstance(value, dict):
            return {key: self.replace(part) for key, part in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.replace(part) for part in value]
        return value

    def text(self) -> str:
        """Everything, gzip-compressed, in base64. The same tensors give the same text."""
        return base64.b64encode(gzip.compress(b"".join(self._places), 9, mtime=0)).decode("ascii")

    def _put(self, tensor: Tensor) -> dict[str, Any]:
        values, kind = _stored(tensor.detach().cpu().contiguous())
        data = values.numpy().tobytes()
        data += b"\0" * (-len(data) % 4)  # typed arrays in the page begin at multiples of their size
        if data not in self._places:
            self._places[data] = self._bytes
            self._bytes += len(data)
        return {"at": self._places[data], "size": values.numel(), "shape": list(tensor.shape), "type": kind}


def _stored(tensor: Tensor) -> tuple[Tensor, str]:
    if not tensor.is_floating_point():
        return tensor.to(torch.int32), "int32"
    single = tensor.float()
    half = single.half()
    exact = torch.equal(half.float(), single) and bool(half.isfinite().all())
    return (half, "float16") if exact else (single, "float32")

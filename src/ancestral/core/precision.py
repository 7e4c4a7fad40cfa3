"""Number formats."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch


def without_autocast(device: torch.device) -> AbstractContextManager[object]:
    """Arithmetic inside keeps the formats of its tensors, also where a training runs in half precision.

    Args:      device: of the tensors. One without autocast, such as "meta", needs nothing.
    """
    if not torch.amp.is_autocast_available(device.type):
        return nullcontext()
    return torch.autocast(device.type, enabled=False)

"""Number formats."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch


def without_autocast(device: torch.device) -> AbstractContextManager[object]:
    """Context in which arithmetic keeps the formats of its tensors, even if a training runs in half precision.

    Args:      device: of the tensors. A device without autocast, such as "meta", needs no change.
    """
    if not torch.amp.is_autocast_available(device.type):
        return nullcontext()
    return torch.autocast(device.type, enabled=False)

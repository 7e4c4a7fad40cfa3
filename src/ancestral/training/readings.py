"""The records in the log of a training."""

from __future__ import annotations

from typing import NamedTuple


class Reading(NamedTuple):
    """One value of one quantity on one split. Nats per image, unless the name states another unit."""

    split: str
    name: str
    value: float


class LogLine(NamedTuple):
    """A reading after `step` updates, in epoch `epoch` (from 1)."""

    step: int
    epoch: int
    split: str
    name: str
    value: float

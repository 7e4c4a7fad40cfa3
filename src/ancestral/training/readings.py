"""The records of which the log of a training consists."""

from __future__ import annotations

from typing import NamedTuple


class Reading(NamedTuple):
    """One value of one quantity on one split, nats per image unless the name says otherwise."""

    split: str
    name: str
    value: float


class LogLine(NamedTuple):
    """A reading and when it was taken: after `step` updates, in epoch `epoch` (1 is the first)."""

    step: int
    epoch: int
    split: str
    name: str
    value: float

"""How long the rest of some work will take."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass
class Stage:
    """A part of the work. counts: whether its time says how fast the machine is."""

    counts: bool = True


class Pace:
    """How long the rest of some work will take, from how long the first parts took.

    Args:      minutes: that each part is expected to take.
    """

    def __init__(self, minutes: Sequence[float]) -> None:
        self.expected, self.done = list(minutes), 0
        self._expected_spent = self._spent = 0.0

    @contextmanager
    def stage(self) -> Iterator[Stage]:
        """The next part."""
        stage, begun = Stage(), time.monotonic()
        yield stage
        if stage.counts:
            self._expected_spent += self.expected[self.done]
            self._spent += (time.monotonic() - begun) / 60
        self.done += 1

    @property
    def left(self) -> str:
        """`about 12 min left`."""
        factor = self._spent / self._expected_spent if self._expected_spent else 1.0
        minutes = factor * sum(self.expected[self.done :])
        return f"about {minutes:.0f} min left" if minutes >= 1 else f"about {60 * minutes:.0f} s left"

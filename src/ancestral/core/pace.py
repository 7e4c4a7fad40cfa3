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

    Args:      minutes: that each part is expected to take. trust: the expectation counts as so many minutes of work
               that took as long as expected; else a short first part, which is mostly start-up, would decide about
               the rest. 0 where nothing is known and only the ratios of the parts are meant.
    """

    def __init__(self, minutes: Sequence[float], trust: float = 0.0) -> None:
        self.expected, self.done = list(minutes), 0
        self._expected_spent = self._spent = trust
        self._begun: float | None = None  # when the present part began

    @contextmanager
    def stage(self) -> Iterator[Stage]:
        """The next part."""
        stage, self._begun = Stage(), time.monotonic()
        yield stage
        if stage.counts:
            self._expected_spent += self.expected[self.done]
            self._spent += (time.monotonic() - self._begun) / 60
        self.done, self._begun = self.done + 1, None

    def seconds_left(self, of_stage: float | None = None) -> float:
        """The time until all parts are done.

        Args:      of_stage: seconds that the present part still takes, where it knows. The whole time of that part then
                   says how fast the machine is, beside the parts that are done.
        """
        rest = 60 * sum(self.expected[self.done :])
        if self._begun is None:
            return self._factor() * rest
        elapsed, own = time.monotonic() - self._begun, 60 * self.expected[self.done]
        if of_stage is None:
            return max(0.0, self._factor() * own - elapsed) + self._factor() * (rest - own)
        return of_stage + self._factor(elapsed + of_stage, own) * (rest - own)

    def _factor(self, seconds: float = 0.0, expected: float = 0.0) -> float:
        """Time taken as a multiple of that expected, of the parts that are done and one more."""
        spent, planned = 60 * self._spent + seconds, 60 * self._expected_spent + expected
        return spent / planned if planned else 1.0

    @property
    def left(self) -> str:
        """`about 12 min left`."""
        return f"about {in_minutes(self.seconds_left())} left"


def in_minutes(seconds: float) -> str:
    """`50 s` or `12 min`.

    Example:
        >>> in_minutes(50), in_minutes(700)
        ('50 s', '12 min')
    """
    return f"{seconds / 60:.0f} min" if seconds >= 60 else f"{seconds:.0f} s"

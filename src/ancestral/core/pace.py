"""Estimates of the remaining time of a task."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass
class Stage:
    """A part of a task. counts: whether its time is used to estimate the speed of the machine."""

    counts: bool = True


class Pace:
    """Estimate of the remaining time of a task, from the time of the parts that are done.

    Args:      minutes: expected minutes of each part. trust: weight of the expectation, in minutes of work at the
               expected speed. Without it, a short first part, which is mostly start-up, would determine the estimate.
               0 if only the ratios of the parts are known.
    """

    def __init__(self, minutes: Sequence[float], trust: float = 0.0) -> None:
        self.expected, self.done = list(minutes), 0
        self._expected_spent = self._spent = trust
        self._begun: float | None = None  # start of the present part

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
        """Seconds until all parts are done.

        Args:      of_stage: remaining seconds of the present part, if known. The time of that part is then also used to
                   estimate the speed of the machine.
        """
        rest = 60 * sum(self.expected[self.done :])
        if self._begun is None:
            return self._factor() * rest
        elapsed, own = time.monotonic() - self._begun, 60 * self.expected[self.done]
        if of_stage is None:
            return max(0.0, self._factor() * own - elapsed) + self._factor() * (rest - own)
        return of_stage + self._factor(elapsed + of_stage, own) * (rest - own)

    def _factor(self, seconds: float = 0.0, expected: float = 0.0) -> float:
        """Ratio of the time taken and the time expected, over the parts that are done and one more part."""
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

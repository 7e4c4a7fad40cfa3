"""The text of progress bars of trainings and computations."""

from __future__ import annotations

import time
from collections.abc import Sequence

from ancestral.core.pace import Pace, in_minutes
from ancestral.training.log import Reading

MINIMISED = ("loss", "nll", "negative_elbo")  # readings that a bar shows


class Readout:
    """The text of the bar of a training: epochs, speed, last values and remaining time.

    Args:      title, epochs, pace: of the training; see `watching.ReporterFor`.
    """

    def __init__(self, title: str, epochs: int, pace: Pace | None = None) -> None:
        self.title, self.epochs, self.pace = title, epochs, pace
        self.step, self.total_steps = 0, 0
        self._values: dict[str, str] = {}
        self._first_step, self._started = 0, time.monotonic()

    def begin(self, total_steps: int, step: int) -> None:
        self.step, self.total_steps = step, total_steps
        self._first_step, self._started = step, time.monotonic()

    def advance(self, step: int, readings: Sequence[Reading]) -> None:
        self.step = step
        for reading in readings:
            if reading.name in MINIMISED:
                self._values[reading.split] = f"{reading.split} {reading.value:.2f}"

    @property
    def share(self) -> float:
        """The completed share of the training, from 0 to 1."""
        return self.step / self.total_steps if self.total_steps else 0.0

    @property
    def epoch(self) -> str:
        """The current epoch: `epoch 3/20`."""
        number = min(self.epochs, int(self.share * self.epochs) + 1)
        return f"epoch {number}/{self.epochs}"

    @property
    def metric(self) -> str:
        """The last values: `train 25.10, valid 26.31 nats`; "" before the first reading."""
        return f"{', '.join(self._values.values())} nats" if self._values else ""

    @property
    def seconds(self) -> float:
        """Seconds since the start of this process's training."""
        return time.monotonic() - self._started

    @property
    def speed(self) -> str:
        """`52 steps/s`, or `16 s a step` for less than one step a second; "" before the first update."""
        done = self.step - self._first_step
        if not done or self.seconds <= 0:
            return ""
        return f"{done / self.seconds:.0f} steps/s" if done >= self.seconds else f"{self.seconds / done:.0f} s a step"

    @property
    def left(self) -> str:
        """The remaining time of all work: `12 s left`; "" before the first update."""
        done = self.step - self._first_step
        if not done:
            return ""
        seconds = self.seconds / done * (self.total_steps - self.step)
        return f"{in_minutes(seconds if self.pace is None else self.pace.seconds_left(seconds))} left"

    @property
    def line(self) -> str:
        """The whole text in one line."""
        return ", ".join(filter(None, [self.epoch, self.speed, self.left, self.metric]))


class Count:
    """The text of the bar of a computation.

    Args:      title, pace: of the computation; see `watching.CounterFor`.
    """

    def __init__(self, title: str, pace: Pace | None = None) -> None:
        self.title, self.pace = title, pace
        self.done, self.total = 0, 0
        self._started = time.monotonic()

    def advance(self, done: int, total: int) -> None:
        self.done, self.total = done, total

    @property
    def share(self) -> float:
        return self.done / self.total if self.total else 0.0

    @property
    def words(self) -> str:
        """The completed items: `200/1797`; "" while the total is unknown."""
        return f"{self.done}/{self.total}" if self.total else ""

    @property
    def left(self) -> str:
        """The remaining time of all work: `12 s left`; "" if it is unknown."""
        if self.pace is not None:
            return f"{in_minutes(self.pace.seconds_left())} left"
        if not self.done:
            return ""
        return f"{in_minutes((time.monotonic() - self._started) / self.done * (self.total - self.done))} left"

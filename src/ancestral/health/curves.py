"""What a verdict on a training rests on: the readings of its log as curves, and statistics that one odd reading
cannot bend.

Every measure here is a median or made of medians: a single spike moves none of them, and readings of minibatches
need no assumption about their noise but that it is about as often too high as too low.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from ancestral.core.notebook import as_html
from ancestral.training.objectives import SCHEDULED

WINDOW = 3
"""readings whose median stands for a moment of the training: the fewest among which one odd one is outvoted"""
NORMAL = 1.4826
"""a normal distribution's standard deviation in units of its median absolute deviation"""
MIN_STEPS = 300
"""updates before a model may be said not to learn: VAEs of small images use no latent at all until about the 120th"""
MIN_READINGS = 8
"""readings of a curve before its shape is judged"""
MIN_HELD = 5
"""held-out readings before their rise is judged"""
MIN_SWINGS = 12
"""held-out readings before their swings are judged: while the curve still bends, its bends look like swings"""
CERTAIN = 5.0
"""noise levels: of 10,000 readings with normal noise, not one is so far off"""
WORSE = 0.1
"""a loss above its beginning by this share of the beginning's size is above it: that is known from one batch only"""
CRITERIA = ("nll", "negative_elbo", "reconstruction")
"""held-out readings that say how good a model is, the first that is there"""


class Line(Protocol):
    """A reading of a log and when it was taken; see `training.log.LogLine`."""

    @property
    def step(self) -> int: ...
    @property
    def split(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def value(self) -> float: ...


class Facts(NamedTuple):
    """What has to be known of a training besides its log.

    Args:      train_images: how many. steps_per_epoch, total_steps: updates.
               learning_rate: at its peak; None where there is none (expectation-maximisation).
               cosine: the rate falls along half a cosine. latents: M, of a model with real ones.
               classes: of labelled images. uniform: -log p of the uniform distribution over all images, nats; None
               for densities and points, which have none.
               finished: nothing more will come; before that no verdict is a failure yet.
    """

    train_images: int
    steps_per_epoch: int
    total_steps: int
    learning_rate: float | None = None
    cosine: bool = False
    latents: int | None = None
    classes: int | None = None
    uniform: float | None = None
    finished: bool = True

    def epoch(self, step: int) -> float:
        """Epochs done after `step` updates."""
        return step / self.steps_per_epoch

    def way(self, step: float) -> float:
        """How far the learning rate has carried the weights by then: its sum over the updates so far.

        t for a constant rate, t + sin(pi t) / pi for half a cosine, with t = step / total_steps; in units of
        half of that of a whole run (constant: of a whole one).
        """
        t = step / max(1, self.total_steps)
        return t + math.sin(math.pi * min(t, 1.0)) / math.pi if self.cosine else t


class Verdict(NamedTuple):
    """One thing that is wrong with a training.

    Args:      name: of the trouble. severity: `failure` where the model is of no use, else `warning`.
               evidence: the numbers. advice: what to do. step: the update by which it showed.
    """

    name: str
    severity: Literal["warning", "failure"]
    evidence: str
    advice: str
    step: int
    _repr_html_ = as_html

    @property
    def line(self) -> str:
        """All of it in one line."""
        return f"{self.severity}: {self.name}: {self.evidence}. {self.advice}"

    def to_json(self) -> dict[str, Any]:
        return self._asdict()


class LogCurve:
    """One quantity over the updates; readings that are not finite are counted and left out.

    Args:      steps: updates done at each reading, ascending. values: the readings.
    """

    def __init__(self, steps: Sequence[int] | NDArray[Any], values: Sequence[float] | NDArray[Any]) -> None:
        steps, values = np.asarray(steps, dtype=int), np.asarray(values, dtype=float)
        finite = np.isfinite(values)
        self.first_infinite = int(steps[~finite][0]) if not finite.all() else None
        self.steps, self.values = steps[finite], values[finite]

    def __len__(self) -> int:
        return len(self.values)

    @cached_property
    def smooth(self) -> NDArray[Any]:
        """The median of each reading and the `WINDOW` - 1 before it (of fewer at the beginning)."""
        return trailing_medians(self.values)

    @property
    def end(self) -> float:
        """Median of the last `WINDOW` readings."""
        return float(np.median(self.values[-WINDOW:]))

    @cached_property
    def best(self) -> float:
        """The smallest median of `WINDOW` readings in a row."""
        return float(self.smooth[min(WINDOW, len(self)) - 1 :].min())

    @cached_property
    def best_step(self) -> int:
        """The update at which that window closed."""
        first = min(WINDOW, len(self)) - 1
        return int(self.steps[first + int(self.smooth[first:].argmin())])

    @cached_property
    def noise(self) -> float:
        """Standard deviation of a reading around the course of the curve, robustly.

            1.4826 median(|d|) / sqrt(3/2),   d_i = v_i - (v_{i-1} + v_{i+1}) / 2

        A straight course leaves nothing in d, and independent noise of variance s^2 leaves 3/2 s^2. The first
        quarter, where curves bend most, is left out. (Not centred: of a curve that swings up and down in turn the
        median is one of two values.)
        """
        v = self.values[len(self) // 4 :]
        if len(v) < WINDOW:
            return 0.0
        bends = v[1:-1] - (v[:-2] + v[2:]) / 2
        return float(NORMAL * np.median(np.abs(bends)) / math.sqrt(1.5))

    def level(self, step: float) -> float:
        """The smoothed curve at an update, straight between readings."""
        return float(np.interp(step, self.steps, self.smooth))

    def recent(self, readings: int) -> float:
        """Median of the last so many readings."""
        return float(np.median(self.values[-readings:]))


class Case:
    """A training to be judged: its curves by split and name, and its facts.

    Where the objective follows a schedule, the curves begin when it last changed: before, losses are of other things.

    Args:      log: readings in the order they were taken. facts: see there.
    """

    def __init__(self, log: Sequence[Line], facts: Facts) -> None:
        self.facts = facts
        self.step = log[-1].step if log else 0
        self._first: dict[tuple[str, str], float] = {}
        rows: dict[tuple[str, str], tuple[list[int], list[float]]] = defaultdict(lambda: ([], []))
        changed = _last_change(log)
        for line in log:
            self._first.setdefault((line.split, line.name), line.value)
            if line.step <= changed:
                continue
            steps, values = rows[line.split, line.name]
            steps.append(line.step)
            values.append(line.value)
        self._curves = {
            key: _evenly_read(LogCurve(*row)) if key[0] == "train" else LogCurve(*row) for key, row in rows.items()
        }

    def curve(self, split: str, name: str) -> LogCurve | None:
        return self._curves.get((split, name))

    def length(self, split: str, *names: str) -> int:
        """Finite readings of the shortest of these curves."""
        curves = [self.curve(split, name) for name in names]
        return min(0 if curve is None else len(curve) for curve in curves)

    @cached_property
    def adversarial(self) -> bool:
        """Two networks against each other: a loss then says nothing about how good the samples are."""
        return ("train", "critic_loss") in self._curves

    @cached_property
    def criterion(self) -> tuple[str, str] | None:
        """Split and name of the held-out readings that say how good the model is, if there are any."""
        keys = ((split, name) for split in ("valid", "test") for name in CRITERIA)
        return next((key for key in keys if key in self._curves), None)

    @cached_property
    def held(self) -> LogCurve | None:
        """The held-out curve that says how good the model is."""
        return None if self.criterion is None else self._curves[self.criterion]

    @cached_property
    def loss(self) -> LogCurve:
        """What was minimised, on minibatches, without the first of them: that one is a single batch."""
        return self.curve("train", "loss") or LogCurve([], [])

    @cached_property
    def beginning(self) -> float:
        """What was minimised before anything was learned, on the first batch."""
        return self.first("train", "loss")

    @cached_property
    def held_beginning(self) -> float:
        """The same of the held-out quantity, where the training logs it, else of what was minimised."""
        return math.nan if self.criterion is None else self.first("train", self.criterion[1], self.beginning)

    def courses(self) -> list[tuple[str, LogCurve, float]]:
        """In words, curve and beginning of what was minimised and of what was held out, where it was read at all."""
        found = [("the training loss", self.loss, self.beginning)]
        if self.held is not None and self.criterion is not None:
            found.append((f"the held-out {words(self.criterion[1])}", self.held, self.held_beginning))
        return [course for course in found if len(course[1]) or course[1].first_infinite is not None]

    def at(self, step: int) -> str:
        """A moment in words: `epoch 3.5`."""
        return f"epoch {self.facts.epoch(step):.3g}"

    def first(self, split: str, name: str, otherwise: float = math.nan) -> float:
        """The very first reading."""
        return self._first.get((split, name), otherwise)


def _last_change(log: Sequence[Line]) -> int:
    """The last step at which a scheduled part of the objective was not yet what it is at the end; -1 without one."""
    end = {line.name: line.value for line in log if line.name.startswith(SCHEDULED)}
    if not end:
        return -1
    # readings are means over steps in single precision
    others = (
        line.step
        for line in log
        if line.name in end and not math.isclose(line.value, end[line.name], rel_tol=1e-5, abs_tol=1e-9)
    )
    return max(others, default=-1)


class Rule(NamedTuple):
    """One thing to look for.

    Args:      name: of the trouble. applies: whether such a training can have it. ready: whether the log says
               enough to judge. find: the verdict, if it has it.
    """

    name: str
    applies: Callable[[Case], bool]
    ready: Callable[[Case], bool]
    find: Callable[[Case], Verdict | None]


def trailing_medians(values: NDArray[Any]) -> NDArray[Any]:
    """The median of each value and the `WINDOW` - 1 before it, of fewer at the beginning; shape of `values`."""
    short = [np.median(values[: i + 1]) for i in range(min(WINDOW - 1, len(values)))]
    if len(values) < WINDOW:
        return np.array(short)
    return np.append(short, np.median(np.lib.stride_tricks.sliding_window_view(values, WINDOW), axis=1))


def words(name: str) -> str:
    """A reading's name for a reader."""
    return {"nll": "negative log-likelihood", "negative_elbo": "negative ELBO"}.get(name, name)


def _evenly_read(curve: LogCurve) -> LogCurve:
    """Without the readings that stand for less than half as many updates as usual: the first step's, which is
    logged alone, and the short ones at the ends of epochs. They are noisier than the others."""
    behind = np.diff(curve.steps, prepend=0)
    kept = (2 * behind >= np.median(behind)) & (np.arange(len(curve)) > 0) if len(curve) else []
    even = LogCurve(curve.steps[kept], curve.values[kept])
    even.first_infinite = curve.first_infinite
    return even

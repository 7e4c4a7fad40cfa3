"""The data of the health checks: readings of the log as curves, and robust statistics of curves.

Every statistic is a median or a function of medians, so a single spike does not change it. The only assumption about
the noise of minibatches is that it is positive about as often as negative.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ancestral.core.notebook import as_html
from ancestral.health.history import History

WINDOW = 3
"""readings per median: the smallest number for which one outlier does not matter"""
NORMAL = 1.4826
"""standard deviation of a normal distribution divided by its median absolute deviation"""
MIN_STEPS = 300
"""updates before a model can be reported as not learning: VAEs of small images use no latent until about update 120"""
MIN_READINGS = 8
"""readings of a curve before its shape is checked"""
MIN_HELD = 5
"""held-out readings before their rise is checked"""
MIN_SWINGS = 12
"""held-out readings before oscillation is checked: the curvature of a short curve looks like oscillation"""
CERTAIN = 5.0
"""noise levels: with normal noise, less than one reading in 10,000 deviates this far"""
WORSE = 0.1
"""a loss counts as above its initial value if it exceeds it by this share: the initial value is from one batch only"""
CRITERIA = ("nll", "negative_elbo", "reconstruction")
"""held-out quantities that measure the quality of a model; the first one in the log is used"""


class Facts(NamedTuple):
    """Facts about a training that the checks need besides its log.

    Args:      train_images: number of training images. steps_per_epoch, total_steps: numbers of updates. learning_rate:
               at its peak; None without one (expectation-maximisation). cosine: whether the rate follows half a cosine.
               latents: M, for a model with real latents. classes: number of classes of labelled images. uniform: -log p
               of the uniform distribution over all images, nats; None for densities. finished: whether the training has
               ended; before that all verdicts are warnings. fitted_start: whether the initial weights are fitted to
               the training data, so the first reading is not one of an untrained model. in_use: names of the settings
               that have an effect on the training; advice names no other. None: not known.
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
    fitted_start: bool = False
    in_use: frozenset[str] | None = None

    def epoch(self, step: int) -> float:
        """The number of epochs after `step` updates."""
        return step / self.steps_per_epoch

    def rate_sum(self, step: float) -> float:
        """The sum of the learning rate over the updates so far.

        t for a constant rate, t + sin(pi t) / pi for half a cosine, with t = step / total_steps; in units of half the
        sum of a whole run (constant rate: of the whole sum).
        """
        t = step / max(1, self.total_steps)
        return t + math.sin(math.pi * min(t, 1.0)) / math.pi if self.cosine else t


class Verdict(NamedTuple):
    """One problem of a training.

    Args:      name: of the problem. severity: `failure` if the model is not usable, else `warning`. evidence: the
               numbers. advice: what to do. step: the update at which the problem was visible.
    """

    name: str
    severity: Literal["warning", "failure"]
    evidence: str
    advice: str
    step: int
    _repr_html_ = as_html

    @property
    def line(self) -> str:
        """The verdict in one line."""
        return f"{self.severity}: {self.name}: {self.evidence}. {self.advice}"

    def to_json(self) -> dict[str, Any]:
        return self._asdict()


class LogCurve:
    """One quantity over the updates, without readings that are not finite.

    Args:      steps: number of updates at each reading, ascending. values: the readings.
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
        """The median of each reading and the `WINDOW` - 1 before it (fewer at the start)."""
        return trailing_medians(self.values)

    @property
    def end(self) -> float:
        """Median of the last `WINDOW` readings."""
        return float(np.median(self.values[-WINDOW:]))

    @cached_property
    def best(self) -> float:
        """The smallest median of `WINDOW` consecutive readings."""
        return float(self.smooth[min(WINDOW, len(self)) - 1 :].min())

    @cached_property
    def best_step(self) -> int:
        """The update at the end of the window of `best`."""
        first = min(WINDOW, len(self)) - 1
        return int(self.steps[first + int(self.smooth[first:].argmin())])

    @cached_property
    def noise(self) -> float:
        """A robust estimate of the standard deviation of a reading around the trend of the curve.

            1.4826 median(|d|) / sqrt(3/2),   d_i = v_i - (v_{i-1} + v_{i+1}) / 2

        For a straight trend d has mean 0, and for independent noise of variance s^2 it has variance 3/2 s^2. The first
        quarter, with the largest curvature, is omitted. (d is not centred at its median: if a curve alternates between
        up and down, the median is one of two values.)
        """
        v = self.values[len(self) // 4 :]
        if len(v) < WINDOW:
            return 0.0
        bends = v[1:-1] - (v[:-2] + v[2:]) / 2
        return float(NORMAL * np.median(np.abs(bends)) / math.sqrt(1.5))

    def level(self, step: float) -> float:
        """The smoothed curve at an update, with linear interpolation."""
        return float(np.interp(step, self.steps, self.smooth))

    def recent(self, readings: int) -> float:
        """The median of the last `readings` readings."""
        return float(np.median(self.values[-readings:]))


class Case:
    """A training to be checked: its curves by split and name, and its facts.

    If the objective follows a schedule, the curves start at its last change, because earlier losses are not comparable.

    Args:      history: the readings so far. facts: see `Facts`.
    """

    def __init__(self, history: History, facts: Facts) -> None:
        self.facts, self.step, self._first = facts, history.step, history.first
        self._curves = {
            key: _evenly_read(LogCurve(*row)) if key[0] == "train" else LogCurve(*row)
            for key, row in history.rows().items()
        }

    def curve(self, split: str, name: str) -> LogCurve | None:
        return self._curves.get((split, name))

    def length(self, split: str, *names: str) -> int:
        """The number of finite readings of the shortest of these curves."""
        curves = [self.curve(split, name) for name in names]
        return min(0 if curve is None else len(curve) for curve in curves)

    @cached_property
    def adversarial(self) -> bool:
        """Whether a generator is trained against a critic; the loss does not measure the quality of samples then."""
        return ("train", "critic_loss") in self._curves

    @cached_property
    def criterion(self) -> tuple[str, str] | None:
        """Split and name of the held-out curve that measures the quality of the model, if there is one."""
        keys = ((split, name) for split in ("valid", "test") for name in CRITERIA)
        return next((key for key in keys if key in self._curves), None)

    @cached_property
    def held(self) -> LogCurve | None:
        """The held-out curve that measures the quality of the model."""
        return None if self.criterion is None else self._curves[self.criterion]

    @cached_property
    def loss(self) -> LogCurve:
        """The minimised loss on minibatches, without the first reading, which is of a single batch."""
        return self.curve("train", "loss") or LogCurve([], [])

    @cached_property
    def beginning(self) -> float:
        """The minimised loss of the untrained model, on the first batch; after a fitted start, that of the uniform
        distribution."""
        if self.facts.fitted_start and self.facts.uniform is not None:
            return self.facts.uniform
        return self.first("train", "loss")

    @cached_property
    def held_beginning(self) -> float:
        """The value of the held-out quantity for the untrained model if it is logged, else of the minimised loss."""
        return math.nan if self.criterion is None else self.first("train", self.criterion[1], self.beginning)

    def courses(self) -> list[tuple[str, LogCurve, float]]:
        """The name, curve and initial value of the minimised loss and of the held-out quantity, if they have
        readings."""
        found = [("the training loss", self.loss, self.beginning)]
        if self.held is not None and self.criterion is not None:
            found.append((f"the held-out {words(self.criterion[1])}", self.held, self.held_beginning))
        return [course for course in found if len(course[1]) or course[1].first_infinite is not None]

    def at(self, step: int) -> str:
        """A step in words: `epoch 3.5`."""
        return f"epoch {self.facts.epoch(step):.3g}"

    def first(self, split: str, name: str, otherwise: float = math.nan) -> float:
        """The first reading of a quantity."""
        return self._first.get((split, name), otherwise)


class Rule(NamedTuple):
    """One health check.

    Args:      name: of the problem. applies: whether the check applies to a training. ready: whether the log is long
               enough. find: the verdict, or None if the check passes.
    """

    name: str
    applies: Callable[[Case], bool]
    ready: Callable[[Case], bool]
    find: Callable[[Case], Verdict | None]


def trailing_medians(values: NDArray[Any]) -> NDArray[Any]:
    """The median of each value and the `WINDOW` - 1 before it (fewer at the start); shape of `values`."""
    short = [np.median(values[: i + 1]) for i in range(min(WINDOW - 1, len(values)))]
    if len(values) < WINDOW:
        return np.array(short)
    return np.append(short, np.median(np.lib.stride_tricks.sliding_window_view(values, WINDOW), axis=1))


def words(name: str) -> str:
    """The name of a logged quantity in messages."""
    return {"nll": "negative log-likelihood", "negative_elbo": "negative ELBO"}.get(name, name)


def _evenly_read(curve: LogCurve) -> LogCurve:
    """The curve without readings of less than half as many updates as usual, which are noisier.

    These are the reading of the first step, which is logged alone, and short ones at the ends of epochs.
    """
    behind = np.diff(curve.steps, prepend=0)
    kept = (2 * behind >= np.median(behind)) & (np.arange(len(curve)) > 0) if len(curve) else []
    even = LogCurve(curve.steps[kept], curve.values[kept])
    even.first_infinite = curve.first_infinite
    return even

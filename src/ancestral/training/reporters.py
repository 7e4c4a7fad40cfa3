"""Reports of a running training to a progress bar, a tracker or any object of the user."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from ancestral.training.readings import Reading

log = logging.getLogger("ancestral")


class Reporter:
    """Base class for objects that follow a training. Its methods do nothing; a subclass overrides those that it needs.

    Any object with some of these methods can be used, such as a progress bar or an experiment tracker. The methods are
    called in the process of the training, between steps, and do not change the training. After an exception in a
    method, the reporter is not called again, and there is a notice.

    Example:
        >>> class Printer(Reporter):
        ...     def advance(self, step, readings):
        ...         print(step, {f"{reading.split}/{reading.name}": reading.value for reading in readings})
        >>> Printer().advance(20, [Reading("train", "loss", 103.5)])
        20 {'train/loss': 103.5}
    """

    def begin(self, total_steps: int, step: int) -> None:
        """The training starts at `step` of `total_steps`. `step` is above 0 if the training is resumed."""

    def advance(self, step: int, readings: Sequence[Reading]) -> None:
        """`step` updates are done, and there are new readings.

        It is called after every `log_every` steps, with means over the training images of these steps (split `train`),
        and after each validation, with values of held-out images. Both calls may have the same step.

        Args:      readings: values with `split`, `name` and `value`, as in `log.jsonl`.
        """

    def finish(self, reason: str) -> None:
        """The training has ended in this process.

        Args:      reason: `epochs` (all are done), `patience`, `diverged`, or `interrupted` (can be resumed).
        """


class GuardedReporter(Reporter):
    """Passes calls to a reporter. After the first exception, it logs one notice and makes no more calls.

    Ctrl-C is not such an exception: it ends the training as usual.

    Args:      reporter: any object; methods that it lacks are not called.
    """

    def __init__(self, reporter: Any) -> None:
        self.reporter, self.failed = reporter, False

    def begin(self, total_steps: int, step: int) -> None:
        self._call("begin", total_steps, step)

    def advance(self, step: int, readings: Sequence[Reading]) -> None:
        self._call("advance", step, readings)

    def finish(self, reason: str) -> None:
        self._call("finish", reason)

    def warn(self, line: str) -> None:
        """Report a problem of the training, if the reporter has a method `warn`."""
        self._call("warn", line)

    def _call(self, method: str, *arguments: Any) -> None:
        called = getattr(self.reporter, method, None)
        if called is None or self.failed:
            return
        try:
            called(*arguments)
        except Exception as error:  # the user's code may raise anything
            self.failed = True
            problem = " ".join(f"{type(error).__name__}: {error}".split())
            name = type(self.reporter).__name__
            log.warning("the reporter %s failed in %s (%s): the training continues without it", name, method, problem)

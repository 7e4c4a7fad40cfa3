"""What a training reports while it runs, to a bar, a tracker or any object of the user's."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from ancestral.training.readings import Reading

log = logging.getLogger("ancestral")


class Reporter:
    """What a training calls while it works; its methods do nothing, and a subclass overrides those that it needs.

    Any object with some of these methods will do: a progress bar, or a tracker of experiments. They are called in the
    process of the training, between steps; nothing that they do changes the training. One that raises an exception is
    left out for the rest of the training, with a notice.

    Example:
        >>> class Printer(Reporter):
        ...     def advance(self, step, readings):
        ...         print(step, {f"{reading.split}/{reading.name}": reading.value for reading in readings})
        >>> Printer().advance(20, [Reading("train", "loss", 103.5)])
        20 {'train/loss': 103.5}
    """

    def begin(self, total_steps: int, step: int) -> None:
        """The training starts at `step` of `total_steps`; `step` is above 0 where it is resumed."""

    def advance(self, step: int, readings: Sequence[Reading]) -> None:
        """`step` updates are done, and there are new readings.

        It is called after every `log_every` steps with means over the training images of these steps (split `train`),
        and after each validation with values of held-out images; at one step both may come, one after the other.

        Args:      readings: of quantities, each with `split`, `name` and `value`, as in `log.jsonl`.
        """

    def finish(self, reason: str) -> None:
        """The training has ended in this process.

        Args:      reason: `epochs` (all are done), `patience`, `diverged`, or `interrupted`: it can be resumed.
        """


class GuardedReporter(Reporter):
    """Passes calls on to a reporter until one raises an exception: then there is one notice, and no call any more.

    An interrupt by Ctrl-C is not such an exception, and ends the training as usual.

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
        """A trouble of the training, for reporters that take such lines."""
        self._call("warn", line)

    def _call(self, method: str, *arguments: Any) -> None:
        called = getattr(self.reporter, method, None)
        if called is None or self.failed:
            return
        try:
            called(*arguments)
        except Exception as error:  # another's code may fail in any way
            self.failed = True
            problem = " ".join(f"{type(error).__name__}: {error}".split())
            name = type(self.reporter).__name__
            log.warning("the reporter %s failed in %s (%s): the training continues without it", name, method, problem)

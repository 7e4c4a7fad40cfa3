"""Health checks while a training is running, and at its end."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from ancestral.data.datasets import Split
from ancestral.distributions.pixels import BINARY_SPACES
from ancestral.families.family import DataSpec
from ancestral.families.run_settings import Settings
from ancestral.health.advice import CALMER, advice
from ancestral.health.examine import Examination, Facts, Verdict, examine_history
from ancestral.health.history import History
from ancestral.training.log import LogLine, Reading
from ancestral.training.reporters import Reporter


@runtime_checkable
class Warns(Protocol):
    """A reporter that can show a warning to the user."""

    def warn(self, line: str) -> None: ...


class Monitor(Reporter):
    """A reporter that forwards progress to another reporter and checks the training after each validation.

    It stores the readings in memory and writes nothing, so the log of a run does not depend on it.

    Args:      reporter: receives progress and, if it `Warns`, each problem once, when it is first visible. facts: of
               the training. log: the earlier lines of a resumed training; problems that are already visible in them are
               not reported again before the end.
    """

    def __init__(self, reporter: Reporter, facts: Facts, log: Sequence[LogLine] = ()) -> None:
        self.reporter, self.facts, self._history = reporter, facts, History(log)
        self._told = {verdict.name for verdict in self._examine(finished=False).verdicts}

    def begin(self, total_steps: int, step: int) -> None:
        self.reporter.begin(total_steps, step)

    def advance(self, step: int, readings: Sequence[Reading]) -> None:
        epoch = -(-step // self.facts.steps_per_epoch)
        for reading in readings:
            self._history.add(LogLine(step, epoch, *reading))
        self.reporter.advance(step, readings)
        if any(reading.split != "train" for reading in readings):
            self._tell(f"epoch {epoch}")

    def finish(self, reason: str) -> None:
        self.reporter.finish(reason)

    def _tell(self, when: str) -> None:
        for verdict in self._examine(finished=False).verdicts:
            if verdict.name not in self._told and isinstance(self.reporter, Warns):
                self.reporter.warn(f"{when}, {verdict.line}")
            self._told.add(verdict.name)

    def _examine(self, finished: bool) -> Examination:
        return examine_history(self._history, self.facts._replace(finished=finished))

    def conclude(self, diverged: str = "") -> Examination:
        """The examination of the finished training.

        Args:      diverged: why the training stopped early, or ""; the log does not contain this.
        """
        found = self._examine(finished=True)
        if not diverged:
            return found
        verdict = Verdict("divergence", "failure", diverged, advice(self.facts, *CALMER), self._history.step)
        others = (other for other in found.verdicts if other.name != verdict.name)
        healthy = tuple(name for name in found.healthy if name != verdict.name)
        unjudged = tuple(name for name in found.unjudged if name != verdict.name)
        return Examination((verdict, *others), healthy, unjudged)


def uniform_nats(spec: DataSpec) -> float | None:
    """-log p(x) of the uniform distribution over all images, D log L, nats; None for data without integer levels.

    Example:
        >>> round(uniform_nats(DataSpec((1, 28, 28), 256, "threshold")), 1)
        543.4
    """
    levels = {"levels": spec.levels, **dict.fromkeys(BINARY_SPACES, 2)}.get(spec.space)
    return None if levels is None else math.prod(spec.event_shape) * math.log(levels)


def facts_for(settings: Settings, train: Split, spec: DataSpec) -> Facts:
    """The facts of a training that the checks need besides its log.

    Args:      train: the training images. spec: the data that the model is built for.
    """
    training = settings.training
    per_epoch = -(-len(train) // training.batch_size)
    latents = getattr(settings.model, "latents", None)
    return Facts(
        train_images=len(train),
        steps_per_epoch=per_epoch,
        total_steps=per_epoch * training.epochs,
        learning_rate=training.rate if getattr(settings.model, "has_learning_rate", True) else None,
        cosine=training.schedule == "cosine",
        latents=latents if isinstance(latents, int) else None,
        classes=None if train.labels is None else len(train.labels.unique()),
        uniform=uniform_nats(spec),
        fitted_start=getattr(settings.model, "fitted_start", False),
        in_use=settings.in_use(points=spec.levels == 0),
    )

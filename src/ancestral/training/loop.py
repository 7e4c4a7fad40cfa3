"""The training loop. There is only one."""

from __future__ import annotations

import copy
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import Tensor

from ancestral.core.dividing import dividing
from ancestral.core.errors import InputError, Interrupted, TrainingDiverged
from ancestral.core.random import seed_device, seed_for
from ancestral.data.pixels import PixelBatches
from ancestral.models.base import Model
from ancestral.settings.stored import dataclass_from
from ancestral.settings.training import TrainingSettings
from ancestral.training.averaging import AveragedWeights
from ancestral.training.checkpoint import load_state, save_state, under_prefix, with_prefix
from ancestral.training.frozen import FrozenWeights, training_mode
from ancestral.training.log import Reading, TrainingLog
from ancestral.training.objectives import Terms
from ancestral.training.reporters import Reporter
from ancestral.training.shards import WHOLE, Shards
from ancestral.training.steps import Step

Validate = Callable[[Model], Sequence[Reading]]
CHECKPOINT_SECONDS = 20.0
REPEATS = 1.0  # interrupts within so many seconds count as one request


@dataclass
class Position:
    """The position of a training. A resumed run needs this and the tensors, nothing else."""

    step: int = 0
    epoch: int = 0
    batch: int = 0
    best_value: float | None = None
    best_step: int = 0
    waited: int = 0
    pending: int = 0
    finished: str = ""


@dataclass
class Clock:
    """Seconds in training steps, number of images, and total seconds of earlier processes."""

    steps: float = 0.0
    images: int = 0
    before: float = 0.0
    started: float | None = None

    @property
    def total(self) -> float:
        return self.before + (time.perf_counter() - self.started if self.started is not None else 0.0)

    def to_json(self) -> dict[str, float]:
        return {"steps": self.steps, "images": self.images, "before": self.total}


@dataclass(frozen=True)
class Outcome:
    """How a training ended.

    Attributes: reason: `epochs` (all done) or `patience`. seconds: time in training steps. total_seconds: the same
               with validation, pictures and checkpoints. Both include all processes of a resumed training, but not
               steps that were lost in a crash.
    """

    reason: str
    steps: int
    epochs: int
    best_step: int
    best_value: float | None
    seconds: float
    total_seconds: float
    images_per_second: float


class Loop:
    """Train a model batch by batch: order, logging, validation, best weights, checkpoints.

    The random seed of step t is a function of (seed, t), and that of the order of the data is a function of
    (seed, epoch). So validation, pictures and interruptions cannot change a run, and no state of a generator is saved.

    Args:      model: already on the device. step: updates the model. train: the training batches. settings: of the
               training. validate: returns readings of the model on held-out data; the first reading of split `valid`
               selects the best weights (smaller is better). log: receives the readings. checkpoint: file for the state,
               or None. after_epoch: called with (epoch, model) after each epoch, and with epoch 0 before training.
               checkpoint_seconds: seconds between checkpoints. averaged: averages of the model's weights, which
               validation, pictures and the final model use; None: the latest weights. shards: as of the step.
    """

    def __init__(
        self,
        model: Model,
        step: Step,
        train: PixelBatches,
        settings: TrainingSettings,
        *,
        validate: Validate | None = None,
        log: TrainingLog | None = None,
        checkpoint: Path | None = None,
        after_epoch: Callable[[int, Model], None] | None = None,
        reporter: Reporter | None = None,
        checkpoint_seconds: float = CHECKPOINT_SECONDS,
        averaged: AveragedWeights | None = None,
        shards: Shards = WHOLE,
    ) -> None:
        self.shards = shards
        self.model, self.step, self.train, self.settings = model, step, train, settings
        self.validate, self.log, self.checkpoint = validate, log, checkpoint
        self.after_epoch = after_epoch or (lambda epoch, model: None)
        self.reporter = reporter or Reporter()
        self.checkpoint_seconds = checkpoint_seconds
        self.position = Position()
        self.best: dict[str, Tensor] | None = None
        self._sums: dict[str, Tensor] = {}
        self._steps_per_epoch = train.batches_per_epoch(settings.batch_size)
        self._saved_at = time.monotonic()
        self._clock = Clock()
        self._frozen: FrozenWeights | None = None
        self.averaged = averaged

    def run(self) -> Outcome:
        """Train until all epochs are done or the patience ends. The model then has its best weights.

        Raises:    TrainingDiverged: the loss or the weights are not finite; the model then has its best weights, or
                   the last saved ones. Interrupted: Ctrl-C, SIGTERM or SIGHUP; the state is saved.
        """
        self._clock.started = time.perf_counter()
        self._frozen = FrozenWeights(self.model, self.settings.freeze)
        ended = "interrupted"
        devices = [self.train.device] if self.train.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices), _stop_requests() as stop:
            self.shards.tell_of(stop)
            self.reporter.begin(self.settings.epochs * self._steps_per_epoch, self.position.step)
            if self.position.step == 0:
                self.after_epoch(0, self.model.eval())  # the averages are still the initial weights
                self._save()  # so that there are finite weights even after an early divergence
            try:
                while self.position.epoch < self.settings.epochs and not self.position.finished:
                    self._epoch(stop)
                self.position.finished = self.position.finished or "epochs"
                self._save()
                ended = self.position.finished
            except TrainingDiverged:
                ended = "diverged"
                self._recover()
                raise
            finally:
                self.reporter.finish(ended)
        self._take_final_weights()
        where = self.position
        return Outcome(
            reason=where.finished,
            steps=where.step,
            epochs=where.epoch,
            best_step=where.best_step,
            best_value=where.best_value,
            seconds=self._clock.steps,
            total_seconds=self._clock.total,
            images_per_second=self._clock.images / self._clock.steps if self._clock.steps else 0.0,
        )

    def _take_final_weights(self) -> None:
        """Set the model to its best weights, or else to the last averages, if there are some."""
        if self.best is not None:
            self.model.load_state_dict(self.best)
        elif self.averaged is not None:
            self.averaged.take()
        self.model.eval()

    def _averages_in_use(self) -> AbstractContextManager[None]:
        """Context for everything that evaluates the model during the training."""
        return nullcontext() if self.averaged is None else self.averaged.in_use()

    def _epoch(self, stop: threading.Event) -> None:
        where, settings = self.position, self.settings
        training_mode(self.model, settings.freeze)
        started = time.perf_counter()
        for batch in self.train.shuffled(where.epoch, settings.batch_size, where.batch):
            seed_device(self.train.device, seed_for(settings.seed, "step", where.step))
            self._collect(self.step(batch, where.step))
            if self.averaged is not None:
                self.averaged.update(where.step)
            where.step += 1
            where.batch += 1
            self._clock.images += len(batch.x)
            last = where.batch == self._steps_per_epoch
            if last:
                self.step.end_epoch()
            if last or where.step % settings.log_every == 0 or where.step == 1:
                self._flush()
            self._clock.steps += time.perf_counter() - started
            if last:
                break
            if settings.validate_every and where.step % settings.validate_every == 0:
                self._validate()
                if where.finished:
                    return
            self._pause(stop)
            started = time.perf_counter()
        where.epoch, where.batch = where.epoch + 1, 0
        self._validate()
        if self._frozen is not None:
            self._frozen.check()
        if self.log:
            self.log.refuse_if_gone()  # pictures may be drawn next, which would create the folder again
        with self._averages_in_use():
            self.after_epoch(where.epoch, self.model.eval())
        self._pause(stop)

    def _pause(self, stop: threading.Event) -> None:
        """Between two steps: save a checkpoint if it is time, and stop if requested."""
        stopping = self.shards.stopping(stop)
        if stopping or time.monotonic() - self._saved_at > self.checkpoint_seconds:
            self._save()
        if stopping:
            raise Interrupted("interrupted; the state is saved: continue with --resume")

    def _recover(self) -> None:
        """After a divergence, restore the best weights, or else the last saved ones."""
        if self.best is None and self.checkpoint is not None and self.checkpoint.exists():
            self.best = under_prefix("model", load_state(self.checkpoint)[0])
        if self.best is not None:
            self.model.load_state_dict(self.best)
        self.model.eval()

    def _collect(self, terms: Terms) -> None:
        self.position.pending += len(terms["loss"])
        for name, term in terms.items():
            total = term.sum()
            self._sums[name] = self._sums[name] + total if name in self._sums else total

    def _flush(self) -> None:
        """Log the means over the images since the last call."""
        where = self.position
        epoch = where.epoch + 1
        values = {name: float(total) / where.pending for name, total in self._sums.items()}
        if not math.isfinite(values["loss"]):
            raise TrainingDiverged(f"the loss is {values['loss']} at step {where.step} or shortly before")
        readings = [Reading("train", name, value) for name, value in values.items()]
        if self.log:
            self.log.write(where.step, epoch, readings)
        self._sums, where.pending = {}, 0
        self.reporter.advance(where.step, readings)

    def _validate(self) -> None:
        """Log the held-out readings, keep the weights if they are the best, and update the patience."""
        if self.validate is None:
            return
        where = self.position
        self.model.eval()
        with torch.no_grad(), self._averages_in_use():
            readings = self._readings(self.validate)
            criterion = next((reading.value for reading in readings if reading.split == "valid"), None)
            best = math.inf if where.best_value is None else where.best_value
            better = criterion is not None and criterion < best and math.isfinite(criterion)
            if better:
                self.best = copy.deepcopy(self.model.state_dict())
        training_mode(self.model, self.settings.freeze)
        if self.log:
            self.log.write(where.step, where.epoch + (where.batch > 0), readings)
        self.reporter.advance(where.step, readings)
        if criterion is None:
            return
        if better:
            where.best_value, where.best_step, where.waited = criterion, where.step, 0
        else:
            where.waited += 1
            if self.settings.patience is not None and where.waited >= self.settings.patience:
                where.finished = "patience"

    def _readings(self, validate: Validate) -> list[Reading]:
        """The readings of a validation, whose work is divided; all processes use those of the first one."""
        with dividing(self.shards.processes):
            found = list(validate(self.model))
        _, facts = self.shards.processes.from_first(lambda: ({}, {"readings": found}))
        return [Reading(*reading) for reading in facts["readings"]]

    def _save(self) -> None:
        """Write a checkpoint.

        Raises:    TrainingDiverged: the weights are not finite. The earlier checkpoint is then kept.
        """
        weights = self.model.state_dict()
        if not all(torch.isfinite(tensor).all() for tensor in weights.values() if tensor.is_floating_point()):
            raise TrainingDiverged(f"the weights are not finite at step {self.position.step}")
        self._saved_at = time.monotonic()
        if self.checkpoint is None:
            return
        tensors = with_prefix("model", weights) | with_prefix("step", self.step.state())
        tensors |= with_prefix("pending", self._sums) | with_prefix("best", self.best or {})
        if self.averaged is not None:
            tensors |= with_prefix("averaged", self.averaged.state())
        log_bytes, log_sha256 = self.log.position() if self.log else (0, None)
        facts: dict[str, Any] = {
            "position": asdict(self.position),
            "pending": list(self._sums),  # the order in the log; the file of tensors has no order
            "log_bytes": log_bytes,
            "log_sha256": log_sha256,
            "clock": self._clock.to_json(),
        }
        save_state(self.checkpoint, tensors, facts)

    def restore(self, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
        """Resume from the state of a checkpoint.

        Raises:    InputError: the state does not fit this model.
        """
        try:
            self.position = dataclass_from(Position, facts["position"], "position")
            self.model.load_state_dict(under_prefix("model", tensors))
            self.step.restore(under_prefix("step", tensors))
            if self.averaged is not None:
                self.averaged.restore(under_prefix("averaged", tensors))
            self._clock = dataclass_from(Clock, facts["clock"], "clock")
            sums = under_prefix("pending", tensors)
            self._sums = {name: sums[name] for name in facts["pending"]}
        except (LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:
            problem = " ".join(str(error).split())
            raise InputError(f"the checkpoint does not fit this model: {problem}") from error
        self.best = under_prefix("best", tensors) or None
        if self._can_continue():
            self.position.finished = ""

    def _can_continue(self) -> bool:
        """Whether a finished training can continue, because there are now more epochs or more patience."""
        where, settings = self.position, self.settings
        if where.finished == "patience":
            return settings.patience is None or where.waited < settings.patience
        return where.finished == "epochs" and where.epoch < settings.epochs


@contextmanager
def _stop_requests() -> Iterator[threading.Event]:
    """An event that Ctrl-C, SIGTERM or SIGHUP set, so that the present step is completed. A later Ctrl-C ends at once.

    A key that is held down or a terminal that closes may send several signals. Signals within one second count as one
    request. If SIGHUP is ignored, for example by `nohup`, it stays ignored. A repeated SIGTERM changes nothing: a
    cluster sends several before it ends a job.
    """
    stop = threading.Event()
    asked = 0.0
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def request(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        if number != signal.SIGTERM and stop.is_set() and time.monotonic() - asked > REPEATS:
            before = previous[signal.SIGINT]
            if not callable(before):
                raise KeyboardInterrupt
            before(number, frame)  # the handler of the command line acts on the first signal only
            return
        asked = asked if stop.is_set() else time.monotonic()
        stop.set()

    hangup = getattr(signal, "SIGHUP", None)  # Windows has none
    also = [hangup] if hangup is not None and signal.getsignal(hangup) is not signal.SIG_IGN else []
    previous = {number: signal.signal(number, request) for number in (signal.SIGINT, signal.SIGTERM, *also)}
    try:
        yield stop
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)

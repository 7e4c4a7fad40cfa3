"""Whole training steps as CUDA graphs: loss, gradient and update are recorded once and then replayed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, cast

import torch
from torch import Tensor

from ancestral.data.pixels import Batch, Moment
from ancestral.settings.training import TrainingSettings
from ancestral.training.objectives import Terms
from ancestral.training.operations import Operations, WatchedMoment

log = logging.getLogger("ancestral")
Update = Callable[[Batch, int], Terms]
COMPARED = 2
"""Steps whose operations are listed before a recording."""
RECORDABLE = ("adam", "adamw", "sgd")
"""Optimisers that keep all numbers of an update on the device."""


class Recorder(Protocol):
    """Records what a function does on a device. Tests use one for the CPU."""

    def beside(self, function: Callable[[], Terms]) -> Terms:
        """Call a function where it will be recorded later, without a recording."""
        ...

    def record(self, function: Callable[[], Terms]) -> tuple[Terms, Callable[[], object]]:
        """Record a function. Returns its results, without values yet, and a function that computes them again."""
        ...


class CudaRecorder:
    """Records CUDA graphs. The rules are those of the PyTorch notes on CUDA graphs.

    A recording, and the calls before it, use a stream of their own. All its tensors keep their addresses: those that
    the step makes are in a memory pool of the graph. Random numbers come from the default generator of the device,
    which a graph reads at each replay. So a seed set before a replay has the same effect as in eager mode.

    Args:      device: a CUDA device.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._stream: torch.cuda.Stream | None = None

    def beside(self, function: Callable[[], Terms]) -> Terms:
        stream, present = self._own_stream(), torch.cuda.current_stream(self.device)
        stream.wait_stream(present)
        with torch.cuda.stream(stream):
            found = function()
        present.wait_stream(stream)
        return found

    def record(self, function: Callable[[], Terms]) -> tuple[Terms, Callable[[], object]]:
        graph, present = torch.cuda.CUDAGraph(), torch.cuda.current_stream(self.device)
        state = torch.cuda.get_rng_state(self.device)
        try:
            with torch.cuda.graph(graph, stream=self._own_stream()):
                found = function()
        except Exception:
            # a failed recording leaves its stream in use, and the generator in the state of a recording
            torch.cuda.set_stream(present)
            fresh = torch.Generator(self.device)
            fresh.set_state(state)
            _generator(self.device).graphsafe_set_state(fresh.graphsafe_get_state())
            raise
        return found, graph.replay

    def _own_stream(self) -> torch.cuda.Stream:
        self._stream = self._stream or torch.cuda.Stream(self.device)
        return self._stream


@dataclass
class _Kind:
    """One kind of step: its operations, and its recording if there is one.

    Attributes: epoch: of the last call. due: comparisons before the next replay.
    """

    epoch: int = -1
    due: int = COMPARED
    operations: list[tuple[Any, ...]] | None = None
    batch: Batch | None = None
    terms: Terms | None = None
    replay: Callable[[], object] | None = None


class StepGraph:
    """Updates as replays of recorded updates, or nothing where eager mode has to make them.

    For each kind of step, the first call is left to eager mode: layers and optimisers may set themselves up. In the
    next two, the operations are compared. If they are equal, the call after them is recorded and replayed, and so are
    all later ones. In each epoch, the first two calls are in eager mode again, and the operations of the second are
    compared with the earlier ones. A last smaller batch is left to eager mode.

    A step cannot be recorded if it reads results in Python, copies from the host, or has numbers that change from step
    to step, such as a schedule. Then one warning says why, and all steps are left to eager mode. Nothing is lost.

    Not noticed: a number of Python that changes within an epoch, after the first steps, in an objective of a plug-in
    that does not read `batch.moment`.

    Args:      update: (batch, step) -> terms; makes one update, and changes nothing but tensors in place. rows: images
               of a whole batch. steps_per_epoch: steps. recorder: of the device. optimizers: that the update uses.
    Attributes: failed: whether the steps cannot be recorded.
    """

    def __init__(
        self, update: Update, rows: int, steps_per_epoch: int, recorder: Recorder, optimizers: Sequence[Any]
    ) -> None:
        self.update, self.rows, self.steps_per_epoch = update, rows, steps_per_epoch
        self.recorder, self.optimizers = recorder, optimizers
        self.failed = False
        self._kinds: dict[str, _Kind] = {}

    def __call__(self, batch: Batch, step: int, kind: str = "") -> Terms | None:
        """The terms of an update, or None: eager mode has to make it. kind: steps of one kind have equal operations."""
        if self.failed or len(batch.x) != self.rows:
            return None
        known, epoch = self._kinds.setdefault(kind, _Kind()), step // self.steps_per_epoch
        if known.epoch != epoch:
            known.epoch, known.due = epoch, max(1, known.due)
            return None
        if known.due:
            known.due -= 1
            return self._compared(batch, step, known)
        if known.replay is None and not self._record(batch, step, known):
            return None
        return _replayed(batch, known)

    def forget(self) -> None:
        """Forget all recordings, because the optimiser has tensors at other addresses."""
        self._kinds = {}

    def _compared(self, batch: Batch, step: int, known: _Kind) -> Terms:
        """Make an update in eager mode, and compare its operations with those of the last comparison."""
        moment = WatchedMoment(batch.moment)
        watched = batch._replace(moment=cast("Moment", moment))
        with Operations(batch) as seen:
            terms = self.recorder.beside(lambda: self.update(watched, step))
        if seen.obstacle:
            self._give_up(seen.obstacle)
        elif moment.was_read or (known.operations is not None and known.operations != seen.found):
            self._give_up("it changes from step to step")
        known.operations = seen.found
        return terms

    def _record(self, batch: Batch, step: int, known: _Kind) -> bool:
        """Record an update; returns whether this was possible. Nothing is computed yet."""
        kept: dict[str, Any] = {n: value.clone() for n, value in batch._asdict().items() if isinstance(value, Tensor)}
        static = batch._replace(**kept, moment=cast("Moment", WatchedMoment(None)))
        try:
            with _capturable(self.optimizers):
                known.terms, known.replay = self.recorder.record(lambda: self.update(static, step))
        except Exception as error:  # any: for a mistake in the objective, eager mode raises the error again
            self._give_up(" ".join(f"{type(error).__name__}: {error}".split())[:200])
            return False
        known.batch = static
        return True

    def _give_up(self, reason: str) -> None:
        self.failed, self._kinds = True, {}
        log.warning("--cuda-graph: the training continues without it, because a step cannot be recorded: %s", reason)


def graph_for(
    update: Update, settings: TrainingSettings, steps_per_epoch: int, optimizers: Sequence[Any], device: torch.device
) -> StepGraph | None:
    """Recorded updates if the settings ask for them and they are possible; None, with a warning, if they are not.

    A learning rate that changes becomes a tensor of the device, from which a replay reads it.

    Args:      update, steps_per_epoch, optimizers: as of `StepGraph`. device: of the training.
    """
    if not settings.cuda_graph or device.type == "meta":  # a trial step, which only measures memory
        return None
    recorder = recorder_for(device)
    if recorder is None:
        log.warning("--cuda-graph has no effect: this training uses the device %s, not a CUDA device", device)
        return None
    if settings.optimizer not in RECORDABLE:
        log.warning(
            "--cuda-graph has no effect with --optimizer %s: choose %s", settings.optimizer, " or ".join(RECORDABLE)
        )
        return None
    if settings.schedule != "constant" or settings.warmup_steps:
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = torch.tensor(settings.rate, device=device)
    return StepGraph(update, settings.batch_size, steps_per_epoch, recorder, optimizers)


def recorder_for(device: torch.device) -> Recorder | None:
    """The recorder for a device; None where steps cannot be recorded."""
    return CudaRecorder(device) if device.type == "cuda" else None


def _replayed(batch: Batch, known: _Kind) -> Terms:
    """The terms of a replay with the numbers of a batch. The next replay overwrites those of the recording."""
    assert known.batch is not None and known.terms is not None and known.replay is not None
    for own, value in zip(known.batch, batch, strict=True):
        if isinstance(own, Tensor) and isinstance(value, Tensor):
            own.copy_(value)
    known.replay()
    return {name: term.clone() for name, term in known.terms.items()}


@contextmanager
def _capturable(optimizers: Sequence[Any]) -> Iterator[None]:
    """Context in which Adam agrees to be recorded. Its fused version can be; elsewhere the mark causes a warning."""
    groups = [group for optimizer in optimizers for group in optimizer.param_groups if "capturable" in group]
    for group in groups:
        group["capturable"] = True
    try:
        yield
    finally:
        for group in groups:
            group["capturable"] = False


def _generator(device: torch.device) -> torch.Generator:
    index = device.index if device.index is not None else torch.cuda.current_device()
    return torch.cuda.default_generators[index]

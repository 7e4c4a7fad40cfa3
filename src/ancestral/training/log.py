"""The log of a training: one JSON object a line, nothing in it that a repeat would change."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from ancestral.core.errors import InputError


class Reading(NamedTuple):
    """One value of one quantity on one split, nats per image unless the name says otherwise."""

    split: str
    name: str
    value: float


class LogLine(NamedTuple):
    """A reading and when it was taken: after `step` updates, in epoch `epoch` (1 is the first)."""

    step: int
    epoch: int
    split: str
    name: str
    value: float


class TrainingLog:
    """Appends lines to `log.jsonl`, and to TensorBoard where asked.

    Args:      path: the file. keep: bytes of it to keep: the position stored in a checkpoint when resuming.
               tensorboard: folder for TensorBoard's events, or None.
    """

    def __init__(self, path: Path, keep: int = 0, tensorboard: Path | None = None) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("r+b" if path.exists() else "w+b")
        if path.stat().st_size < keep:
            raise InputError(f"{path} is shorter than its checkpoint says; train anew without --resume")
        self._file.truncate(keep)
        self._file.seek(keep)
        self._board: Any = None
        if tensorboard is not None:
            try:
                from torch.utils.tensorboard import SummaryWriter
            except ImportError as error:
                raise InputError("--tensorboard needs TensorBoard: pip install 'ancestral[track]'") from error
            self._board = SummaryWriter(str(tensorboard))

    def write(self, step: int, epoch: int, readings: Iterable[Reading]) -> None:
        """Append one line per reading."""
        for reading in readings:
            line = LogLine(step, epoch, *reading)
            self._file.write(json.dumps(line._asdict()).encode() + b"\n")
            if self._board is not None:
                self._board.add_scalar(f"{reading.split}/{reading.name}", reading.value, step)

    def position(self) -> int:
        """Bytes written so far, all of them on the disk: no checkpoint may know of lines that are lost."""
        self._file.flush()
        os.fsync(self._file.fileno())
        return self._file.tell()

    def close(self) -> None:
        self._file.close()
        if self._board is not None:
            self._board.close()


def read_log(path: Path) -> list[LogLine]:
    """The lines of a log; a last line cut short by a crash is left out.

    Raises:    InputError: missing, or not a log.
    """
    try:
        lines = path.read_text().splitlines(keepends=True)
        return [LogLine(**json.loads(line)) for line in lines if line.endswith("\n")]
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    except (TypeError, ValueError) as error:
        raise InputError(f"{path} is not a training log: {error}") from error

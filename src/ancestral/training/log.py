"""The log of a training: one JSON object per line, identical if the training is repeated."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Sequence
from pathlib import Path

from ancestral.core.errors import InputError
from ancestral.core.files import naming, read_bytes
from ancestral.training.readings import LogLine, Reading
from ancestral.training.trackers import open_tracker


class TrainingLog:
    """Appends lines to `log.jsonl`, and passes their readings to trackers.

    Args:      path: the file. keep: number of bytes to keep: the position stored in the checkpoint of a resumed
               training. track: the setting of that name. keep_sha256: SHA-256 of these bytes; None if the checkpoint
               does not have it.
    Raises:    InputError: the log does not match the checkpoint; the file is not changed.
    """

    def __init__(self, path: Path, keep: int = 0, track: Sequence[str] = (), keep_sha256: str | None = None) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        if keep and not path.exists():
            raise InputError(f"{path} is missing; train again without --resume")
        with naming(path):
            self._file = path.open("r+b" if path.exists() else "w+b")
            kept = self._file.read(keep)
        self._sha256 = hashlib.sha256(kept)
        if len(kept) < keep:
            self._file.close()
            raise InputError(f"{path} is shorter than recorded in its checkpoint; train again without --resume")
        if keep_sha256 is not None and self._sha256.hexdigest() != keep_sha256:
            self._file.close()
            raise InputError(
                f"{path} was changed or is damaged: its SHA-256 differs from that in its checkpoint; train again "
                "without --resume"
            )
        with naming(path):
            self._file.truncate(keep)
            self._file.seek(keep)
        lines = parse_log(kept, path) if track else []
        self._trackers = [open_tracker(name, path.parent, lines) for name in track]

    def write(self, step: int, epoch: int, readings: Sequence[Reading]) -> None:
        """Append one line per reading."""
        for reading in readings:
            line = json.dumps(LogLine(step, epoch, *reading)._asdict()).encode() + b"\n"
            with naming(self._path):
                self._file.write(line)
            self._sha256.update(line)
        for tracker in self._trackers:
            tracker.write(step, epoch, readings)

    def position(self) -> tuple[int, str]:
        """Number of bytes written so far and their SHA-256. The bytes are flushed to disk first.

        So a checkpoint never refers to lines that are lost in a crash.

        Raises:    InputError: as `refuse_if_gone`.
        """
        self.refuse_if_gone()
        with naming(self._path):
            self._file.flush()
            os.fsync(self._file.fileno())
        return self._file.tell(), self._sha256.hexdigest()

    def refuse_if_gone(self) -> None:
        """Raises:    InputError: the file is no longer there, for example because its folder was deleted or moved."""
        try:
            in_place = os.path.samestat(os.fstat(self._file.fileno()), self._path.stat())
        except OSError:
            in_place = False
        if not in_place:
            raise InputError(f"{self._path} was deleted, moved or replaced during the training: the training stops")

    def close(self) -> None:
        """Raises:    OSError: the last lines cannot be written; the message names the file."""
        with naming(self._path):
            self._file.close()
        for tracker in self._trackers:
            tracker.close()


def columns_of(log: Sequence[LogLine]) -> dict[str, list[float]]:
    """The readings of a log as a wide table: one row for each step with readings, in order.

    Returns:   columns of equal length: `step`, `epoch` (from 1), and `split/name` for each quantity; NaN if a row has
               no reading of it.
    Example:
        >>> columns_of([LogLine(1, 1, "train", "loss", 5.0), LogLine(9, 1, "valid", "nll", 4.0)])
        {'step': [1, 9], 'epoch': [1, 1], 'train/loss': [5.0, nan], 'valid/nll': [nan, 4.0]}
    """
    rows = {step: row for row, step in enumerate(sorted({line.step for line in log}))}
    epochs = {line.step: line.epoch for line in log}
    columns: dict[str, list[float]] = {"step": list(rows), "epoch": [epochs[step] for step in rows]}
    for line in log:
        column = columns.setdefault(f"{line.split}/{line.name}", [math.nan] * len(rows))
        column[rows[line.step]] = line.value
    return columns


def read_log(path: Path) -> list[LogLine]:
    """The lines of a log. An incomplete last line, left by a crash, is skipped.

    Raises:    InputError: the file is missing or not a log.
    """
    return parse_log(read_bytes(path), path)


def parse_log(content: bytes, path: Path) -> list[LogLine]:
    """The lines of a log from its content; see `read_log`.

    Args:      content: bytes of the file. path: its name, for the error message.
    Raises:    InputError: the content is not a log.
    """
    try:
        lines = content.decode().splitlines(keepends=True)
        return [LogLine(**json.loads(line)) for line in lines if line.endswith("\n")]
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(f"{path} is not a training log: {error}") from error

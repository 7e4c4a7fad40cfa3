"""The log of a training: one JSON object a line, nothing in it that a repeat would change."""

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
    """Appends lines to `log.jsonl`, and passes their readings on to trackers where asked.

    Args:      path: the file. keep: bytes of it to keep: the position stored in a checkpoint when resuming.
               track: the setting of that name. keep_sha256: of the kept bytes; None where the checkpoint does not hold
               it.
    Raises:    InputError: the file is not the log that the checkpoint belongs to; it is left as it is.
    """

    def __init__(self, path: Path, keep: int = 0, track: Sequence[str] = (), keep_sha256: str | None = None) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        if keep and not path.exists():
            raise InputError(f"{path} is missing; train anew without --resume")
        with naming(path):
            self._file = path.open("r+b" if path.exists() else "w+b")
            kept = self._file.read(keep)
        self._sha256 = hashlib.sha256(kept)
        if len(kept) < keep:
            self._file.close()
            raise InputError(f"{path} is shorter than its checkpoint says; train anew without --resume")
        if keep_sha256 is not None and self._sha256.hexdigest() != keep_sha256:
            self._file.close()
            raise InputError(
                f"{path} was changed or is damaged: it does not match the SHA-256 in its checkpoint; train anew "
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
        """Bytes written so far and their SHA-256. They are on the disk: no checkpoint may know of lines that are lost.

        Raises:    InputError: as `refuse_if_gone`.
        """
        self.refuse_if_gone()
        with naming(self._path):
            self._file.flush()
            os.fsync(self._file.fileno())
        return self._file.tell(), self._sha256.hexdigest()

    def refuse_if_gone(self) -> None:
        """Raises:    InputError: the file is no longer in its place: its folder was deleted or moved, say."""
        try:
            in_place = os.path.samestat(os.fstat(self._file.fileno()), self._path.stat())
        except OSError:
            in_place = False
        if not in_place:
            raise InputError(f"{self._path} was deleted, moved or replaced during the training, which therefore ends")

    def close(self) -> None:
        """Raises:    OSError: names the file; the last lines cannot be written."""
        with naming(self._path):
            self._file.close()
        for tracker in self._trackers:
            tracker.close()


def columns_of(log: Sequence[LogLine]) -> dict[str, list[float]]:
    """The readings of a log as a wide table: a row for each step of which anything was read, in order.

    Returns:   columns of equal length: `step`, `epoch` (1 is the first), and `split/name` for each quantity, NaN where
               a row has no such reading.
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
    """The lines of a log; a last line cut short by a crash is left out.

    Raises:    InputError: missing, or not a log.
    """
    return parse_log(read_bytes(path), path)


def parse_log(content: bytes, path: Path) -> list[LogLine]:
    """The lines of a log that has been read; see `read_log`.

    Args:      content: of the file. path: its name, for the refusal.
    Raises:    InputError: not a log.
    """
    try:
        lines = content.decode().splitlines(keepends=True)
        return [LogLine(**json.loads(line)) for line in lines if line.endswith("\n")]
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(f"{path} is not a training log: {error}") from error

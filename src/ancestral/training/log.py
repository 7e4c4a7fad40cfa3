"""The log of a training: one JSON object a line, nothing in it that a repeat would change."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from ancestral.core.errors import InputError
from ancestral.core.files import naming, read_bytes


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
               keep_sha256: of these bytes; None where the checkpoint does not hold it.
               tensorboard: folder for TensorBoard's events, or None.
    Raises:    InputError: the file is not the log that the checkpoint belongs to; it is left as it is.
    """

    def __init__(
        self, path: Path, keep: int = 0, tensorboard: Path | None = None, keep_sha256: str | None = None
    ) -> None:
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
            line = json.dumps(LogLine(step, epoch, *reading)._asdict()).encode() + b"\n"
            with naming(self._path):
                self._file.write(line)
            self._sha256.update(line)
            if self._board is not None:
                self._board.add_scalar(f"{reading.split}/{reading.name}", reading.value, step)

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
        if self._board is not None:
            self._board.close()


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

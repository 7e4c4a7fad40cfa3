"""Other formats of the log of a training: a CSV table, and events for TensorBoard."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol

from ancestral.core.errors import InputError
from ancestral.core.files import naming, write_atomically
from ancestral.training.readings import LogLine, Reading

TABLE, EVENTS = "log.csv", "tensorboard"
KEYS = ("step", "epoch")
LACKING = "--track tensorboard needs the package TensorBoard: pip install 'ancestral[track]'"


class Tracker(Protocol):
    """Interface for trackers: the log passes its readings to them."""

    def write(self, step: int, epoch: int, readings: Sequence[Reading]) -> None: ...
    def close(self) -> None: ...


def open_tracker(name: str, folder: Path, lines: Sequence[LogLine]) -> Tracker:
    """The tracker for a value of the setting `track`.

    Args:      folder: folder of the run. lines: lines of the log that are kept when a training is resumed.
    Raises:    InputError: TensorBoard is not installed.
    """
    return WideTable(folder / TABLE, lines) if name == "csv" else Events(folder / EVENTS, lines)


class WideTable:
    """`log.csv`: one row for each step with readings, one column for each quantity, such as `train/loss`.

    The file is a function of the lines of the log. A resumed training writes it again from the kept lines, so it is
    identical to that of a training without interruption. A cell without a reading is empty. A row is written when its
    step is over. A new quantity gets a new column at the right.

    Args:      path: the file. lines: kept lines of the log.
    """

    def __init__(self, path: Path, lines: Iterable[LogLine] = ()) -> None:
        self._path = path
        rows: dict[int, dict[str, float]] = {}
        for step, epoch, split, name, value in lines:
            rows.setdefault(step, {"step": step, "epoch": epoch})[f"{split}/{name}"] = value
        self._row = rows.popitem()[1] if rows else {}  # its step may get more readings
        self._columns = list(dict.fromkeys([*KEYS, *(column for row in rows.values() for column in row)]))
        self._file = self._rewritten(b"".join(map(self._line, rows.values())))

    def write(self, step: int, epoch: int, readings: Sequence[Reading]) -> None:
        if self._row and self._row["step"] != step:
            self._end_row()
        self._row |= {"step": step, "epoch": epoch}
        self._row |= {f"{reading.split}/{reading.name}": reading.value for reading in readings}

    def close(self) -> None:
        if not self._file.closed:
            self._end_row()
            self._file.close()

    def _end_row(self) -> None:
        if not self._row:
            return
        if new := [column for column in self._row if column not in self._columns]:
            with naming(self._path):
                self._file.close()
                rows = self._path.read_bytes()[len(self._header()) :]
            self._columns += new
            self._file = self._rewritten(rows.replace(b"\n", b"," * len(new) + b"\n"))
        with naming(self._path):
            self._file.write(self._line(self._row))
            self._file.flush()
        self._row = {}

    def _rewritten(self, rows: bytes) -> Any:
        write_atomically(self._path, self._header() + rows)
        with naming(self._path):
            return self._path.open("ab")

    def _header(self) -> bytes:
        return _csv(self._columns)

    def _line(self, row: dict[str, float]) -> bytes:
        return _csv(["" if column not in row else repr(row[column]) for column in self._columns])


def _csv(cells: Sequence[str]) -> bytes:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerow(cells)
    return buffer.getvalue().encode()


class Events:
    """Events for TensorBoard, in a folder of the run.

    Args:      folder: folder for the files. lines: kept lines of the log; events of later steps are hidden.
    Raises:    InputError: TensorBoard is not installed.
    """

    def __init__(self, folder: Path, lines: Sequence[LogLine] = ()) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise InputError(LACKING) from error
        self._writer = SummaryWriter(str(folder), purge_step=lines[-1].step + 1 if lines else 1)

    def write(self, step: int, epoch: int, readings: Sequence[Reading]) -> None:
        for reading in readings:
            self._writer.add_scalar(f"{reading.split}/{reading.name}", reading.value, step)

    def close(self) -> None:
        self._writer.close()

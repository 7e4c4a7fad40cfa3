"""How far a sweep or a study is, read from its folder; the workers are not asked."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ancestral.core.errors import InputError
from ancestral.runs.run import Run
from ancestral.sweeps.claims import Claims, Entry, Listing, Taken

State = Literal["running", "interrupted", "failed", "queued", "finished"]
STATES: dict[State, str] = {
    "running": "a worker trains it now",
    "interrupted": "its worker was killed or stopped; the next worker resumes it from its saved state",
    "failed": "its training ended with an error; the command of the sweep or study trains it again",
    "queued": "not begun",
    "finished": "trained",
}
"""The states of a trial, in the order of the page, with their meaning."""
TAIL_BYTES = 4096  # of a log: more than its last line


@dataclass(frozen=True)
class Standing:
    """A trial and its state.

    Args:      entry: the trial. state: its state. taken: the last claim on it; None if it was never taken. epoch: of
               the run that is trained now, or was last; 0 if none was begun. outcome: of its last finished run.
    """

    entry: Entry
    state: State
    taken: Taken | None
    epoch: int
    outcome: dict[str, Any]


@dataclass(frozen=True)
class Board:
    """All trials of a sweep or study.

    Args:      listing: what it holds. standings: of the known trials. undrawn: number of trials of a search that are
               not drawn yet. page: whether there is a report; that of a sweep may be incomplete.
    """

    folder: Path
    listing: Listing
    standings: Sequence[Standing]
    undrawn: int
    page: Literal["written", "being written", "missing"]

    def of(self, state: State) -> list[Standing]:
        """The trials in a state."""
        return [one for one in self.standings if one.state == state]

    @property
    def counts(self) -> dict[State, int]:
        """The number of trials in each state."""
        return {state: len(self.of(state)) + (self.undrawn if state == "queued" else 0) for state in STATES}

    @property
    def ended(self) -> bool:
        """Whether no trial is left to train: all are finished or have failed."""
        return not any(self.counts[state] for state in ("running", "interrupted", "queued"))

    def to_json(self) -> list[dict[str, Any]]:
        """One record for each known trial."""
        return [
            {
                "trial": one.entry.title,
                "state": one.state,
                "worker": one.taken and one.taken.worker,
                "since": one.taken and one.taken.since,
                "epoch": one.epoch,
                "epochs": one.entry.epochs,
                "failure": (one.taken and one.taken.failure) or None,
                "runs": list(one.entry.runs),
            }
            for one in self.standings
        ]


def read_board(folder: Path) -> Board:
    """The present state of a sweep or study.

    Raises:    InputError: the folder has no sweep and no study.
    """
    claims = Claims(folder)
    listing = claims.listing()
    taken = {one.entry.name: one for one in claims.taken()}
    entries = {entry.name: entry for entry in listing.entries}
    if len(entries) < listing.total:  # a search: its trials are known once they are taken
        entries |= {name: one.entry for name, one in taken.items()}
    held = claims.held(taken)  # before the runs are read: a run that ends now is finished, never interrupted
    standings = [_standing(folder, entry, taken.get(name), name in held) for name, entry in entries.items()]
    written = "written" if (folder / "report.html").exists() else "missing"
    page = "being written" if claims.page_is_held else written
    return Board(folder, listing, standings, max(0, listing.total - len(standings)), page)


def _standing(folder: Path, entry: Entry, taken: Taken | None, held: bool) -> Standing:
    runs = [Run(folder / name) for name in entry.runs]
    outcomes = [_outcome(run) for run in runs]
    begun = [run for run in runs if run.started]
    epoch = _epoch(begun[-1].log_path) if begun else 0
    state: State = "queued"
    if all(outcomes) and not held:
        state = "finished"
    elif held:
        state = "running"
    elif taken is not None and taken.failure:
        state = "failed"
    elif begun:
        state = "interrupted"
    return Standing(entry, state, taken, epoch, next(filter(None, reversed(outcomes)), {}))


def _outcome(run: Run) -> dict[str, Any]:
    """The outcome of a finished run; empty if it is not finished, or if its files are being written."""
    try:
        return run.outcome if run.started and run.finished else {}
    except InputError:
        return {}


def _epoch(path: Path) -> int:
    """The epoch of the last complete line of a log; 0 without one."""
    if not path.exists():
        return 0
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - TAIL_BYTES))
        lines = file.read().splitlines(keepends=True)
    for line in reversed(lines):
        if line.endswith(b"\n"):
            try:
                return int(json.loads(line)["epoch"])
            except (ValueError, KeyError, TypeError):
                return 0
    return 0

"""The page and the table of the progress of a sweep or study."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from ancestral.core.pace import in_minutes
from ancestral.core.text import duration
from ancestral.reports.html import Report, Section, Table, write_report
from ancestral.sweeps.standing import STATES, Board, Standing, State

PAGE = "progress.html"
RELOAD = 10  # seconds
MOST_ROWS = 200  # of the table of a state


def write_progress_page(board: Board, reload: int = RELOAD) -> Path:
    """Write `progress.html`, which browsers load again until all trials have ended; returns its path.

    Args:      board: the present state. reload: seconds between two loads.
    """
    counts = board.counts
    now = datetime.now(UTC)
    report = Report(
        title=f"Progress: {board.listing.title}",
        subtitle=f"Read from the folder on {now:%Y-%m-%d at %H:%M:%S} UTC.",
        lead=_lead(board),
        facts=[(state, str(count)) for state, count in counts.items()],
        sections=[
            Section(state.capitalize(), tables=[_table(board, state, now)]) for state in STATES if board.of(state)
        ]
        + [_commands(board)],
        footer=f"Made by `ancestral progress {board.folder}`.",
        refresh=None if board.ended else reload,
    )
    page = board.folder / PAGE
    write_report(report, page)
    return page


def progress_table(board: Board) -> Table:
    """All trials that are not queued and not finished, and the counts in the caption."""
    now = datetime.now(UTC)
    shown = [one for state in ("running", "interrupted", "failed") for one in board.of(state)]
    header = ["trial", "state", "epoch", "worker", "since"]
    rows = [[one.entry.title, one.state, _epoch(one), *_worker(one, now)] for one in shown[:MOST_ROWS]]
    return Table(header, rows, _lead(board), numeric={2})


def _lead(board: Board) -> str:
    counts = board.counts
    others = [f"{counts[state]} {state}" for state in STATES if state != "finished" and counts[state]]
    told = f"{counts['finished']} of {board.listing.total} trainings are finished"
    told += f"; {', '.join(others)}." if others else "."
    if not board.ended and not counts["running"]:
        told += " No worker is training: repeat the command, unless jobs wait or begin."
        told += f" The output of the jobs is in {board.folder / 'jobs'}." if (board.folder / "jobs").exists() else ""
    if board.ended and counts["failed"]:
        told += " Repeat the command to train the failed ones again."
    elif board.ended and board.page != "written":
        told += {
            "being written": " A worker writes the report.",
            "missing": " Repeat the command to write the report.",
        }[board.page]
    return told


def _table(board: Board, state: State, now: datetime) -> Table:
    found = board.of(state)
    more = len(found) - MOST_ROWS
    left = f" {more} more are not shown." if more > 0 else ""
    undrawn = f" {board.undrawn} more are not drawn yet." if state == "queued" and board.undrawn else ""
    caption = f"{state.capitalize()}: {STATES[state]}.{left}{undrawn}"
    if state == "finished":
        rows = [
            [one.entry.title, _epoch(one), duration(one.outcome.get("total_seconds", 0)), _ended(one)]
            for one in found[:MOST_ROWS]
        ]
        return Table(["trial", "epoch", "time", "ended by"], rows, caption, numeric={1, 2})
    if state == "queued":
        return Table(["trial"], [[one.entry.title] for one in found[:MOST_ROWS]], caption)
    if state == "failed":
        rows = [
            [one.entry.title, one.taken.failure if one.taken else "", *_worker(one, now)] for one in found[:MOST_ROWS]
        ]
        return Table(["trial", "error", "worker", "at"], rows, caption)
    rows = [[one.entry.title, _epoch(one), *_worker(one, now)] for one in found[:MOST_ROWS]]
    return Table(["trial", "epoch", "worker", "since"], rows, caption, numeric={1})


def _epoch(one: Standing) -> str:
    return f"{one.epoch} of {one.entry.epochs}"


def _ended(one: Standing) -> str:
    reasons = {"epochs": "all epochs", "patience": "no more improvement", "diverged": "divergence"}
    reason = str(one.outcome.get("reason", ""))
    return reasons.get(reason, reason)


def _worker(one: Standing, now: datetime) -> list[str]:
    """The worker of a trial, and since when it has it."""
    if one.taken is None:
        return ["", ""]
    since = datetime.fromisoformat(one.taken.since)
    return [one.taken.worker, f"{since:%Y-%m-%d %H:%M:%S} UTC, {in_minutes((now - since).total_seconds())} ago"]


def _commands(board: Board) -> Section:
    return Section(
        "Commands",
        "The first command writes this page again, and with `--watch 10` every ten seconds. The second one continues "
        "the work; it can run beside other workers.",
        commands=[f"ancestral progress {board.folder}", board.listing.command],
        links=[("the report", "report.html")] if board.page == "written" else [],
    )

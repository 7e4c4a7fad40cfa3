"""Commands whose work jobs can do, and the command that shows their progress."""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import tyro

from ancestral.commands.console import print_json, print_table, say
from ancestral.core.errors import InputError
from ancestral.settings.cluster import ClusterSettings

LONGEST_WATCH = 86_400  # seconds between two looks


def submit_workers(
    work: Callable[..., None],
    arguments: dict[str, Any],
    cluster: ClusterSettings,
    out: Path,
    waiting: Callable[..., int],
) -> bool:
    """Submit as many workers as are wanted, and not more than there are trainings to do.

    Args:      work: what a job does, called with the arguments. out: the folder of the queue. waiting: called with the
               same arguments; checks them, writes the list of trainings and returns how many are not finished.
    Returns:   whether workers were submitted; False: nothing is left to train.
    Raises:    InputError: they cannot be submitted.
    """
    from ancestral.sweeps.submission import JOBS, refuse_submission, submit

    refuse_submission(cluster, out)
    count = min(waiting(**arguments), cluster.workers)
    if not count:
        return False
    jobs = submit(work, arguments, replace(cluster, workers=count), out)
    fewer = f" of {cluster.workers}, because only {count} trainings are left" if count < cluster.workers else ""
    say(f"submitted {count} {'worker' if count == 1 else 'workers'}{fewer}: {_numbers(jobs)}; output in {out / JOBS}")
    say(f"progress: ancestral progress {out}")
    return True


def _numbers(jobs: list[str]) -> str:
    """The numbers of jobs; an array has one number."""
    numbers = list(dict.fromkeys(job.partition("_")[0] for job in jobs))
    return f"{'job' if len(numbers) == 1 else 'jobs'} {', '.join(numbers)}"


def progress(
    folder: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="FOLDER")],
    watch: int | None = None,
    json: bool = False,
) -> None:
    """Show how far a sweep or study is, and write FOLDER/progress.html, which a browser loads again every ten seconds.

    It reads the folder and asks no worker: which trainings are queued, running (where, since when, at which epoch),
    interrupted, finished or failed.

    Args:
        folder: folder of the sweep or study
        watch: repeat every N seconds until all trainings are finished or failed
        json: print the state of each training, as JSON, on stdout
    """
    from ancestral.sweeps.progress_page import RELOAD, progress_table, write_progress_page
    from ancestral.sweeps.standing import read_board

    if watch is not None and not 1 <= watch <= LONGEST_WATCH:
        raise InputError(f"--watch {watch}: give a whole number from 1 to {LONGEST_WATCH}")
    while True:
        board = read_board(folder)
        page = write_progress_page(board, watch or RELOAD)
        if json:
            print_json(board.to_json())
        elif (table := progress_table(board)).rows:
            print_table(table)
        else:
            print(table.caption)
        if watch is None or board.ended:
            break
        time.sleep(watch)
    say(f"page: {page}")

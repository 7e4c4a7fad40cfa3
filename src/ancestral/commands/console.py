"""Shared functions of the commands: open runs, print messages, tables and JSON."""

import json
import logging
import math
import shutil
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import tyro
from rich.console import Console

from ancestral.core.errors import InputError
from ancestral.runs.folder import refuse_no_run
from ancestral.settings.data import POINT_SETS

RunPath = Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]
Runs = Annotated[
    tyro.conf.Positional[tuple[Path, ...]],
    tyro.conf.arg(metavar="RUN [RUN ...]", help_behavior_hint="(required)"),  # commands check that there is one
]
screen = Console(stderr=True)
WIDE = 240  # line width of output to a file


def console() -> Console:
    """Console on stdout; output to a file is wide, so that tables are not wrapped."""
    console = Console()
    return console if console.is_terminal else Console(width=WIDE)


def say(line: str) -> None:
    """Print a line on stderr as it is: not wrapped, and brackets in paths are not read as markup."""
    screen.print(line, soft_wrap=True, markup=False, highlight=False)


class _Messages(logging.Handler):
    """Prints log messages of the library, one line each, without breaking the progress bar."""

    def emit(self, record: logging.LogRecord) -> None:
        say(record.getMessage())


def show_messages() -> None:
    """Print log messages of the library on stderr from now on; a second call has no effect."""
    logger = logging.getLogger("ancestral")
    if not any(isinstance(handler, _Messages) for handler in logger.handlers):
        logger.addHandler(_Messages())
        logger.setLevel(logging.INFO)


def refuse_below_one(count: int | None) -> None:
    if count is not None and count < 1:
        raise InputError(f"--count {count}: give a whole number of at least 1")


def refuse_missing_runs(*paths: Path) -> None:
    """Refuse a path that is not a run before torch is imported, which takes seconds.

    Raises:    InputError: no run is named, or one is not a run folder.
    """
    if not paths:
        raise InputError("name at least one run folder")
    for path in paths:
        refuse_no_run(path)


def opened_runs(paths: tuple[Path, ...]) -> list[Any]:
    refuse_missing_runs(*paths)
    from ancestral.runs.run import Run

    opened = [Run(path) for path in paths]
    for run in opened:
        _ = run.record  # raises at once if this is not a run folder
    return opened


def score_one(
    run: Any,
    samples: int,
    split: str,
    from_prior: bool,
    count: int | None = None,
    per_image: Path | None = None,
    steps: int | None = None,
) -> Any:
    from ancestral.evaluation.likelihood import Request
    from ancestral.runs.evaluate import evaluate_run
    from ancestral.runs.progress import counter

    with counter(screen, f"scoring {run.path.name}") as progress:
        request = Request(samples, from_prior, steps=steps)
        found = evaluate_run(run, split, request, count, progress, per_image)
    if found.of_classes is not None:
        say(f"{run.path.name}: {found.of_classes.summary}")
    return found.score


def show_scores(named: list[tuple[str, Any]], as_json: bool) -> None:
    from ancestral.reports.score_tables import score_table

    if as_json:
        print_json([{"run": name, **score.to_json()} for name, score in named])
        return
    print_table(score_table(named))


def listed(rows: Sequence[tuple[str, str]]) -> str:
    """Names with their descriptions, one hanging paragraph each, wrapped to the width of the terminal."""
    width = shutil.get_terminal_size().columns
    indent = min(max((len(name) for name, _ in rows), default=0) + 4, max(width // 3, 6))
    return "\n".join(_entry(name, text, indent, width) for name, text in rows)


def _entry(name: str, text: str, indent: int, width: int) -> str:
    """A name with its text to the right, or below if the name is as wide as the indent."""
    wrapped = wrapped_at_words(text, width, " " * indent)
    if len(name) + 4 <= indent:
        return f"  {name}".ljust(indent) + wrapped[indent:]
    if len(name) + 2 > width:
        name = name.replace(",", ", ")  # a list of choices has no spaces, so it could not be wrapped
    return f"  {wrapped_at_words(name, width, ' ' * 6)[6:]}\n{wrapped}"


def wrapped_at_words(text: str, width: int, indent: str = "") -> str:
    """A paragraph wrapped at spaces only; a word that is wider than the terminal gets its own line."""
    return textwrap.fill(
        text, width, initial_indent=indent, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )


def print_table(shown: Any) -> None:
    from rich.table import Table

    table = Table(box=None)
    for i, column in enumerate(shown.header):
        table.add_column(column, justify="right" if i in shown.numeric else "left")
    for row in shown.rows:
        table.add_row(*row)
    console().print(table)
    if shown.caption:
        console().print(shown.caption, markup=False, highlight=False, soft_wrap=True)


def say_entropies(runs: list[Any]) -> None:
    """Print the entropy of data whose density is known, the best possible score, on stderr."""
    from ancestral.runs.evaluate import entropy_in_words

    known = {run.record["data"]["name"]: run for run in runs if run.settings.data.data in POINT_SETS}
    for name, run in known.items():
        say(f"entropy of {name}: {entropy_in_words(run.data)}")


def print_json(records: list[dict[str, Any]]) -> None:
    # JSON has no value for infinity or NaN, such as the standard error of a single image
    finite = [{k: None if v in (math.inf, -math.inf) or v != v else v for k, v in r.items()} for r in records]
    sys.stdout.write(json.dumps(finite, indent=2, allow_nan=False, default=str) + "\n")

"""The command that lists, fetches and verifies data."""

from typing import Annotated, Any

import tyro

from ancestral.commands.console import console, print_json
from ancestral.core.errors import InputError
from ancestral.settings.data import POINT_SETS


def data(
    name: Annotated[tyro.conf.Positional[str | None], tyro.conf.arg(metavar="[NAME]")] = None,
    fetch: bool = False,
    json: bool = False,
) -> None:
    """List the data sets and densities that have names here, or verify a data set.

    Args:
        name: one data set: its files are hashed; or a density of points
        fetch: download it if it is missing
        json: print JSON, and nothing else, on stdout
    """
    from dataclasses import asdict

    _refuse_request(name, fetch)
    if fetch:
        _fetch(name)
    states = [_state(name)] if name else _all_states()
    if json:
        print_json([asdict(state) for state in states])
    else:
        _show(states)


def _refuse_request(name: str | None, fetch: bool) -> None:
    from ancestral.data.datasets import dataset_names

    if name is not None and name not in (*dataset_names(), *POINT_SETS):
        raise InputError(f"unknown data set {name!r}: choose {', '.join((*dataset_names(), *POINT_SETS))}")
    if fetch and name in POINT_SETS:
        raise InputError(f"{name} is drawn, not read: there is nothing to download")


def _fetch(name: str | None) -> None:
    """Download a data set, or all that are missing."""
    from ancestral.data.datasets import dataset_names, dataset_status, fetch_dataset

    missing = (known for known in dataset_names() if dataset_status(known).state != "ready")
    for wanted in [name] if name else list(missing):
        fetch_dataset(wanted)


def _state(name: str) -> Any:
    """Of a data set, whose files are hashed for it, or of a density."""
    from ancestral.data.datasets import verify_dataset
    from ancestral.data.toy import points_status

    return points_status(name) if name in POINT_SETS else verify_dataset(name)


def _all_states() -> list[Any]:
    from ancestral.data.datasets import dataset_names, dataset_status
    from ancestral.data.toy import points_status

    return [*map(dataset_status, dataset_names()), *map(points_status, POINT_SETS)]


def _show(states: list[Any]) -> None:
    from rich.table import Table

    table = Table("data", "state", "where", "", box=None)
    for state in states:
        table.add_row(state.name, state.state, str(state.where), state.detail)
    console().print(table)

"""The command that lists, fetches and verifies data."""

from typing import Annotated

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

    from ancestral.data.datasets import dataset_names, dataset_status, fetch_dataset, verify_dataset
    from ancestral.data.toy import points_status

    if name is not None and name not in (*dataset_names(), *POINT_SETS):
        raise InputError(f"unknown data set {name!r}: choose {', '.join((*dataset_names(), *POINT_SETS))}")
    if fetch and name in POINT_SETS:
        raise InputError(f"{name} is drawn, not read: there is nothing to download")
    if fetch:
        missing = [known for known in dataset_names() if dataset_status(known).state != "ready"]
        for wanted in [name] if name else missing:
            fetch_dataset(wanted)
    if name in POINT_SETS:
        states = [points_status(name)]
    elif name:
        states = [verify_dataset(name)]
    else:
        states = [dataset_status(known) for known in dataset_names()] + [points_status(known) for known in POINT_SETS]
    if json:
        print_json([asdict(state) for state in states])
        return
    from rich.table import Table

    table = Table("data", "state", "where", "", box=None)
    for state in states:
        table.add_row(state.name, state.state, str(state.where), state.detail)
    console().print(table)

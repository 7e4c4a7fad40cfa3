"""The command that lists, fetches, verifies and describes data."""

from pathlib import Path
from typing import Annotated, Any

import tyro

from ancestral.commands.console import console, print_json, say
from ancestral.commands.places import PICTURES, refuse_ending
from ancestral.core.errors import InputError
from ancestral.settings.data import IMAGE_SETS, POINT_SETS, DataSettings, FileSettings, check_source

NAMED = (*IMAGE_SETS, *POINT_SETS)
SHEET_CLASSES, SHEET_COLUMNS = 20, 10


def data(
    name: Annotated[tyro.conf.Positional[str | None], tyro.conf.arg(metavar="[NAME|PATH]")] = None,
    fetch: bool = False,
    train_size: int | None = None,
    valid_size: int | None = None,
    split_seed: int | None = None,
    out: Path | None = None,
    json: bool = False,
    reading: FileSettings = FileSettings(),  # noqa: B008  (frozen)
) -> None:
    """List the data sets and densities that have names here, verify one, or say how a file or folder is read.

    Args:
        name: one data set: its files are hashed; a density of points; or a file or folder of your own
        fetch: download a named set if it is missing
        train_size: as of `train`
        valid_size: as of `train`
        split_seed: as of `train`
        out: write a sheet of training images by class into this .png, .jpg, .pdf or .svg file
        json: print JSON, and nothing else, on stdout
    """
    from dataclasses import asdict

    refuse_ending("--out", out, *PICTURES)
    settings = DataSettings(
        name or "digits",
        train_size=train_size,
        valid_size=valid_size,
        split_seed=split_seed,
        **vars(reading),
    )
    if name is not None and name not in NAMED:
        _describe(settings, fetch, out, json)
        return
    if name is None and settings != DataSettings():
        raise InputError("these flags are of a file or folder: name it")
    if fetch and name in POINT_SETS:
        raise InputError(f"{name} is drawn, not read: there is nothing to download")
    if fetch:
        _fetch(name)
    states = [_state(name)] if name else _all_states()
    if json:
        print_json([asdict(state) for state in states])
    else:
        _show(states)
    if out is not None:
        if name is None:
            raise InputError("--out draws one data set: name it")
        _draw(settings, out)


def _describe(settings: DataSettings, fetch: bool, out: Path | None, json: bool) -> None:
    """Print what is read from a file or folder, and what is assumed."""
    if fetch:
        raise InputError(f"--fetch downloads a named set ({', '.join(IMAGE_SETS)}), not {settings.data}")
    check_source(settings.data)  # before torch is imported

    from ancestral.runs.run_data import RunData

    read = RunData(settings)
    if json:
        print_json([read.summary().to_json()])
    else:
        for line in read.summary().lines():
            print(line)
    if out is not None:
        _draw(settings, out, read)


def _draw(settings: DataSettings, out: Path, read: Any = None) -> None:
    """Write a sheet of training images, a row for each class where there are classes."""
    from ancestral.figures.style import save_figure
    from ancestral.reports.pictures.source import source_sheet
    from ancestral.runs.run_data import RunData

    save_figure(source_sheet(read or RunData(settings), SHEET_CLASSES, SHEET_COLUMNS), out)
    say(f"sheet of examples: {out}")


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
    from ancestral.api.surveys import datasets

    return list(datasets())


def _show(states: list[Any]) -> None:
    from rich.table import Table

    table = Table("data", "state", "where", "", box=None)
    for state in states:
        table.add_row(state.name, state.state, str(state.where), state.detail)
    console().print(table)

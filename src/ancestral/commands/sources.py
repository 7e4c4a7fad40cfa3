"""The command that lists, downloads, verifies and describes data."""

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
    conditions: tuple[str, ...] = (),
    out: Path | None = None,
    json: bool = False,
    reading: FileSettings = FileSettings(),  # noqa: B008  (frozen)
) -> None:
    """List the named data sets and densities, verify one of them, or describe how a file or folder is read.

    Args:
        name: a named data set (its files are verified by their hashes), a density of points, or your own file or folder
        fetch: download the named data set if it is missing
        train_size: as for `train`
        valid_size: as for `train`
        split_seed: as for `train`
        conditions: as for `train`; each number of the vectors is listed with its mean and standard deviation
        out: draw training images by class into this .png, .jpg, .pdf or .svg file
        json: print only JSON on stdout
    """
    from dataclasses import asdict

    refuse_ending("--out", out, *PICTURES)
    settings = DataSettings(
        name or "digits",
        train_size=train_size,
        valid_size=valid_size,
        split_seed=split_seed,
        conditions=conditions,
        **vars(reading),
    )
    if name is not None and name not in NAMED:
        _describe(settings, fetch, out, json)
        return
    if name is None and settings != DataSettings():
        raise InputError("these flags need the name of a data set, file or folder")
    if fetch and name in POINT_SETS:
        raise InputError(f"{name} is a density that is sampled: there is nothing to download")
    if fetch:
        _fetch(name)
    states = [_state(name)] if name else _all_states()
    if json:
        print_json([asdict(state) for state in states])
    else:
        _show(states)
    if out is not None:
        if name is None:
            raise InputError("--out needs the name of one data set")
        _draw(settings, out)


def _describe(settings: DataSettings, fetch: bool, out: Path | None, json: bool) -> None:
    """Print how a file or folder is read, including assumptions."""
    if fetch:
        raise InputError(f"--fetch is for named data sets ({', '.join(IMAGE_SETS)}), not for {settings.data}")
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
    """Draw a sheet of training images, one row per class if there are classes."""
    from ancestral.figures.style import save_figure
    from ancestral.reports.pictures.source import source_sheet
    from ancestral.runs.run_data import RunData

    save_figure(source_sheet(read or RunData(settings), SHEET_CLASSES, SHEET_COLUMNS), out)
    say(f"sheet of examples: {out}")


def _fetch(name: str | None) -> None:
    """Download or sample a data set, or all missing ones."""
    import ancestral.runs.synthetic  # noqa: F401  (provides the samples of data with a known distribution)
    from ancestral.data.datasets import dataset_names, dataset_status, fetch_dataset

    missing = (known for known in dataset_names() if dataset_status(known).state != "ready")
    for wanted in [name] if name else list(missing):
        fetch_dataset(wanted)


def _state(name: str) -> Any:
    """State of a data set, with verified hashes, or of a density."""
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

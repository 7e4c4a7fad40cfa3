"""Publish runs: pack one into a file, upload it to a model hub, or export it as programs for other software."""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path
from typing import Literal, NamedTuple

from ancestral.core.arguments import plain_arguments
from ancestral.core.errors import InputError
from ancestral.core.files import write_atomically
from ancestral.runs.export import CARD, PAGE, copy_run, is_public, write_zip
from ancestral.runs.run import Run

log = logging.getLogger("ancestral")


class Exported(NamedTuple):
    """The result of an export.

    Args:      paths: of the files. left_out: one line for each thing that was omitted, or for each impossible program.
               details: how each file was checked.
    """

    paths: list[Path]
    left_out: list[str]
    details: list[str]


@plain_arguments()
def export(
    run: Run | Path | str,
    out: Path | str | None = None,
    format: Literal["zip", "onnx"] = "zip",
    *,
    with_images: bool = False,
    licence: str | None = None,
) -> Exported:
    """Pack a run into one file, or write its model as ONNX programs.

    The file contains the model, settings, log, scores and a card, but no checkpoint and no paths of this machine. It
    contains figures, page and thumbnails if the data are a named public set. The unpacked file is a run folder.

    Args:      run: a run or its folder. out: the .zip file (default: NAME.zip next to the run), or the folder of the
               programs (default: RUN/onnx). format: zip or onnx. with_images: include figures, page and thumbnails of
               other data too. licence: identifier for the card, for example `mit`.
    Raises:    InputError: the training is not finished, or packages are missing. NotComputable: no program is possible.
    """
    from ancestral.runs.programs import write_programs

    opened = run if isinstance(run, Run) else Run(run)
    name = opened.path.resolve().name
    if format == "onnx":
        if with_images or licence is not None:
            raise InputError("with_images and licence need the format zip: ONNX programs have no figures and no card")
        found = write_programs(opened, Path(out) if out is not None else opened.path / "onnx")
        paths = [program.path for program in found if program.path]
        details = [f"{program.name}: {program.detail}" for program in found if program.path]
        lacking = [f"no {program.name}: {program.detail}" for program in found if not program.path]
        return Exported(paths, lacking, details)
    if format != "zip":
        raise InputError(f"format {format!r}: choose zip or onnx")
    path = Path(out) if out is not None else opened.path.resolve().parent / f"{name}.zip"
    if path.suffix != ".zip":
        raise InputError(f"--out {path}: give a name that ends in .zip")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / name
        left_out = write_copy(opened, folder, with_images, licence)
        write_zip(folder, path, name)
    return Exported([path], left_out, [])


def write_copy(run: Run, folder: Path, with_images: bool, licence: str | None, name: str | None = None) -> list[str]:
    """Write the published copy of a run: a run folder with a card.

    Args:      run: the run. folder: of the copy. with_images: include figures of any data. licence: for the card. name:
               of the model in the card; default: that of the folder.
    Returns:   one line for each thing that was omitted.
    Raises:    InputError: as `copy_run`.
    """
    from ancestral.reports.card import card
    from ancestral.reports.run_page import write_run_page

    left_out = copy_run(run, folder, with_images)
    copy = Run(folder, run.given)
    if is_public(run) or with_images:
        write_run_page(copy, redraw=False, typed_in=folder.parent)
        assert (folder / PAGE).exists()
    write_atomically(folder / CARD, card(copy, name or folder.name, licence).encode())
    return left_out


def push(
    run: Run, name: str, *, private: bool, with_images: bool, licence: str | None, folder: Path | str | None
) -> str | None:
    """See `Run.push_to_hub`."""
    from ancestral.runs.hub import HUB, push_folder

    if folder is not None:
        left_out = write_copy(run, Path(folder), with_images, licence, name)
        revision = None
    else:
        with tempfile.TemporaryDirectory() as temporary:
            copy = Path(temporary) / run.path.resolve().name
            left_out = write_copy(run, copy, with_images, licence, name)
            revision = push_folder(copy, name, private)
    for line in left_out:
        log.warning("%s", line)
    return revision and f"{HUB}{name}@{revision}"

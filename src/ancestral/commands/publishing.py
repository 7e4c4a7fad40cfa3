"""Commands that pack or publish a run, and the one that opens its page."""

from pathlib import Path
from typing import Annotated, Literal

import tyro

from ancestral.commands.console import RunPath, say
from ancestral.commands.places import refuse_ending
from ancestral.core.errors import InputError


def export(
    run: RunPath,
    out: Path | None = None,
    format: Literal["zip", "onnx"] = "zip",
    with_images: bool = False,
    licence: str | None = None,
) -> None:
    """Pack a run into one file that is a run where it is unpacked, or write its model as ONNX programs.

    The file has the model, settings, log, scores and a card, but no checkpoint and no place of this machine. Figures,
    page and thumbnails are in it where the data are a named set. Programs are compared with the model on random inputs.

    Args:
        run: run folder
        out: .zip file, or folder of the programs (default: NAME.zip beside the run, or RUN/onnx)
        format: zip, or onnx for encoder, decoder and log-probability, as far as the model has them
        with_images: figures, page and thumbnails too where the data are no named set
        licence: identifier of the licence that the card states: mit, say
    """
    from ancestral.api.publishing import export as export_run

    if format == "zip":
        refuse_ending("--out", out, ".zip")
    elif with_images or licence is not None:
        raise InputError("--with-images and --licence go with --format zip: a program has no pictures and no card")
    found = export_run(run, out, format, with_images=with_images, licence=licence)
    for line in (*found.left_out, *found.details):
        say(line)
    for path in found.paths:
        say(f"exported: {path}")


def publish(
    run: RunPath,
    name: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="OWNER/NAME")],
    public: bool = False,
    with_images: bool = False,
    licence: str | None = None,
    folder: Path | None = None,
) -> None:
    """Put a run on a model hub, with a card. Any command then takes hub:OWNER/NAME for a run.

    Args:
        run: run folder
        name: of the repository, which is made where there is none
        public: make a new repository one that everyone can see
        with_images: figures, page and thumbnails too where the data are no named set
        licence: identifier of the licence that the card states: mit, say
        folder: write what would be uploaded into this folder, and upload nothing
    """
    from ancestral.api.run import Run

    place = Run(run).push_to_hub(name, private=not public, with_images=with_images, licence=licence, folder=folder)
    say(f"published: {place}" if place else f"written, not published: {folder}")


def open_page(run: RunPath) -> None:
    """Open the page of a run in the browser; it is made where there is none.

    Args:
        run: run folder
    """
    import webbrowser

    from ancestral.api.run import Run

    opened = Run(run)
    _ = opened.record
    page = opened.path / "report.html"
    if not page.exists():
        page = opened.report()
    if not webbrowser.open(page.resolve().as_uri()):
        say("no browser could be started: open the page yourself")
    say(f"report: {page}")

"""Commands that export or publish a run, and the one that opens its page."""

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
    """Pack a run into a .zip file, or export its model as ONNX programs.

    The .zip file contains model, settings, log, scores and a model card, but no checkpoint and no local paths. Figures,
    page and thumbnails are included only if the data are a named data set. ONNX programs are compared with the model
    on random inputs.

    Args:
        run: run folder
        out: .zip file, or folder for the programs (default: NAME.zip beside the run, or RUN/onnx)
        format: zip; or onnx for encoder, decoder and log-probability, if the model has them
        with_images: include figures, page and thumbnails also for other data
        licence: licence identifier for the model card, for example mit
    """
    from ancestral.api.publishing import export as export_run

    if format == "zip":
        refuse_ending("--out", out, ".zip")
    elif with_images or licence is not None:
        raise InputError("--with-images and --licence need --format zip: programs have no pictures and no card")
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
    """Upload a run to a model hub, with a model card. Commands then accept hub:OWNER/NAME as a run.

    Args:
        run: run folder
        name: repository; it is created if it does not exist
        public: make a new repository public
        with_images: include figures, page and thumbnails also for data that are not a named data set
        licence: licence identifier for the model card, for example mit
        folder: write the files into this folder and upload nothing
    """
    from ancestral.api.run import Run

    place = Run(run).push_to_hub(name, private=not public, with_images=with_images, licence=licence, folder=folder)
    say(f"published: {place}" if place else f"written, not published: {folder}")


def open_page(run: RunPath) -> None:
    """Open the page of a run in the browser; the page is created if it is missing.

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
        say("no browser could be started: open the page by hand")
    say(f"report: {page}")

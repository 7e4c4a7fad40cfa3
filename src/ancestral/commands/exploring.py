"""The command that writes a page in which models run in the browser."""

from pathlib import Path

from ancestral.commands.console import Runs, opened_runs, say, screen
from ancestral.commands.places import refuse_ending
from ancestral.core.errors import InputError


def explore(
    runs: Runs,
    out: Path | None = None,
    title: str | None = None,
    with_images: bool = False,
    max_mb: float = 20.0,
) -> None:
    """Write one HTML file in which the models run in the browser: draw, complete, sample, walk through latents.

    The page needs no server and no network. All runs must have images of the same shape. Test images are in it where
    the data are a public named set.

    Args:
        runs: run folders
        out: .html file (default: RUN/explorer.html for one run, explorer.html for several)
        title: heading of the page
        with_images: include test images of data that are not a public named set
        max_mb: largest size of the page in MB
    """
    from ancestral.explorer.make import explore as write
    from ancestral.runs.progress import counter

    refuse_ending("--out", out, ".html", ".htm")
    if not max_mb > 0:
        raise InputError(f"--max-mb {max_mb}: give a number above 0")
    opened = opened_runs(runs)
    place = out or (opened[0].explorer if len(opened) == 1 else Path("explorer.html"))
    with counter(screen, "describing the models") as progress:
        made = write(opened, place, title=title, with_images=with_images, max_mb=max_mb, progress=progress)
    for note in made.notes:
        say(note)
    say(f"page: {made.path} ({made.megabytes:.1f} MB); open it in a browser")

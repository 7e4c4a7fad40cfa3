"""The public function that writes a page in which models run in the browser."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ancestral.api.run import Run
from ancestral.core.arguments import plain_arguments
from ancestral.runs.run import Run as StoredRun

if TYPE_CHECKING:
    from ancestral.explorer.make import Explorer

Stored = StoredRun | Path | str


@plain_arguments()
def explore(
    runs: Stored | Sequence[Stored],
    out: Path | str = "explorer.html",
    *,
    title: str | None = None,
    with_images: bool = False,
    max_mb: float = 20.0,
) -> Explorer:
    """Write one HTML file in which trained models run in the browser: draw, complete, sample, walk through latents.

    The page needs no server and no network. Test images are in it where the data are a public named set.
    `run.explore()` writes the page of one run into its folder.

    Args:      runs: a run, its folder, or several of them with images of one shape. out: the .html file. title:
               heading of the page. with_images: include test images and names of classes of data that are not a public
               named set. max_mb: a larger page is refused, in MB of 10^6 bytes.
    Returns:   the path, the size, and what is not in the page; a notebook shows the page in a frame.
    Raises:    InputError: no weights, images of different shapes, no model that can run in a page, or a page too large.
    Example:   `explore(["runs/vae", "runs/made"], "explorer.html")`
    """
    from ancestral.explorer.make import explore as write

    named = [runs] if isinstance(runs, Stored) else list(runs)
    opened = [run if isinstance(run, StoredRun) else Run(run) for run in named]
    return write(opened, Path(out), title=title, with_images=with_images, max_mb=max_mb)

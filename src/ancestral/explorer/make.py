"""Writes the explorer's page of one or several runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

from ancestral.core.errors import InputError
from ancestral.core.files import write_atomically
from ancestral.explorer.describe import REFERENCE, describe, shown_images
from ancestral.explorer.page import page
from ancestral.reports.run_page import write_run_page
from ancestral.runs.export import is_public
from ancestral.runs.run import Run

IMAGES = 60  # test images in a page
MAX_MB = 20.0
FRAME_HEIGHT = 760  # pixels, in a notebook


class Explorer(NamedTuple):
    """A page that was written. A notebook shows it in a frame; its output then holds the whole page.

    Attributes: path: of the file. megabytes: its size. notes: what is not in it, a line each.
    """

    path: Path
    megabytes: float
    notes: list[str]

    def _repr_html_(self) -> str:
        """The page in a frame that cannot reach the notebook around it."""
        text = escape(self.path.read_text(encoding="utf-8"), quote=True)
        return (
            f'<iframe srcdoc="{text}" sandbox="allow-scripts allow-downloads" title="Explorer" '
            f'style="width: 100%; height: {FRAME_HEIGHT}px; border: 0"></iframe>'
        )


def explore_run(run: Run, *, with_images: bool = False, max_mb: float = MAX_MB) -> Explorer:
    """Write RUN/explorer.html.

    Args:      as of `explore`.
    Raises:    InputError: as `explore`.
    """
    return explore([run], run.explorer, with_images=with_images, max_mb=max_mb)


def explore(
    runs: Sequence[Run],
    out: Path,
    *,
    title: str | None = None,
    with_images: bool = False,
    max_mb: float = MAX_MB,
    reference: int = REFERENCE,
    progress: Callable[[int, int], None] | None = None,
) -> Explorer:
    """Write one HTML file that runs the models in a browser, without a server or a network.

    The page of a run has a link to a file explorer.html in its folder. Test images are in the file only where all runs
    were trained on public named sets, or with_images is true.

    Args:      out: the file. max_mb: a larger page is refused, in MB of 10^6 bytes. reference: test images whose scores
               show how probable a drawing is. progress: called with (models described, models in all).
    Raises:    InputError: no run, images of different shapes, a run without weights, no model that a page can run,
               or a page above max_mb.
    """
    if not runs:
        raise InputError("name at least one run to explore")
    described = []
    for done, run in enumerate(runs):
        if progress:
            progress(done, len(runs))
        described.append(describe(run, reference))
    _refuse_different(runs, described)
    if not any("spec" in one for one in described):
        reasons = "; ".join(f"{one['name']}: {one['reason']}" for one in described)
        raise InputError(f"no model of these can run in a page: {reasons}")
    absent = [one for one in described if "reason" in one]
    notes = [f"{one['name']} is named in the page, but not in it: {one['reason']}" for one in absent]
    public = all(map(is_public, runs))
    images = shown_images(runs[0], IMAGES) if public or with_images else None
    if not public and not with_images:
        notes.append("left out: test images, since the data are not a public named set (--with-images adds them)")
        described = [_without_classes(one) for one in described]
    elif images is None:
        notes.append("left out: test images and their scores, since the data are not here")
    text = page(title or _title(described), described, images).encode("utf-8")
    megabytes = len(text) / 1e6
    if megabytes > max_mb:
        largest = max(described, key=lambda one: len(one.get("weights", "")))
        raise InputError(
            f"the page would have {megabytes:.1f} MB, more than --max-mb {max_mb:g}; the largest model is "
            f"{largest['name']} with {largest['parameters']:,} parameters: leave it out or raise --max-mb"
        )
    write_atomically(out, text)
    for run in runs:
        if run.explorer.resolve() == out.resolve() and run.page.exists():
            write_run_page(run, redraw=False)
    return Explorer(out, megabytes, notes)


def _refuse_different(runs: Sequence[Run], described: Sequence[dict[str, Any]]) -> None:
    shapes = {tuple(one["event"]): run.path for one, run in zip(described, runs, strict=True)}
    if len(shapes) > 1:
        listed = ", ".join(f"{' x '.join(map(str, shape))} ({path})" for shape, path in shapes.items())
        raise InputError(f"one page shows models of images of one shape; these differ: {listed}")


def _without_classes(described: dict[str, Any]) -> dict[str, Any]:
    """Names of classes may be private as images are."""
    return {**described, "classes": [str(number) for number in range(len(described["classes"]))]}


def _title(described: Sequence[dict[str, Any]]) -> str:
    data = described[0]["space"]["words"].split(",")[0]
    count = len(described)
    return f"Explore {described[0]['title']} on {data}" if count == 1 else f"Explore {count} models of {data}"

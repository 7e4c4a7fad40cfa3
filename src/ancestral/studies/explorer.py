"""The explorers of a study: one page for its models of images, and one for its models of points."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from ancestral.core.errors import InputError
from ancestral.explorer.make import MAX_MB, explore
from ancestral.runs.run import Run
from ancestral.studies.workshop import Workshop

IMAGES, POINTS = "explorer.html", "explorer-points.html"
EXPLORERS = {
    IMAGES: "the study's models of images: draw, complete, sample",
    POINTS: "its models of points: densities and samples, a flow layer by layer",
}
MINUTES_EACH = 0.02  # to describe a model
SHARE = 0.65  # of the bytes of a file of weights in the page: half precision, compressed, as text
PLANE = (2,)  # shape of a point that a page can show
REFERENCES = (500, 40)  # test images whose scores are in the page: usually, in a quick study


def write_explorers(workshop: Workshop) -> list[Path]:
    """Write the pages for which the study has runs, unless none of them has changed since; returns their paths.

    What is not in a page is shown as progress. There is no page where no model can run in one.
    """
    runs = list(workshop.runs.values())
    written = [_write(workshop, IMAGES, explorable(runs)), _write(workshop, POINTS, of_points(runs))]
    return [path for path in written if path is not None]


def _write(workshop: Workshop, name: str, runs: Sequence[Run]) -> Path | None:
    path, record = workshop.out / name, Path(name).stem
    if not runs:
        return None
    if not path.exists():
        workshop.forget(record)

    def write() -> list[str]:
        with workshop.progress.counter_for(f"writing {name}", workshop.pace) as progress:
            made = explore(runs, path, reference=workshop.size(*REFERENCES), progress=progress)
        return made.notes

    try:
        notes = workshop.remember(record, write, runs=[run.path.name for run in runs])
    except InputError as reason:
        notes = [str(reason)]
    for note in notes:
        workshop.progress.say(f"{name}: {note}")
    return path if path.exists() else None


def of_points(runs: Iterable[Run]) -> Sequence[Run]:
    """Trained runs on points in the plane, in their order."""
    return [run for run in runs if tuple(run.record["data"]["event_shape"]) == PLANE and _weights(run).exists()]


def explorable(runs: Iterable[Run]) -> Sequence[Run]:
    """Trained runs on images of one shape, the shape of most of them, whose weights fit into one page; in their order.

    The largest ones are left out where all of them would exceed the size of a page.
    """
    shapes: dict[tuple[int, ...], list[Run]] = {}
    for run in runs:
        shape = tuple(run.record["data"]["event_shape"])
        if len(shape) == 3 and _weights(run).exists():
            shapes.setdefault(shape, []).append(run)
    chosen = max(shapes.values(), key=len, default=[])
    sizes = {run: SHARE * _weights(run).stat().st_size / 1e6 for run in chosen}
    left = sum(sizes.values())
    for run in sorted(sizes, key=lambda one: sizes[one], reverse=True):
        if left > MAX_MB - 1:  # one for the test vectors, the scores and the images
            left -= sizes.pop(run)
    return list(sizes)


def _weights(run: Run) -> Path:
    return run.model_folder / "model.safetensors"

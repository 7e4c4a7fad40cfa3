"""Commands that use a trained model: draw, complete, detect."""

from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from ancestral.commands.console import (
    Runs,
    listed,
    opened_runs,
    print_json,
    print_table,
    refuse_below_one,
    refuse_missing_runs,
    say,
    screen,
    show_scores,
)
from ancestral.commands.places import PICTURES, picture_of, refuse_ending
from ancestral.core.errors import InputError
from ancestral.runs.folder import is_run
from ancestral.settings.data import OtherData

SHOWN = 10  # rows of a ranking that are printed


def draw(
    what: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="PICTURE")],
    run: Annotated[tyro.conf.Positional[Path | None], tyro.conf.arg(metavar="[RUN]")] = None,
    out: Path | None = None,
    count: int | None = None,
    seed: int = 0,
    split: Literal["train", "valid", "test"] = "test",
    other: OtherData = OtherData(),  # noqa: B008  (frozen)
) -> None:
    """Draw a picture of a trained model, or list the pictures that are available for a run.

    Args:
        what: samples, reconstructions, interpolations, walks, manifold, steps, curves, density, deformation,
            completions, latents, posterior, traversals, neighbours, frankenstein, surprise, split; of a mixture also
            components, of a circuit information, mean-images, trees, of a gan vanishing-gradient
        run: run folder; if only a run is given, its pictures are listed
        out: .png, .jpg, .pdf or .svg file (default: RUN/figures/PICTURE.png)
        count: number of samples, pairs, rows, components or lines; for a manifold or a density, the side of the grid
        seed: random seed
        split: part of --data, if the data are split
    """
    from ancestral.figures.style import save_figure
    from ancestral.reports.pictures import catalogue
    from ancestral.runs.new_data import on_data
    from ancestral.runs.run import Run

    refuse_ending("--out", out, *PICTURES)
    refuse_below_one(count)
    if run is None:
        if not Path(what).is_dir() and len(Path(what).parts) > 1:
            raise InputError(f"{what}: no such run folder; check the path")
        if not Path(what).is_dir():
            raise InputError(f"name a run: ancestral draw {what} RUN; ancestral draw RUN lists the pictures of a run")
        _list_drawings(Path(what))
        return
    if is_run(Path(what)) and not is_run(run):
        raise InputError(f"name the picture before the run: ancestral draw {run} {what}")
    options = {"seed": seed} | ({} if count is None else {"count": count})
    if split != "test" and other.data is None:
        raise InputError(f"--split {split}: needs --data; pictures of a run's own data show test images")
    opened, _ = on_data(Run(run), other, split)
    part = split if split != "test" else None
    out = out or picture_of(run, what, count=count, seed=seed, on=other.data and Path(other.data).name, split=part)
    save_figure(catalogue.draw(opened, what, **options), out)
    say(f"{what}: {out}")


def _list_drawings(path: Path) -> None:
    """Print the pictures that are available for a run, with their captions."""
    from ancestral.reports.pictures.catalogue import caption_of, drawable
    from ancestral.runs.progress import counter
    from ancestral.runs.run import Run

    run = Run(path)
    with counter(screen, "trying each picture") as progress:
        found, failed = drawable(run, progress)
    print(listed([(name, caption_of(run, name)) for name in found]))
    for line in failed:
        say(line)
    say(f"example: ancestral draw {next(iter(found), 'PICTURE')} {path}")


def complete(
    runs: Runs,
    out: Path | None = None,
    hide: Literal["left", "right", "top", "bottom", "random", "halves", "drawn", "missing"] | None = None,
    mask: Path | None = None,
    columns: tuple[str, ...] = (),
    count: int = 8,
    draws: int | None = None,
    label: str | None = None,
    condition: tuple[float, ...] = (),
    seed: int = 0,
    split: Literal["train", "valid", "test"] = "test",
    json: bool = False,
    other: OtherData = OtherData(),  # noqa: B008  (frozen)
) -> None:
    """Hide a part of some images and complete them with trained models. Several runs share one picture.

    Args:
        runs: run folders
        out: .png, .jpg, .pdf or .svg file for a picture; .npz file for the arrays x, seen and drawn; or .csv file for
            completed points (default: RUN/figures/complete-HIDE.png of the first run)
        hide: the part to hide. left, right, top or bottom: a half; halves: each of the four in turn; random: half of
            the pixels; drawn: pixels under thick strokes, different ones in turn; missing: values missing in the data
            (NaN or transparent pixels) (default: halves)
        mask: file with the pixels to hide: an image, white where pixels are hidden; an array, non-zero where they are
            hidden; or a folder with one mask per image
        columns: names of the columns to complete, for tables
        count: number of images
        draws: completions per image (default: 4, or 1 for several runs)
        label: complete all images as this class, given by name or number (conditional models)
        condition: complete all images with this vector c, for models that are given a vector (default: the vector
            of each image)
        seed: random seed of the completions and of --hide random
        split: part of the data
        json: print on stdout, as JSON, log p(hidden | seen) of each run, or why there is none
    """
    refuse_missing_runs(*runs)
    from ancestral.figures.style import save_figure
    from ancestral.reports.pictures.completion import completion_figure, drawn_in_words
    from ancestral.runs.complete import DRAWS, SCORED, complete_runs, save_completed_points, save_completions
    from ancestral.runs.hiding import COLUMNS, MASKED
    from ancestral.runs.new_data import on_data
    from ancestral.runs.progress import counter

    refuse_ending("--out", out, *PICTURES, ".npz", ".csv")
    if sum((hide is not None, mask is not None, bool(columns))) > 1:
        raise InputError("--hide, --mask and --columns cannot be combined: give one of them")
    refuse_below_one(count)
    if draws is not None and draws < 1:
        raise InputError(f"--draws {draws}: give a whole number of at least 1")
    hidden = MASKED if mask is not None else COLUMNS if columns else hide or "halves"
    used = [on_data(run, other, split, missing=hidden == "missing") for run in opened_runs(runs)]
    part, named = used[0][1] if used else split, [(run.path.name, run) for run, _ in used]
    given = "_".join(f"{number:g}" for number in condition)
    options = {"count": count, "draws": draws, "seed": seed, "split": split, "label": label, "condition": given}
    out = out or _place_of_completions(runs, hidden, other, **options)
    draws = draws or (DRAWS if len(named) == 1 else 1)
    with counter(screen, "completing") as progress:
        found = complete_runs(
            named, hidden, count, draws, seed, part, SCORED, progress, mask, columns, label, condition or None
        )
    if out.suffix.lower() == ".npz":
        save_completions(found, [name for name, _ in named], out)
    elif out.suffix.lower() == ".csv":
        save_completed_points(found, named[0][1].data.columns if found[0].x.ndim == 2 else (), out)
    else:
        save_figure(completion_figure(named, found), out)
    scored = [(name, one.score) for (name, _), one in zip(named, found, strict=True) if one.score is not None]
    if json:
        print_json([{"run": name, **one.to_json()} for (name, _), one in zip(named, found, strict=True)])
    elif scored:
        show_scores(scored, as_json=False)
    for line in drawn_in_words(named, found):
        say(line)
    say(f"completions: {out}")


def _place_of_completions(runs: tuple[Path, ...], hidden: str, other: OtherData, **options: Any) -> Path:
    """The default output file of completions."""
    usual = {"count": 8, "draws": None, "seed": 0, "split": "test", "label": None, "condition": ""}
    differing = {name: value for name, value in options.items() if value != usual[name]}
    first, *others = runs
    several = f"-of-{len(runs)}-runs" if others else ""
    return picture_of(first, f"complete-{hidden}{several}", **differing, on=other.data and Path(other.data).name)


def detect(
    runs: Runs,
    against: str | None = None,
    samples: int = 0,
    batches: tuple[int, ...] = (),
    alpha: float = 0.05,
    trials: int = 1000,
    calibrate: Literal["valid", "test"] = "valid",
    count: int | None = None,
    seed: int = 0,
    out: Path | None = None,
    per_image: Path | None = None,
    split: Literal["train", "valid", "test"] = "test",
    json: bool = False,
    other: OtherData = OtherData(),  # noqa: B008  (frozen)
) -> None:
    """Detect out-of-distribution images: rank new data, or measure how well a kind of anomaly is detected.

    With --data, each image gets a p-value relative to the validation images of the run; the most unusual images are
    listed first. With --against, anomalous images are compared with test images, as single images and as batches; the
    results are stored in the runs. Several runs share one table and one picture.

    Args:
        runs: run folders
        against: kind of anomaly: frankenstein (halves of two images), noise, shuffled, constant, rotated,
            upside-down, another data set, a file or a folder
        samples: samples of z per image for the importance-weighted bound; 0: ELBO
        batches: batch sizes to test (default: 1 2 5 10 20 50 100 200, up to the number of images)
        alpha: false-positive rate of the batch test
        trials: number of batches of test images, and of batches of anomalous images, for each size
        calibrate: images for the calibration: validation images, or half of the test images
        count: maximum number of images of each kind
        seed: random seed of anomalies and batches
        out: also draw this .png, .jpg, .pdf or .svg file: histograms of log p(x), and power by batch size; for several
            runs only the power
        per_image: with --data: .csv file for the results of all images, the most unusual first
        split: with --data: part of the data, if the data are split
        json: print only the records, as JSON, on stdout
    """
    refuse_missing_runs(*runs)
    from ancestral.reports.run_page import write_run_page
    from ancestral.runs.detect import detect_run
    from ancestral.runs.progress import counter

    if samples < 0:
        raise InputError(f"--samples {samples}: give a number of samples per image, 0 or more")
    refuse_below_one(count)
    refuse_ending("--out", out, *PICTURES)
    if (against is None) == (other.data is None):
        raise InputError("give --data PATH to rank new images, or --against KIND to measure the detection of a kind")
    if against is None:
        _rank(runs, other, split, samples, count, per_image, json)
        return
    if per_image is not None:
        raise InputError("--per-image needs --data, which ranks single images")
    options = {"samples": samples, "sizes": batches, "alpha": alpha, "trials": trials, "calibrate": calibrate}
    named = []
    for run in opened_runs(runs):
        with counter(screen, f"scoring {run.path.name}") as progress:
            found = detect_run(run, against, **options, count=count, seed=seed, progress=progress)
        named.append((run.path.name, found))
        write_run_page(run, redraw=False)
    if json:
        print_json([{"run": name, **found.to_json()} for name, found in named])
    else:
        _print_detections(named)
    for name, found in named:
        for line in found.conditions:
            say(line if len(named) == 1 else f"{name}: {line}")
    if out is not None:
        _draw_detections(named, out)
        say(f"power: {out}")


def _rank(
    runs: tuple[Path, ...],
    other: OtherData,
    split: str,
    samples: int,
    count: int | None,
    per_image: Path | None,
    json: bool,
) -> None:
    """Rank new data by how unusual they are under the model of one run."""
    from ancestral.reports.ranking_tables import ranking_rows, ranking_table
    from ancestral.runs.new_data import on_data
    from ancestral.runs.per_item import write_items
    from ancestral.runs.progress import counter
    from ancestral.runs.unusual import rank_run

    if len(runs) != 1:
        raise InputError("--data ranks images for one run only: name one run folder")
    refuse_ending("--per-image", per_image, ".csv")
    (run,) = opened_runs(runs)
    run, part = on_data(run, other, split)
    with counter(screen, f"scoring {run.path.name}") as progress:
        found = rank_run(run, part, samples, count, progress)
    rows = ranking_rows(run.data, found)
    if json:
        print_json(rows)
    else:
        print_table(ranking_table(rows[:SHOWN]))
    for line in found.in_words:
        say(line)
    if per_image is not None:
        write_items(per_image, run.data, part, found.columns, found.order)
        say(f"all {len(found.order):,} results: {per_image}")


def _print_detections(named: list[tuple[str, Any]]) -> None:
    from ancestral.reports.detection_tables import DETECTION_CAPTION, detection_tables, power_table

    if len(named) == 1:
        for table in detection_tables(named[0][1]):
            print_table(table)
    else:
        print_table(power_table(named))
        say(DETECTION_CAPTION)


def _draw_detections(named: list[tuple[str, Any]], out: Path) -> None:
    from ancestral.figures.style import save_figure
    from ancestral.reports.pictures.detection import detection_figure, power_figure

    save_figure(detection_figure(named[0][1]) if len(named) == 1 else power_figure(named), out)

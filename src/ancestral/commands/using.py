"""Commands that use a trained model: draw, complete, detect."""

from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from ancestral.commands.console import (
    RunPath,
    Runs,
    opened_runs,
    print_json,
    print_table,
    refuse_below_one,
    say,
    screen,
    show_scores,
)
from ancestral.core.errors import InputError


def sample(
    run: RunPath,
    out: Path,
    n: Annotated[int, tyro.conf.arg(aliases=["-n"])] = 64,
    seed: int = 0,
    label: int | None = None,
) -> None:
    """Draw new images from a trained model.

    Args:
        run: run folder
        out: a .png file for a picture, or a .npy file for the pixels or points as the model draws them
        n: how many
        seed: random seed
        label: only images of this class, from a conditional model
    """
    from ancestral.figures.style import save_figure
    from ancestral.runs.run import Run
    from ancestral.runs.sample import sample_model, save_array

    if out.suffix not in (".png", ".npy"):
        raise InputError(f"--out {out}: choose a name that ends in .png or .npy")
    opened = Run(run)
    drawn = sample_model(opened.load(), n, seed, label)
    if out.suffix == ".npy":
        save_array(drawn, out)
    else:
        save_figure(opened.data.picture(drawn), out)
    say(f"{n} {opened.data.space.noun}: {out}")


def draw(
    what: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="PICTURE")],
    run: RunPath,
    out: Path,
    count: int | None = None,
    seed: int = 0,
) -> None:
    """Draw a picture of a trained model.

    Args:
        what: samples, reconstructions, interpolations, walks, manifold, steps, curves, density, deformation,
            completions, latents, posterior, traversals, neighbours, frankenstein, surprise, split; of a mixture also
            components, of a gan vanishing-gradient
        run: run folder
        out: .png file
        count: samples, pairs, rows, components or lines; for a manifold or a density the side of the grid
        seed: random seed
    """
    from ancestral.figures.style import save_figure
    from ancestral.reports.pictures import catalogue
    from ancestral.runs.run import Run

    if out.suffix != ".png":
        raise InputError(f"--out {out}: choose a name that ends in .png")
    refuse_below_one(count)
    options = {"seed": seed} | ({} if count is None else {"count": count})
    save_figure(catalogue.draw(Run(run), what, **options), out)
    say(f"{what}: {out}")


def complete(
    runs: Runs,
    out: Path,
    hide: Literal["left", "right", "top", "bottom", "random", "halves"] = "halves",
    count: int = 8,
    draws: int | None = None,
    seed: int = 0,
    split: Literal["train", "valid", "test"] = "test",
) -> None:
    """Hide part of some images and let trained models draw it; several runs stand in one picture, a block of rows each.

    Args:
        runs: run folders
        out: .png file
        hide: which part: a half, half of the pixels at random, or halves: the four halves in turn
        count: how many images
        draws: completions of each (default: 4, or 1 where there are several runs)
        seed: of the draws, and of random pixels
        split: which images
    """
    from ancestral.figures.style import save_figure
    from ancestral.reports.pictures.completion import completion_figure, drawn_in_words
    from ancestral.runs.complete import DRAWS, SCORED, complete_runs
    from ancestral.runs.progress import counter

    if out.suffix != ".png":
        raise InputError(f"--out {out}: choose a name that ends in .png")
    refuse_below_one(count)
    if draws is not None and draws < 1:
        raise InputError(f"--draws {draws}: give a whole number of at least 1")
    named = [(run.path.name, run) for run in opened_runs(runs)]
    draws = draws or (DRAWS if len(named) == 1 else 1)
    with counter(screen, "completing") as progress:
        found = complete_runs(named, hide, count, draws, seed, split, SCORED, progress)
    save_figure(completion_figure(named, found), out)
    scored = [(name, one.score) for (name, _), one in zip(named, found, strict=True) if one.score is not None]
    if scored:
        show_scores(scored, as_json=False)
    for line in drawn_in_words(named, found):
        say(line)
    say(f"completions: {out}")


def detect(
    runs: Runs,
    against: str,
    samples: int = 0,
    batches: tuple[int, ...] = (),
    alpha: float = 0.05,
    trials: int = 1000,
    calibrate: Literal["valid", "test"] = "valid",
    count: int | None = None,
    seed: int = 0,
    out: Path | None = None,
    json: bool = False,
) -> None:
    """Tell what does not belong to the data that models learned, image by image and batch by batch.

    Records are added to the runs. Several runs stand in one table and one picture.

    Args:
        runs: run folders
        against: frankenstein, noise, shuffled, constant, rotated, upside-down, another data set, a file or a folder
        samples: latent draws per image for the importance-weighted bound; 0 gives the ELBO
        batches: sizes of the batches to test (default: 1 2 5 10 20 50 100 200, as far as there are images)
        alpha: false-positive rate of the test of batches
        trials: natural and anomalous batches of each size
        calibrate: on validation images where there are any, or on half of the test images
        count: at most so many images of each kind
        seed: of anomalies and batches
        out: also draw this .png file: histograms of log p and the power by batch size; power alone of several runs
        json: print the records as JSON, and nothing else, on stdout
    """
    from ancestral.reports.run_page import write_run_page
    from ancestral.runs.detect import detect_run
    from ancestral.runs.progress import counter

    if samples < 0:
        raise InputError(f"--samples {samples}: give a number of draws per image")
    refuse_below_one(count)
    if out is not None and out.suffix != ".png":
        raise InputError(f"--out {out}: choose a name that ends in .png")
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

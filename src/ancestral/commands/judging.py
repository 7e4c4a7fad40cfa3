"""Commands that evaluate trained models: likelihood, sample quality, and checks of a run."""

from pathlib import Path
from typing import Any, Literal

from ancestral.commands.console import (
    RunPath,
    Runs,
    opened_runs,
    print_json,
    print_table,
    refuse_below_one,
    refuse_missing_runs,
    say,
    say_entropies,
    score_one,
    screen,
    show_scores,
)
from ancestral.commands.places import PICTURES, refuse_ending
from ancestral.core.errors import InputError, NotComputable
from ancestral.runs.folder import is_run
from ancestral.settings.data import POINT_SETS, OtherData


def evaluate(
    runs: Runs,
    samples: int = 0,
    split: Literal["train", "valid", "test"] = "test",
    from_prior: bool = False,
    count: int | None = None,
    per_image: Path | None = None,
    order: tuple[str, ...] = (),
    steps: int | None = None,
    devices: int = 1,
    json: bool = False,
    other: OtherData = OtherData(),  # noqa: B008  (frozen)
) -> None:
    """Compute log p(x) of held-out images: exact if the model allows it, else a bound. Scores are stored in the runs.

    Args:
        runs: run folders
        samples: samples of z per image for the importance-weighted bound; 0: ELBO
        split: part of the data
        from_prior: sample z from the prior p(z) and not from the encoder (plain Monte Carlo)
        count: score only the first N images
        per_image: .csv file for the value of each image (one run only)
        order: any-order models: exact log p(x) in these orders of the pixels, and their paired differences: raster,
            columns, random:SEED, confidence; slow, so of 100 images unless --count says otherwise
        steps: any-order models: the lower bound for samples in N parallel steps
        devices: number of processes, one core each
        json: print only the scores, as JSON, on stdout
    """
    refuse_missing_runs(*runs)
    from ancestral.runs.new_data import on_data
    from ancestral.training.processes import dividing_work

    if samples < 0 or (from_prior and samples < 1):
        least = 1 if from_prior else 0
        raise InputError(f"--samples {samples}: give a number of samples per image, {least} or more")
    refuse_below_one(count)
    if per_image is not None and (len(runs) != 1 or per_image.suffix != ".csv"):
        raise InputError(f"--per-image {per_image}: needs one run and a file name that ends in .csv")
    if (order and steps is not None) or ((order or steps is not None) and (samples or from_prior)):
        raise InputError("--order, --steps and --samples are different scores: give one of them")
    if order and per_image is not None:
        raise InputError("--per-image cannot be combined with --order: leave out one of them")
    opened = opened_runs(runs)
    used = [on_data(run, other, split) for run in opened]
    lines: list[str] = []
    with dividing_work(devices) as processes:
        if order:
            scored, lines = _scored_in_orders(used, order, count)
        else:
            scored = [
                (r.path.name, score_one(r, samples, part, from_prior, count, per_image, steps)) for r, part in used
            ]
    if processes.first:
        _show_evaluation(used, scored, lines, json, per_image)


def _show_evaluation(
    used: list[tuple[Any, str]], scored: list[tuple[str, Any]], lines: list[str], json: bool, per_image: Path | None
) -> None:
    """Print scores and update the pages of the runs."""
    from ancestral.reports.run_page import write_run_page

    own = [run for run, _ in used if run.keeps_records]
    for run in own:
        write_run_page(run, redraw=False)
    show_scores(scored, json)
    for line in lines:
        say(line)
    if len(own) < len(used):
        say("scores on data given by --data are not stored in the run")
    say_entropies(own)
    if per_image is not None:
        say(f"values of each image: {per_image}")


def _scored_in_orders(
    used: list[tuple[Any, str]], orders: tuple[str, ...], count: int | None
) -> tuple[list[tuple[str, Any]], list[str]]:
    """The exact scores of runs in some orders, and lines with the differences between orders."""
    from ancestral.runs.evaluate import ORDER_IMAGES, score_orders
    from ancestral.runs.progress import counter

    scored, lines = [], []
    for run, part in used:
        with counter(screen, f"scoring {run.path.name}") as progress:
            found = score_orders(run, orders, part, count or ORDER_IMAGES, progress)
        scored += [(run.path.name, score) for score in found.scores]
        lines += [f"{run.path.name}, {line}" for line in found.lines]
    return scored, lines


def compare(
    runs: Runs,
    paired: bool = False,
    samples: int = 0,
    split: Literal["train", "valid", "test"] = "test",
    json: bool = False,
    other: OtherData = OtherData(),  # noqa: B008  (frozen)
) -> None:
    """Rank runs by their stored scores, or by scores on other data. Pixel space and images must be the same.

    A run is called the best only if its lead over each other run is larger than the error of the difference.

    Args:
        runs: run folders, or folders that contain runs; runs without a score are left out
        paired: compute log p(x) of each image again, to get the standard error of paired differences
        samples: with --data: samples of z per image for the importance-weighted bound; 0: ELBO
        split: with --data: part of the data, if the data are split
        json: print only the ranking, as JSON, on stdout
    """
    from ancestral.runs.compare import compare_on, compare_runs
    from ancestral.runs.new_data import on_data
    from ancestral.runs.progress import counter

    if other.data is None and (samples or split != "test"):
        raise InputError("--samples and --split need --data: without it, stored test scores are compared")
    opened = _named_or_found(runs)
    for run in opened:
        _refuse_without_likelihood(run)
    if other.data is not None:
        used = [on_data(run, other, split) for run in opened]
        with counter(screen, "scoring images") as progress:
            found = compare_on(used, samples, progress)
    elif paired:
        with counter(screen, "scoring images") as progress:
            found = compare_runs(opened, True, progress)
    else:
        found = compare_runs(opened)
    show_scores(list(zip(found.names, found.scores, strict=True)), json)
    for line in found.lines:
        say(line)
    if other.data is None:
        say_entropies(opened)


def _named_or_found(paths: tuple[Path, ...]) -> list[Any]:
    """The runs that are given, and those in folders that are given; prints a line for each run that is left out."""
    from ancestral.runs.compare import runs_in

    opened: list[Any] = []
    for path in paths:
        if is_run(path) or not path.is_dir():
            opened += opened_runs((path,))
            continue
        found, left = runs_in(path)
        for line in left:
            say(line)
        opened += found
    if paths and not opened:
        raise InputError(f"{paths[0]} contains no run with a score: compute one with `ancestral evaluate RUN`")
    return opened if paths else opened_runs(paths)


def _refuse_without_likelihood(run: Any) -> None:
    """Raises:    NotComputable: the model has no likelihood; the message names an alternative."""
    from ancestral.models.base import ExactModel, LatentModel

    if run.scores() or isinstance(model := run.load(), (ExactModel, LatentModel)):
        return
    points = run.settings.data.data in POINT_SETS
    remedy = (
        f"draw samples with `ancestral sample {run.path} --out samples.png`"
        if points
        else f"use `ancestral quality {run.path}`"
    )
    raise NotComputable(f"a {type(model).__name__} has no likelihood, so {run.path} has no score to compare: {remedy}")


def quality(
    runs: Runs,
    count: int | None = None,
    means: bool = False,
    threshold: bool = False,
    features: Literal["auto", "pixels", "recogniser"] = "auto",
    steps: int | None = None,
    split: Literal["train", "valid", "test"] = "test",
    seed: int = 0,
    picture: Path | None = None,
    devices: int = 1,
    json: bool = False,
    other: OtherData = OtherData(),  # noqa: B008
) -> None:
    """Measure sample quality: compare samples with real images in fixed features. Records are stored in the runs.

    Args:
        runs: run folders
        count: number of samples, of test images and of training images (default: 10000, or all if there are fewer)
        means: use the means E[x | z] in place of samples
        threshold: threshold grey samples and images at 0.5, to compare them with binary ones
        features: recogniser: features of a fixed classifier of the data's classes (needs labels); pixels: principal
            components of the training images; auto: recogniser if there are labels, else pixels
        steps: parallel steps of each sample of an any-order model (default: 64; the number of pixels: exact samples)
        split: part of the data given by --data
        seed: random seed of the samples
        picture: also draw a row of samples of each run into this .png, .jpg, .pdf or .svg file
        devices: number of processes, one core each
        json: print only the records, as JSON, on stdout
    """
    refuse_missing_runs(*runs)
    from ancestral.runs.new_data import on_data
    from ancestral.runs.progress import counter
    from ancestral.runs.quality import measure_run
    from ancestral.training.processes import dividing_work

    refuse_below_one(count)
    refuse_ending("--picture", picture, *PICTURES)
    opened = [on_data(run, other, split)[0] for run in opened_runs(runs)]
    if split != "test" and any(run.keeps_records for run in opened):
        raise InputError(f"--split {split}: needs --data; without it, samples are compared with test images of the run")
    how: dict[str, Any] = {"means": means, "threshold": threshold, "seed": seed}
    named = []
    with dividing_work(devices) as processes:
        for run in opened:
            with counter(screen, f"sampling from {run.path.name}") as progress:
                record = measure_run(run, count, **how, features=features, steps=steps, progress=progress)
            named.append((run.path.name, record))
    if processes.first:
        _show_quality(opened, named, json, other)
        if picture is not None:
            from ancestral.figures.style import save_figure
            from ancestral.reports.pictures.samples import sample_rows

            save_figure(sample_rows(opened, **how), picture)
            say(f"samples: {picture}")


def _show_quality(opened: list[Any], named: list[tuple[str, Any]], json: bool, other: OtherData) -> None:
    """Print records of sample quality and update the pages of the runs."""
    from ancestral.reports.quality_tables import quality_table
    from ancestral.reports.run_page import write_run_page

    for run in opened:
        if run.keeps_records:
            write_run_page(run, redraw=False)
    if json:
        print_json([{"run": name, **record.to_json()} for name, record in named])
    else:
        print_table(quality_table(_ranked(named)))
    for line in dict.fromkeys(record.conditions for _, record in named):
        say(line)
    if not all(run.keeps_records for run in opened):
        say(f"{other.data} replaces the test images; training images are those of the run; records are not stored")


def _ranked(named: list[tuple[str, Any]]) -> list[tuple[str, Any]]:
    """Runs by FID, best first; in the given order, with a message, if their records cannot be compared."""
    from ancestral.evaluation.quality import rank_quality

    try:
        return [named[i] for i in rank_quality([record for _, record in named])]
    except InputError as error:
        say(str(error))
        return named


def bracket(
    run: RunPath,
    images: int = 100,
    temperatures: int = 300,
    chains: int = 8,
    leapfrogs: int = 3,
    start: Literal["encoder", "prior"] = "encoder",
    samples: int = 5000,
    seed: int = 0,
    json: bool = False,
) -> None:
    """Compute a lower and an upper bound on log p(x) of a VAE by annealed importance sampling, and its ELBO gap.

    The upper bound is for images sampled from the model. The bounds are stored in the run.

    Args:
        run: run folder
        images: number of images sampled from the model, and of test images
        temperatures: number of annealing temperatures (distributions between prior and posterior); more give
            tighter bounds
        chains: Markov chains per image
        leapfrogs: leapfrog steps per temperature
        start: start of the annealing: the encoder's q(z | x), or the prior
        samples: samples of z per image for the importance-weighted bound that is compared
        seed: random seed
        json: print only the bounds, as JSON, on stdout
    """
    refuse_missing_runs(run)
    from ancestral.evaluation.annealing import Annealing
    from ancestral.reports.run_page import write_run_page
    from ancestral.reports.score_tables import bracket_table
    from ancestral.runs.bracket import bracket_run
    from ancestral.runs.progress import counter

    (opened,) = opened_runs((run,))
    plan = Annealing(temperatures, chains, leapfrogs, start)
    with counter(screen, f"annealing {opened.path.name}") as progress:
        record = bracket_run(opened, images, plan, samples, seed, progress)
    write_run_page(opened, redraw=False)
    if json:
        print_json([{"run": opened.path.name, **bound.to_json()} for bound in record.scores])
    else:
        print_table(bracket_table(record))
    say(record.summary)
    say("test images have no upper bound: it needs the latents from which an image was sampled")


def verify(run: RunPath) -> None:
    """Check a run folder, or the tiny models of a family file.

    For a run: files are complete, weights are finite, the model passes the tests of its kind, and stored scores can
    be reproduced.

    Args:
        run: run folder, or a file FILE.py that defines FAMILY
    """
    from ancestral.families.catalogue import load_file
    from ancestral.runs.verify import verify_family, verify_run

    checks = verify_family(load_file(run)) if run.suffix == ".py" else verify_run(run)
    failed = False
    for check in checks:
        say(f"{'ok     ' if check.passed else 'FAILED '} {check.name}: {check.detail}")
        failed |= not check.passed
    if failed:
        raise InputError(f"{run}: some checks failed, see the lines marked FAILED")

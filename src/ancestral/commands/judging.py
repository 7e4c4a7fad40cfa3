"""Commands that judge trained models: by likelihood, by their samples, by their contract."""

from pathlib import Path
from typing import Any, Literal

from ancestral.commands.console import (
    RunPath,
    Runs,
    opened_runs,
    print_json,
    print_table,
    refuse_below_one,
    say,
    say_floors,
    score_one,
    screen,
    show_scores,
)
from ancestral.commands.places import PICTURES, refuse_ending
from ancestral.core.errors import InputError, NotComputable
from ancestral.settings.data import POINT_SETS, OtherData


def evaluate(
    runs: Runs,
    samples: int = 0,
    split: Literal["train", "valid", "test"] = "test",
    from_prior: bool = False,
    count: int | None = None,
    per_image: Path | None = None,
    json: bool = False,
    other: OtherData = OtherData(),  # noqa: B008  (frozen)
) -> None:
    """Score runs on held-out images: exact where it can be, else a bound. Scores are added to the runs.

    Args:
        runs: run folders
        samples: latent draws per image for the importance-weighted bound; 0 gives the ELBO
        split: which images
        from_prior: draw the latents from the prior instead: plain Monte Carlo
        count: score only the first so many images
        per_image: .csv file for the value of each image; of one run
        json: print the scores as JSON, and nothing else, on stdout
    """
    from ancestral.reports.run_page import write_run_page
    from ancestral.runs.new_data import on_data

    if samples < 0 or (from_prior and samples < 1):
        raise InputError(f"--samples {samples}: give a number of draws per image")
    refuse_below_one(count)
    if per_image is not None and (len(runs) != 1 or per_image.suffix != ".csv"):
        raise InputError(f"--per-image {per_image}: name one run, and a file that ends in .csv")
    opened = opened_runs(runs)
    used = [on_data(run, other, split) for run in opened]
    scored = [(run.path.name, score_one(run, samples, part, from_prior, count, per_image)) for run, part in used]
    own = [run for run, _ in used if run.keeps_records]
    for run in own:
        write_run_page(run, redraw=False)
    show_scores(scored, json)
    if len(own) < len(used):
        say("scores of other data than the run's own are not stored with it")
    say_floors(own)
    if per_image is not None:
        say(f"each image: {per_image}")


def compare(
    runs: Runs,
    paired: bool = False,
    samples: int = 0,
    split: Literal["train", "valid", "test"] = "test",
    json: bool = False,
    other: OtherData = OtherData(),  # noqa: B008  (frozen)
) -> None:
    """Rank runs by their stored scores, or by those on other data; refuses different spaces or images.

    A best score is named only where it lies above all others by more than the error of the difference.

    Args:
        runs: run folders, or folders with runs, of which all that have a score are taken
        paired: compute the value of each image again, for the error of the differences image by image
        samples: with --data: latent draws per image for the importance-weighted bound; 0 gives the ELBO
        split: with --data: which part, where the data are divided
        json: print the ranking as JSON, and nothing else, on stdout
    """
    from ancestral.runs.compare import compare_on, compare_runs
    from ancestral.runs.new_data import on_data
    from ancestral.runs.progress import counter

    if other.data is None and (samples or split != "test"):
        raise InputError("--samples and --split go with --data: without it the stored test scores are compared")
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
        say_floors(opened)


def _named_or_found(paths: tuple[Path, ...]) -> list[Any]:
    """The runs that are named, and those in folders that are named; a line says which of these are left out."""
    from ancestral.runs.compare import runs_in

    opened: list[Any] = []
    for path in paths:
        if (path / "settings.json").exists() or not path.is_dir():
            opened += opened_runs((path,))
            continue
        found, left = runs_in(path)
        for line in left:
            say(line)
        opened += found
    if paths and not opened:
        raise InputError(f"{paths[0]} holds no run with a score: `ancestral evaluate RUN` scores one")
    return opened if paths else opened_runs(paths)


def _refuse_without_likelihood(run: Any) -> None:
    """Raises:    NotComputable: no evaluation will ever give this run a score; the message says what works instead."""
    from ancestral.models.base import ExactModel, LatentModel

    if run.scores() or isinstance(model := run.load(), (ExactModel, LatentModel)):
        return
    points = run.settings.data.data in POINT_SETS
    remedy = (
        f"look at its samples with `ancestral sample {run.path} --out samples.png`"
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
    split: Literal["train", "valid", "test"] = "test",
    seed: int = 0,
    picture: Path | None = None,
    json: bool = False,
    other: OtherData = OtherData(),  # noqa: B008
) -> None:
    """Compare samples of runs with real images, in fixed features. Records are added to the runs.

    Args:
        runs: run folders
        count: samples, and test and training images to compare with (default: 10000, or as many as there are)
        means: take E[x | z] in place of draws, where the model has such a mean
        threshold: cut grey samples and images at one half, to compare them with thresholded ones
        features: recogniser: of a classifier of the data's classes, which needs labels; pixels: principal components
            of the training images; auto: the classifier where there are labels for one
        split: of the data given by --data
        seed: of the samples
        picture: also draw a row of samples of each run into this .png, .jpg, .pdf or .svg file
        json: print the records as JSON, and nothing else, on stdout
    """
    from ancestral.figures.style import save_figure
    from ancestral.reports.pictures.samples import sample_rows
    from ancestral.reports.quality_tables import quality_table
    from ancestral.reports.run_page import write_run_page
    from ancestral.runs.new_data import on_data
    from ancestral.runs.progress import counter
    from ancestral.runs.quality import measure_run

    refuse_below_one(count)
    refuse_ending("--picture", picture, *PICTURES)
    opened = [on_data(run, other, split)[0] for run in opened_runs(runs)]
    if split != "test" and any(run.keeps_records for run in opened):
        raise InputError(f"--split {split}: samples are compared with a run's own test images: give other --data")
    named = []
    for run in opened:
        with counter(screen, f"drawing from {run.path.name}") as progress:
            record = measure_run(
                run, count, means=means, threshold=threshold, seed=seed, features=features, progress=progress
            )
        named.append((run.path.name, record))
        if run.keeps_records:
            write_run_page(run, redraw=False)
    if json:
        print_json([{"run": name, **record.to_json()} for name, record in named])
    else:
        print_table(quality_table(_ranked(named)))
    for line in dict.fromkeys(record.conditions for _, record in named):
        say(line)
    if not all(run.keeps_records for run in opened):
        say(f"{other.data} is in place of the test images, training images are the run's own; nothing is stored")
    if picture is not None:
        save_figure(sample_rows(opened, means=means, threshold=threshold, seed=seed), picture)
        say(f"samples: {picture}")


def _ranked(named: list[tuple[str, Any]]) -> list[tuple[str, Any]]:
    """Runs by FID, best first; as they came where their records do not compare, and a line that says so."""
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
    """Bracket log p(x) of a VAE by annealed importance sampling, and judge its ELBO by it. Stored with the run.

    Args:
        run: run folder
        images: how many images of the model's own, and as many test images
        temperatures: densities on the way to the posterior: more close the bracket
        chains: per image
        leapfrogs: steps of a trajectory at each temperature
        start: anneal from the encoder's posterior or from the prior
        samples: latent draws per image of the importance-weighted bound that is judged beside the ELBO
        seed: of all draws
        json: print the bounds as JSON, and nothing else, on stdout
    """
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
        print_json([{"run": opened.path.name, **rung.to_json()} for rung in record.rungs])
    else:
        print_table(bracket_table(record))
    say(record.summary)
    say("on test images there is no upper bound: it needs the latents that an image was drawn from")


def verify(run: RunPath) -> None:
    """Check a run folder, or the tiny models of a family file, against the contract of their kind.

    Of a run: files whole, weights finite, the model's contract kept, the stored scores repeatable.

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
        raise InputError(f"{run} fails its checks: see the lines marked FAILED")

"""What each command does. Heavy imports stand inside, so that help answers at once."""

import json
import math
import sys
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from rich.console import Console

from ancestral.errors import InputError, NotComputable, TrainingUnhealthy
from ancestral.settings.data import POINT_SETS, DataSettings
from ancestral.settings.families import Settings
from ancestral.settings.training import TrainingSettings

Runs = tyro.conf.Positional[tuple[Path, ...]]
RunPath = tyro.conf.Positional[Path]
DrawingName = Literal[
    "samples",
    "reconstructions",
    "interpolations",
    "walks",
    "manifold",
    "components",
    "steps",
    "curves",
    "starvation",
    "density",
    "deformation",
    "completions",
    "neighbours",
    "frankenstein",
]
screen = Console(stderr=True)
WIDE = 240  # characters of a line in a file


def train(
    family: str,
    model: Any,
    data: DataSettings = DataSettings(),  # noqa: B008  (frozen)
    training: TrainingSettings = TrainingSettings(),  # noqa: B008
    out: Path | None = None,
    resume: bool = False,
    tolerate: bool = False,
    json: bool = False,
) -> None:
    """Train a model into a run folder: weights, log, scores, pictures and a report.

    Args:
        out: run folder (default: runs/FAMILY-DATA)
        resume: go on with what is in the folder
        tolerate: end with exit code 0 even where the training is judged a failure
        json: print the scores as JSON, and nothing else, on stdout
    """
    from ancestral.fitting import fit_settings
    from ancestral.progress import bar
    from ancestral.run_page import write_run_page

    out = out or Path("runs") / f"{family}-{Path(data.data).stem}"
    with bar(screen, family) as reporter:
        run = fit_settings(Settings(family, model, data, training), out, resume, reporter)
    with suppress(NotComputable):  # an autoencoder has pictures to show, but no score
        _score(run, samples=0, split="test", from_prior=False)
    page = write_run_page(run)
    if json or run.scores():
        _show([(run.path.name, score) for score in run.scores()], json)
    _say_floors([run])
    for verdict in run.verdicts():
        _say(verdict.line)
    _say(f"report: {page}")
    failures = run.health.failures if run.health else ()
    if failures and not tolerate:
        raise TrainingUnhealthy("; ".join(f"{failure.name}: {failure.evidence}" for failure in failures))


def evaluate(
    runs: Runs,
    samples: int = 0,
    split: Literal["train", "valid", "test"] = "test",
    from_prior: bool = False,
    count: int | None = None,
    json: bool = False,
) -> None:
    """Score runs on held-out images: exact where it can be, else a bound. Scores are added to the runs.

    Args:
        runs: run folders
        samples: latent draws per image for the importance-weighted bound; 0 gives the ELBO
        split: which images
        from_prior: draw the latents from the prior instead: plain Monte Carlo
        count: score only the first so many images
        json: print the scores as JSON, and nothing else, on stdout
    """
    from ancestral.run_page import write_run_page

    if samples < 0 or (from_prior and samples < 1):
        raise InputError(f"--samples {samples}: give a number of draws per image")
    _refuse_below_one(count)
    opened = _opened(runs)
    scored = [(run.path.name, _score(run, samples, split, from_prior, count)) for run in opened]
    for run in opened:
        write_run_page(run, redraw=False)
    _show(scored, json)
    _say_floors(opened)


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
        seed: of the draws
        label: only images of this class, from a conditional GAN
    """
    import torch

    from ancestral.figures.style import save_figure
    from ancestral.files import write_atomically
    from ancestral.models.gan import GAN
    from ancestral.numerics import seed_for, seeded_noise
    from ancestral.run import Run

    if n < 1:
        raise InputError(f"--n {n}: draw at least one")
    if out.suffix not in (".png", ".npy"):
        raise InputError(f"--out {out}: choose a name that ends in .png or .npy")
    opened = Run(run)
    model = opened.load()
    draw_some = model.sample
    if label is not None:
        if not isinstance(model, GAN):
            raise NotComputable(f"a {type(model).__name__} knows no classes to draw: leave --label out")
        draw_some = lambda count: model.sample_classes(torch.full((count,), label))  # noqa: E731
    with seeded_noise(seed_for(seed, "sample")):
        drawn = torch.cat([draw_some(min(1000, n - first)) for first in range(0, n, 1000)])
    if out.suffix == ".npy":
        import io

        import numpy as np

        buffer = io.BytesIO()
        np.save(buffer, drawn.cpu().numpy(), allow_pickle=False)
        write_atomically(out, buffer.getvalue())
    else:
        save_figure(opened.data.picture(drawn), out)
    _say(f"{n} {opened.data.space.noun}: {out}")


def complete(
    run: RunPath,
    out: Path,
    hide: Literal["left", "right", "top", "bottom", "random", "halves"] = "halves",
    count: int = 8,
    draws: int = 4,
    seed: int = 0,
    split: Literal["train", "valid", "test"] = "test",
) -> None:
    """Hide part of some images and let a trained model draw it, several times for each image.

    Args:
        run: run folder
        out: .png file
        hide: which part: a half, half of the pixels at random, or halves: the four halves in turn
        count: how many images
        draws: completions of each
        seed: of the draws, and of random pixels
        split: which images
    """
    from ancestral.completing import complete_run, completion_figure
    from ancestral.figures.style import save_figure
    from ancestral.run import Run

    if out.suffix != ".png":
        raise InputError(f"--out {out}: choose a name that ends in .png")
    _refuse_below_one(count)
    if draws < 1:
        raise InputError(f"--draws {draws}: give a whole number of at least 1")
    opened = Run(run)
    found = complete_run(opened, hide, count, draws, seed, split)
    save_figure(completion_figure(opened, found), out)
    if found.score is not None:
        _show([(run.name, found.score)], as_json=False)
    _say(f"how the hidden pixels are drawn: {found.how}")
    _say(f"completions: {out}")


def draw(
    what: tyro.conf.Positional[DrawingName], run: RunPath, out: Path, count: int | None = None, seed: int = 0
) -> None:
    """Draw a picture of a trained model.

    Args:
        what: which picture
        run: run folder
        out: .png file
        count: samples, pairs, rows, components or lines; for a manifold or a density the side of the grid
        seed: of what is drawn at random
    """
    from ancestral.drawings import DRAWINGS
    from ancestral.figures.style import save_figure
    from ancestral.run import Run

    if out.suffix != ".png":
        raise InputError(f"--out {out}: choose a name that ends in .png")
    _refuse_below_one(count)
    options = {"seed": seed} | ({} if count is None else {"count": count})
    save_figure(DRAWINGS[what](Run(run), **options), out)
    _say(f"{what}: {out}")


def compare(runs: Runs, json: bool = False) -> None:
    """Rank runs by their stored scores; refuses where those are of different spaces or images.

    Args:
        runs: run folders
        json: print the ranking as JSON, and nothing else, on stdout
    """
    from ancestral.evaluation.score import best_of, rank

    opened = _opened(runs)
    named = [(run.path.name, best_of(run.scores(), str(run.path))) for run in opened]
    order = rank([score for _, score in named])
    _show([named[i] for i in order], json)
    _say_floors(opened)


def quality(
    runs: Runs,
    count: int | None = None,
    means: bool = False,
    threshold: bool = False,
    seed: int = 0,
    picture: Path | None = None,
    json: bool = False,
) -> None:
    """Compare samples of runs with real images, in the eyes of a frozen network. Records are added to the runs.

    Args:
        runs: run folders
        count: samples, and test and training images to compare with (default: 10000, or as many as there are)
        means: take E[x | z] in place of draws, where the model has such a mean
        threshold: cut grey samples and images at one half, to compare them with thresholded ones
        seed: of the draws
        picture: also draw a row of samples of each run into this .png file
        json: print the records as JSON, and nothing else, on stdout
    """
    from ancestral.figures.style import save_figure
    from ancestral.measuring import measure_run, sample_rows
    from ancestral.progress import counter
    from ancestral.run_page import quality_table, write_run_page

    _refuse_below_one(count)
    if picture is not None and picture.suffix != ".png":
        raise InputError(f"--picture {picture}: choose a name that ends in .png")
    opened = _opened(runs)
    named = []
    for run in opened:
        with counter(screen, f"drawing from {run.path.name}") as progress:
            options = {"means": means, "threshold": threshold, "seed": seed}
            named.append((run.path.name, measure_run(run, count, **options, progress=progress)))
        write_run_page(run, redraw=False)
    if json:
        _print_json([{"run": name, **record.to_json()} for name, record in named])
    else:
        _print_table(quality_table(_ranked(named)))
    for line in dict.fromkeys(record.conditions for _, record in named):
        _say(line)
    if picture is not None:
        save_figure(sample_rows(opened, means=means, threshold=threshold, seed=seed), picture)
        _say(f"samples: {picture}")


def detect(
    run: RunPath,
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
    """Tell what does not belong to the data a model learned, image by image and batch by batch.

    Args:
        run: run folder
        against: frankenstein, noise, shuffled, constant, rotated, upside-down, another data set, a file or a folder
        samples: latent draws per image for the importance-weighted bound; 0 gives the ELBO
        batches: sizes of the batches to test (default: 1 2 5 10 20 50 100 200, as far as there are images)
        alpha: false-positive rate of the test of batches
        trials: natural and anomalous batches of each size
        calibrate: on validation images where there are any, or on half of the test images
        count: at most so many images of each kind
        seed: of anomalies and batches
        out: also draw histograms of log p and the power by batch size into this .png file
        json: print the record as JSON, and nothing else, on stdout
    """
    from ancestral.detecting import detect_run, detection_figure, detection_tables
    from ancestral.figures.style import save_figure
    from ancestral.progress import counter
    from ancestral.run import Run

    if samples < 0:
        raise InputError(f"--samples {samples}: give a number of draws per image")
    _refuse_below_one(count)
    if out is not None and out.suffix != ".png":
        raise InputError(f"--out {out}: choose a name that ends in .png")
    options = {"samples": samples, "sizes": batches, "alpha": alpha, "trials": trials, "calibrate": calibrate}
    with counter(screen, f"scoring {run.name}") as progress:
        found = detect_run(Run(run), against, **options, count=count, seed=seed, progress=progress)
    if json:
        _print_json([{"run": run.name, **found.to_json()}])
    else:
        for table in detection_tables(found):
            _print_table(table)
    for line in found.conditions:
        _say(line)
    if out is not None:
        save_figure(detection_figure(found), out)
        _say(f"histograms and power: {out}")


def study(name: tyro.conf.Positional[str], out: Path | None = None, quick: bool = False) -> None:
    """Train, score and draw a whole recipe of runs, and write one report.

    Args:
        name: which study: tour
        out: folder for runs and report (default: runs/NAME)
        quick: a much shorter training, to see that everything works
    """
    from ancestral.progress import bar
    from ancestral.studies.recipe import carry_out_study

    page = carry_out_study(name, out or Path("runs") / name, quick, lambda title: bar(screen, title), _say)
    _say(f"report: {page}")


def verify(run: RunPath) -> None:
    """Check a run folder: files whole, weights finite, the model's contract kept, the stored scores repeatable.

    Args:
        run: run folder
    """
    from ancestral.verification import verify_run

    failed = False
    for check in verify_run(run):
        _say(f"{'ok     ' if check.passed else 'FAILED '} {check.name}: {check.detail}")
        failed |= not check.passed
    if failed:
        raise InputError(f"{run} does not hold up: see the lines marked FAILED")


def data(name: tyro.conf.Positional[str | None] = None, fetch: bool = False, json: bool = False) -> None:
    """List the data sets and densities that have names here, or verify a data set.

    Args:
        name: one data set: its files are hashed; or a density of points
        fetch: download it if it is missing
        json: print JSON, and nothing else, on stdout
    """
    from dataclasses import asdict

    from ancestral.data.datasets import dataset_names, dataset_status, fetch_dataset, verify_dataset
    from ancestral.data.toy import points_status

    if name is not None and name not in (*dataset_names(), *POINT_SETS):
        raise InputError(f"unknown data set {name!r}: choose {', '.join((*dataset_names(), *POINT_SETS))}")
    if fetch and name in POINT_SETS:
        raise InputError(f"{name} is drawn, not read: there is nothing to download")
    if fetch:
        missing = [known for known in dataset_names() if dataset_status(known).state != "ready"]
        for wanted in [name] if name else missing:
            fetch_dataset(wanted)
    if name in POINT_SETS:
        states = [points_status(name)]
    elif name:
        states = [verify_dataset(name)]
    else:
        states = [dataset_status(known) for known in dataset_names()] + [points_status(known) for known in POINT_SETS]
    if json:
        _print_json([asdict(state) for state in states])
        return
    from rich.table import Table

    table = Table("data", "state", "where", "", box=None)
    for state in states:
        table.add_row(state.name, state.state, str(state.where), state.detail)
    _console().print(table)


def _console() -> Console:
    """Stdout; in a file, which has no width, nothing is folded or cut."""
    console = Console()
    return console if console.is_terminal else Console(width=WIDE)


def _say(line: str) -> None:
    """A line for a person, as it is: not folded, and with no meaning seen in the brackets of a path."""
    screen.print(line, soft_wrap=True, markup=False, highlight=False)


def _refuse_below_one(count: int | None) -> None:
    if count is not None and count < 1:
        raise InputError(f"--count {count}: give a whole number of at least 1")


def _opened(paths: tuple[Path, ...]) -> list[Any]:
    from ancestral.run import Run

    if not paths:
        raise InputError("name at least one run folder")
    opened = [Run(path) for path in paths]
    for run in opened:
        _ = run.record  # refuses at once what is no run folder
    return opened


def _score(run: Any, samples: int, split: str, from_prior: bool, count: int | None = None) -> Any:
    from ancestral.progress import counter
    from ancestral.scoring import score_run

    with counter(screen, f"scoring {run.path.name}") as progress:
        return score_run(run, split, samples, from_prior, count, progress)


def _show(named: list[tuple[str, Any]], as_json: bool) -> None:
    from ancestral.run_page import score_table

    if as_json:
        _print_json([{"run": name, **score.to_json()} for name, score in named])
        return
    _print_table(score_table(named))


def _ranked(named: list[tuple[str, Any]]) -> list[tuple[str, Any]]:
    """Runs by FID, best first; as they came where their records do not compare, and a line that says so."""
    from ancestral.evaluation.quality import rank_quality

    try:
        return [named[i] for i in rank_quality([record for _, record in named])]
    except InputError as error:
        _say(str(error))
        return named


def _print_table(shown: Any) -> None:
    from rich.table import Table

    table = Table(box=None)
    for i, column in enumerate(shown.header):
        table.add_column(column, justify="right" if i in shown.numeric else "left")
    for row in shown.rows:
        table.add_row(*row)
    _console().print(table)


def _say_floors(runs: list[Any]) -> None:
    """What no score can be better than, for data whose entropy is known; on stderr, beside the table or the JSON."""
    from ancestral.scoring import entropy_in_words

    known = {run.record["data"]["name"]: run for run in runs if run.settings.data.data in POINT_SETS}
    for name, run in known.items():
        _say(f"entropy of {name}: {entropy_in_words(run.data)}")


def _print_json(records: list[dict[str, Any]]) -> None:
    # JSON has no word for what is not finite: the standard error of a single image, say
    finite = [{k: None if v in (math.inf, -math.inf) or v != v else v for k, v in r.items()} for r in records]
    sys.stdout.write(json.dumps(finite, indent=2, allow_nan=False, default=str) + "\n")

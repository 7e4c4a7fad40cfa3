"""Commands that train: one model, or the runs of a study."""

from pathlib import Path
from typing import Annotated, Any

import tyro

from ancestral.commands.console import say, say_entropies, screen, show_messages, show_scores
from ancestral.commands.submitting import submit_workers
from ancestral.core.errors import InputError, TrainingUnhealthy
from ancestral.settings.cluster import ClusterSettings
from ancestral.settings.data import POINT_SETS, DataSettings, check_source
from ancestral.settings.training import TrainingSettings
from ancestral.studies.plan import Options


def with_settings_of_run(family: str, words: list[str]) -> list[str]:
    """The words of a training; with --resume or --init-from, the settings of that run come first as flags.

    Only these two flags need the settings of a run, and therefore torch.
    """
    flags = {word.partition("=")[0].replace("_", "-") for word in words}
    if not {"--resume", "--init-from"} & flags:
        return words

    from ancestral.runs.inherited import inherited_words

    return inherited_words(family, words, default_folder) + words


def default_folder(family: str, data: str) -> Path:
    """The default run folder."""
    return Path("runs") / f"{family}-{Path(data).stem}"


def train(
    family: str,
    model: Any,
    data: DataSettings = DataSettings(),  # noqa: B008  (frozen)
    training: TrainingSettings = TrainingSettings(),  # noqa: B008
    out: Path | None = None,
    resume: bool = False,
    tolerate: bool = False,
    explorer: bool = False,
    json: bool = False,
) -> None:
    """Train a model and write a run folder with weights, log, scores, pictures and a report.

    Args:
        out: run folder (default: runs/FAMILY-DATA)
        resume: resume the training in the folder from its checkpoint
        tolerate: exit with code 0 even if the training fails the health checks
        explorer: write RUN/explorer.html too, a page in which the model runs in the browser
        json: print only the scores, as JSON, on stdout
    """
    if data.data not in POINT_SETS:
        check_source(data.data)  # before torch is imported

    from ancestral.api.training import train_run
    from ancestral.runs.progress import terminal_progress

    out = out or default_folder(family, data.data)
    shown = terminal_progress(screen)
    run = train_run(family, model, data, training, out=out, resume=resume, explorer=explorer, progress=shown)
    if json or run.scores():
        show_scores([(run.path.name, score) for score in run.scores()], json)
    say_entropies([run])
    say(f"report: {run.page}")
    failures = run.health.failures if run.health else ()
    if failures and not tolerate:
        raise TrainingUnhealthy("; ".join(f"{failure.name}: {failure.evidence}" for failure in failures))


def study(
    name: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="NAME")],
    out: Path | None = None,
    quick: bool = False,
    full: bool = False,
    learning_rates: tuple[float, ...] = (),
    source: str | None = None,
    cluster: ClusterSettings = ClusterSettings(),  # noqa: B008  (frozen)
) -> None:
    """Train and score all models of a study, and write one report with its questions and answers.

    A study is a coursework, or another list of models to train and of questions about them.
    Finished runs are reused and interrupted ones are resumed, so the same command can be repeated, and run on several
    machines that share the folder. With --submit, jobs do the work.

    Args:
        name: tour, uva2018, uva2020, tue2024, csds600, families or truth; or your own .py file that defines STUDY
        out: folder for runs and report (default: runs/NAME)
        quick: short test: train everything for a short time only; the results mean nothing
        full: train for as many epochs as the source of the study
        learning_rates: tue2024: learning rates to compare
        source: truth: synthetic-circuit (default) or synthetic-pixelcnn, the images with a known distribution
    """
    if quick and full:
        raise InputError("--quick and --full cannot be combined: give one of them")
    budget: Any = "quick" if quick else "full" if full else "default"
    options = Options(budget, learning_rates, source)
    out = out or Path("runs") / Path(name).stem
    arguments = {"name": name, "out": out, "options": options}
    if cluster.submit is not None and submit_workers(work_on_study, arguments, cluster, out, _waiting):
        return

    from ancestral.runs.progress import terminal_progress
    from ancestral.studies.page import carry_out_study

    page = carry_out_study(**arguments, progress=terminal_progress(screen))
    if page is not None:
        say(f"report: {page}")


def work_on_study(**arguments: Any) -> None:
    """What a job of a study does: train its runs until none is left; the last worker writes the page."""
    from ancestral.runs.progress import terminal_progress
    from ancestral.studies.page import carry_out_study

    show_messages()
    carry_out_study(**arguments, progress=terminal_progress(screen), keep_going=True)


def _waiting(**arguments: Any) -> int:
    """The number of runs of a study that are not finished, after all its checks."""
    from ancestral.runs.watching import Progress
    from ancestral.studies.page import open_study

    _, plan, workshop = open_study(**arguments, progress=Progress())
    workshop.claims.retry_failed()
    return len(workshop.missing(plan))

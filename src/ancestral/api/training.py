"""The implementation of the command `train` and the function `fit`."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

from ancestral.api.run import Run
from ancestral.core.errors import InputError, NotComputable
from ancestral.families.run_settings import Settings, without_effect
from ancestral.reports.run_page import write_run_page
from ancestral.runs.evaluate import score_run
from ancestral.runs.fit import fit_settings
from ancestral.runs.given import Given
from ancestral.runs.run import NOTHING_GIVEN
from ancestral.runs.watching import Progress
from ancestral.settings.checks import flag
from ancestral.settings.data import DataSettings
from ancestral.settings.training import TrainingSettings
from ancestral.training.loop import CHECKPOINT_SECONDS
from ancestral.training.processes import together


def train_run(
    family: str | None,
    model: Any,
    data: DataSettings,
    training: TrainingSettings,
    *,
    out: Path | str,
    resume: bool = False,
    report: bool = True,
    explorer: bool = False,
    progress: Progress = Progress(),  # noqa: B008  (frozen)
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
    given: Given = NOTHING_GIVEN,
) -> Run:
    """Train a model into a run folder, score it on its test images, draw its figures and write its page.

    Args:      family, model, data, training: as the user gives them, before family-dependent defaults are filled in.
               out: the folder. resume: resume from its checkpoint. report: whether scores, figures and page are made.
               explorer: write RUN/explorer.html too, in which the model runs in the browser.
               progress: display of the progress. checkpoint_seconds: time between checkpoints. given: the user's own
               model or networks.
    Returns:   the run.
    Raises:    as `fit_settings`.
    """
    settings = Settings(family, model, data, training)
    for name, reason in without_effect(model, data, training).items():
        progress.say(f"{flag(name)} has no effect: {reason}")
    with together(training.devices, training.device, training.precision) as processes:
        progress = progress if processes.first else Progress()
        with progress.reporter_for(family or "model", settings.training.epochs) as reporter:
            fit_settings(settings, out, resume, reporter, checkpoint_seconds, given)
        run = Run(out, **given.keywords).keeping(data.data)
        if processes.first:
            _report(run, report, explorer, progress)
        processes.barrier()  # the scores and pictures are there
    return run


def _report(run: Run, report: bool, explorer: bool, progress: Progress) -> None:
    """Scores, pictures and pages of a trained run."""
    if report:
        with suppress(NotComputable), progress.counter_for(f"scoring {run.path.name}") as counter:
            score_run(run, progress=counter)  # some models, such as an autoencoder, have no score
        with progress.counter_for(f"drawing {run.path.name}") as counter:
            write_run_page(run, progress=counter)
    if explorer:
        _explore(run, progress)
    for verdict in run.verdicts():
        progress.say(verdict.line)


def _explore(run: Run, progress: Progress) -> None:
    """Write the run's explorer; a model that cannot be in a page is reported, and the training was not in vain."""
    from ancestral.explorer.make import explore_run

    try:
        made = explore_run(run)
    except InputError as reason:
        progress.say(f"no explorer: {reason}")
        return
    for note in made.notes:
        progress.say(f"explorer: {note}")
    progress.say(f"explorer: {made.path} ({made.megabytes:.1f} MB); open it in a browser")

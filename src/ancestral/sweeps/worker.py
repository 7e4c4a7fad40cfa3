"""Train the runs of a plan as one of several workers, and write the page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ancestral.api.progress import Wanted, chosen_progress
from ancestral.core.arguments import plain_arguments
from ancestral.core.errors import InputError, Interrupted
from ancestral.core.notebook import as_html, shows
from ancestral.core.pace import Pace
from ancestral.families.run_settings import renamed, setting_names
from ancestral.reports.cells import render_cell
from ancestral.runs.fit import fit_or_reuse
from ancestral.runs.inherited import with_inherited
from ancestral.runs.watching import Progress
from ancestral.sweeps.claims import Listing
from ancestral.sweeps.page import sweep_cell, sweep_command, write_sweep_page
from ancestral.sweeps.plan import Plan, in_words
from ancestral.sweeps.queue import Claim, Grid, Queue, refuse_strangers
from ancestral.sweeps.ranking import Combination, ranked
from ancestral.sweeps.sweep_axes import Range, axis_from
from ancestral.sweeps.trials import Trials, refuse_unreachable, refuse_without_optuna


@dataclass(frozen=True)
class Sweep:
    """The result of a sweep: its combinations, best first, and its page."""

    plan: Plan
    combinations: list[Combination]
    page: Path
    _repr_html_ = as_html


@shows(Sweep)
def _html(done: Sweep) -> str:
    return render_cell(sweep_cell(done.plan, done.combinations, done.page))


@plain_arguments()
def sweep(
    family: str,
    out: Path | str,
    axes: Mapping[str, str | Range | Iterable[Any]],
    seeds: int = 1,
    *,
    trials: int | None = None,
    storage: str | None = None,
    progress: Wanted | Progress = "auto",
    **settings: Any,
) -> Sweep:
    """Train all combinations of values of some settings, or random trials, each with several seeds.

    Finished runs are reused and interrupted ones are resumed. Several processes and machines that call this with the
    same folder share the work. Combinations are ranked by their validation value, never by the test set. A training
    that diverges or fails the health checks is a result, not an error.

    Args:      family: its name. out: the folder. axes: for each setting, the values (`[1e-2, 1e-3]`), a `Range`, or the
               text of the command line (`"1e-2,1e-3"`, `"1e-5..1e-2"`). seeds: number of runs per combination, with
               seeds from the setting `seed` (default 0) on. trials: number of combinations that Optuna's
               tree-structured Parzen estimator draws, guided by the validation value; None trains all combinations. It
               needs the extra `scale`. storage: an Optuna URL for the trials; default: a file in the folder. progress:
               as in `fit`, or a `Progress`. settings: as for `fit`, equal for all runs. With `init_from=RUN` each run
               starts from these trained weights and inherits the settings that are not given.
    Returns:   the combinations, best first, and the path of `report.html`.
    Raises:    InputError: a combination cannot be trained (checked before anything is written), Optuna is missing, or
               the folder contains other files. Interrupted: the same call resumes the sweep.
    """
    queue = open_queue(family, out, axes, seeds, trials=trials, storage=storage, **settings)
    queue.claims.retry_failed()
    return carry_out(queue, progress if isinstance(progress, Progress) else chosen_progress(progress))


def open_queue(
    family: str,
    out: Path | str,
    axes: Mapping[str, str | Range | Iterable[Any]],
    seeds: int = 1,
    *,
    trials: int | None = None,
    storage: str | None = None,
    **settings: Any,
) -> Queue:
    """The queue of a sweep, after all checks; the arguments are those of `sweep`.

    Raises:    InputError: as `sweep`.
    """
    if trials is not None:
        refuse_without_optuna()
    elif storage is not None:
        raise InputError("--storage needs --trials: workers of a grid share only its folder")
    read = {name: axis_from(family, name, given) for name, given in axes.items()}
    given = {name: value for name, value in renamed(settings, setting_names(family)).items() if name not in read}
    base = with_inherited(family, out, False, given, read)
    if not isinstance(base.get("data", ""), str | Path):
        raise InputError(
            "sweep: several processes share the work, so data in memory cannot be used: save them to a file"
        )
    plan = Plan(family, Path(out), base, read, seeds, trials)
    refuse_strangers(plan)
    refuse_unreachable(storage)
    plan.check()
    queue = Grid(plan) if trials is None else Trials(plan, storage)
    title = f"{family} on {Path(plan.settings(plan.combinations[0], plan.seed_numbers[0]).data.data).stem}"
    queue.claims.announce(Listing(title, sweep_command(plan), queue.total, tuple(queue.entries())))
    return queue


def carry_out(queue: Queue, progress: Progress, keep_going: bool = False) -> Sweep:
    """Train trials until none is left to take, and write the page.

    Args:      keep_going: record an error of a trial and take the next one; else the error is raised.
    Raises:    Interrupted: the same call resumes the sweep.
    """
    plan = queue.plan
    pace = Pace([1.0] * queue.total)
    if done := queue.finished:
        progress.say(f"{done} of {queue.total} are already finished")
    while claim := queue.take():
        with queue.working(claim):
            pace.done = min(queue.finished, queue.total - 1)  # other workers may have finished some
            with queue.claims.recording_failure(claim.entry, progress.say) if keep_going else nullcontext():
                _work(plan, queue, claim, pace, progress)
    if failed := len(queue.claims.failed()):
        progress.say(
            f"{failed} of {queue.total} trials have failed: {plan.out}: repeat the command to train them again"
        )
    if others := queue.total - queue.finished - failed:
        progress.say(
            f"other workers are still training {others} of {queue.total} trials; the last worker completes the page"
        )
    with queue.claims.page():  # the last worker that writes the page has seen all results
        rows = ranked(plan, queue.drawn())
        return Sweep(plan, rows, write_sweep_page(plan, rows))


def _work(plan: Plan, queue: Queue, claim: Claim, pace: Pace, progress: Progress) -> None:
    """Train the runs of one trial and report the result."""
    position, told = f"{pace.done + 1}/{queue.total}", []
    with pace.stage() as stage:
        stage.counts = False
        for seed in claim.seeds:
            title = f"{position} {in_words({**claim.values, 'seed': seed})}"
            settings, path = plan.settings(claim.values, seed), plan.run(claim.values, seed).path
            try:
                run, trained = fit_or_reuse(
                    settings, path, partial(progress.reporter_for, title, settings.training.epochs, pace)
                )
            except Interrupted:
                raise Interrupted("interrupted; the state is saved: repeat the same command to resume") from None
            stage.counts |= trained
            how = f"trained in {run.outcome.get('total_seconds', 0):.0f} s" if trained else "reused"
            best = run.outcome.get("best_value")
            told.append(f"{title}: {how}" + ("" if best is None else f", validation {best:.2f} nats"))
            told += [f"{title}: {verdict.line}" for verdict in run.verdicts() if trained]
        done = Combination(claim.values, tuple(plan.run(claim.values, seed) for seed in claim.seeds))
        queue.tell(claim, done.objective)
    for line in told[:-1]:
        progress.say(line)
    progress.say(f"{told[-1]}; {pace.left}")

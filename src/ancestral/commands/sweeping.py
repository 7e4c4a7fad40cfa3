"""The command that trains many models with different settings."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ancestral.commands.console import print_json, print_table, say, screen, show_messages
from ancestral.commands.submitting import submit_workers
from ancestral.core.errors import InputError
from ancestral.settings.cluster import ClusterSettings
from ancestral.settings.data import DataSettings
from ancestral.settings.training import TrainingSettings
from ancestral.sweeps.sweep_axes import Axis


def sweep(
    family: str,
    axes: Mapping[str, Axis],
    model: Any,
    data: DataSettings = DataSettings(),  # noqa: B008  (frozen)
    training: TrainingSettings = TrainingSettings(),  # noqa: B008
    cluster: ClusterSettings = ClusterSettings(),  # noqa: B008
    out: Path | None = None,
    seeds: int = 1,
    trials: int | None = None,
    storage: str | None = None,
    json: bool = False,
) -> None:
    """Train all combinations of the given settings, and rank them by validation score.

    Separate values by commas: --learning-rate 1e-2,1e-3,1e-5. Join the numbers of one value by x: --hidden
    256,512x512. Use none for no value, and true,false for a switch. With --trials, give a range with two dots:
    --learning-rate 1e-5..1e-2. Finished runs are reused, so the same command can be repeated, and run on several
    machines that share the folder. With --submit, jobs do the work.

    Args:
        out: folder for runs and report (default: runs/sweep-FAMILY-DATA)
        seeds: number of runs per combination, with seeds from --seed on
        trials: train this many combinations, chosen by Optuna, in place of all
        storage: with --trials: Optuna storage URL that several workers share (default: a file in the folder)
        json: print only the ranking, as JSON, on stdout
    """
    settings = {**vars(model), **vars(data), **vars(training)}
    settings = {name: value for name, value in settings.items() if name not in axes}
    out = out or Path("runs") / f"sweep-{family}-{Path(data.data).stem}"
    arguments = {"family": family, "out": out, "axes": axes, "seeds": seeds, "trials": trials, "storage": storage}
    if cluster.submit is not None and json:
        raise InputError("--json and --submit cannot be combined: repeat the command without --submit for the ranking")
    if cluster.submit is not None and submit_workers(work_on_sweep, {**arguments, **settings}, cluster, out, _waiting):
        return

    from ancestral.runs.progress import terminal_progress
    from ancestral.sweeps.page import combination_table
    from ancestral.sweeps.worker import sweep as carry_out

    done = carry_out(**arguments, progress=terminal_progress(screen), **settings)
    if json:
        print_json([row.to_json() for row in done.combinations])
    else:
        print_table(combination_table(done.plan, done.combinations))
    say(f"report: {done.page}")


def work_on_sweep(**arguments: Any) -> None:
    """What a job of a sweep does: train trials until none is left, and write the page."""
    from ancestral.runs.progress import terminal_progress
    from ancestral.sweeps.worker import carry_out, open_queue

    show_messages()
    carry_out(open_queue(**arguments), terminal_progress(screen), keep_going=True)


def _waiting(**arguments: Any) -> int:
    """The number of trials that are not finished, after all checks of the sweep."""
    from ancestral.sweeps.worker import open_queue

    queue = open_queue(**arguments)
    queue.claims.retry_failed()
    return queue.total - queue.finished

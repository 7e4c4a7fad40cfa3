"""The command that trains many models with different settings."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ancestral.commands.console import print_json, print_table, say, screen
from ancestral.settings.data import DataSettings
from ancestral.settings.training import TrainingSettings
from ancestral.sweeps.sweep_axes import Axis


def sweep(
    family: str,
    axes: Mapping[str, Axis],
    model: Any,
    data: DataSettings = DataSettings(),  # noqa: B008  (frozen)
    training: TrainingSettings = TrainingSettings(),  # noqa: B008
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
    machines that share the folder.

    Args:
        out: folder for runs and report (default: runs/sweep-FAMILY-DATA)
        seeds: number of runs per combination, with seeds from --seed on
        trials: train this many combinations, chosen by Optuna, in place of all
        storage: with --trials: Optuna storage URL that several workers share (default: a file in the folder)
        json: print only the ranking, as JSON, on stdout
    """
    from ancestral.runs.progress import terminal_progress
    from ancestral.sweeps.page import combination_table
    from ancestral.sweeps.worker import sweep as carry_out

    settings = {**vars(model), **vars(data), **vars(training)}
    settings = {name: value for name, value in settings.items() if name not in axes}
    out = out or Path("runs") / f"sweep-{family}-{Path(data.data).stem}"
    shown = terminal_progress(screen)
    done = carry_out(family, out, axes, seeds, trials=trials, storage=storage, progress=shown, **settings)
    if json:
        print_json([row.to_json() for row in done.combinations])
    else:
        print_table(combination_table(done.plan, done.combinations))
    say(f"report: {done.page}")

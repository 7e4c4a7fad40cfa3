"""The command that trains many models that differ in some settings."""

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
    """Train every combination of some settings' values, and rank them by validation.

    Commas make an axis, --learning-rate 1e-2,1e-3,1e-5; the numbers of one value are joined by x, --hidden 256,512x512;
    none stands for no value and true,false for both of a switch. With --trials, two dots make a range to draw from,
    --learning-rate 1e-5..1e-2. What is finished is reused, so the same command can be given again, and on several
    machines at once that see the folder.

    Args:
        out: folder for runs and report (default: runs/sweep-FAMILY-DATA)
        seeds: runs of each combination, from --seed on
        trials: draw so many combinations, each guided by those before, in place of training all; needs Optuna
        storage: with --trials: an Optuna URL by which workers share them (default: a file in the folder)
        json: print the ranking as JSON, and nothing else, on stdout
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

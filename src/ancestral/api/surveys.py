"""Public functions for several runs, and the list of data sets."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ancestral.api.run import run_of
from ancestral.core.arguments import plain_arguments, refuse_other_type
from ancestral.core.errors import InputError
from ancestral.runs.run import Run as StoredRun
from ancestral.settings.data import POINT_SETS

log = logging.getLogger("ancestral")

if TYPE_CHECKING:
    from ancestral.data.sources import DatasetStatus
    from ancestral.runs.compare import Comparison

Stored = StoredRun | Path | str


@plain_arguments()
def compare(runs: Sequence[Stored] | Path | str, *, paired: bool = False) -> Comparison:
    """Rank runs by their stored scores on test images, the highest first.

    Args:      runs: runs or their folders; or one folder, of which all runs with a score are used. paired: compute the
               score of each image again, so that the error is that of the differences per image; nothing is stored.
    Returns:   ranked names and scores, the differences from the first, and `lines`, sentences on the best score.
    Raises:    InputError: a run has no score, or the scores are of different pixel spaces or images.
    """
    from ancestral.runs.compare import compare_runs, runs_in

    if isinstance(runs, (str, Path)) and Path(runs).is_dir():
        found, left = runs_in(Path(runs))
        for line in left:
            log.warning("%s", line)
        runs = found
    if isinstance(runs, (str, Path)) or not runs:
        raise InputError("compare: runs must be a list of runs or run folders, or a folder of runs with scores")
    for run in runs:
        refuse_other_type("compare: a run", run, Stored)
    return compare_runs([run_of(run, None)[0] for run in runs], paired)


def datasets() -> list[DatasetStatus]:
    """The named data sets and densities, and whether their files are on this machine.

    Returns:   one record each: `name`, `state`, `where` and `detail`.
    """
    from ancestral.data.datasets import dataset_names, dataset_status
    from ancestral.data.toy import points_status

    return [*map(dataset_status, dataset_names()), *map(points_status, POINT_SETS)]

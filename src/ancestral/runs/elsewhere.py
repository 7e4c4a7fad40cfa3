"""A run folder for a model that was trained outside this package."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from ancestral.core.files import write_atomically, write_json
from ancestral.families.build import refuse_unfit
from ancestral.families.run_settings import Settings
from ancestral.models.base import Model
from ancestral.runs.given import Given
from ancestral.runs.manifest import LOG
from ancestral.runs.provenance import Origin
from ancestral.runs.run import ELSEWHERE, Run
from ancestral.runs.run_data import read_data
from ancestral.training.loop import Outcome


def store_trained(model: Model, settings: Settings, path: Path | str, log: bytes = b"", steps: int = 0) -> Run:
    """Write the run folder of a trained model.

    Args:      model: trained. settings: of the data; those of the training are unknown. path: the folder, new or empty.
               log: lines of `log.jsonl`, if there is a log. steps: number of updates, if known.
    Raises:    InputError: the model does not fit the data, or the folder is not empty.
    """
    run = Run(path, Given(model))
    settings, data = read_data(settings)
    refuse_unfit(f"the {type(model).__name__}", model, data.spec)
    with run.locked():
        run.begin(settings, data, False, Origin(given=run.given.facts(model)))
        model.save(run.model_folder, given=True)
        write_atomically(run.path / LOG, log)
        ended = Outcome(ELSEWHERE, steps, 0, steps, None, 0.0, 0.0, 0.0)
        write_json(run.path / "training.json", asdict(ended))
        run.manifest.write()
    return run

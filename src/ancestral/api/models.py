"""The public functions that make models: trained, untrained, or loaded from a run."""

from __future__ import annotations

import logging
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from ancestral.api.progress import Wanted, chosen_progress
from ancestral.api.run import Run, mark_trained, note_trained, run_of, source_of, with_pixels_of
from ancestral.core.arguments import plain_arguments
from ancestral.core.errors import InputError
from ancestral.models.base import Model
from ancestral.runs.run import Run as StoredRun
from ancestral.runs.watching import reported_to
from ancestral.settings.data import DataSettings
from ancestral.settings.family import FamilySettings
from ancestral.settings.training import TrainingSettings
from ancestral.training.loop import CHECKPOINT_SECONDS

if TYPE_CHECKING:
    from ancestral.families.family import Family
    from ancestral.runs.given import Given
    from ancestral.training.loop import Reporter

Stored = StoredRun | Path | str
log = logging.getLogger("ancestral")
__all__ = ["build", "fit", "load"]


@plain_arguments()
def fit(
    family: str | Path | Family | Model,
    out: Path | str,
    *,
    model: Any = None,
    data: Any = None,
    training: TrainingSettings | None = None,
    resume: bool = False,
    progress: Wanted = "auto",
    report: bool = True,
    explorer: bool = False,
    reporter: Reporter | None = None,
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
    **settings: Any,
) -> Run:
    """Train a model into a run folder; score it on its test images, draw its pictures and write its page.

    Args:      family: a name, a file FILE.py that defines `FAMILY`, a `Family`, or a model of your own, which is
               trained in place. out: the folder.
               model: the family's settings (`VAESettings(latents=2)`, say). data: a named data set, a file or a folder,
               arrays, tensors, a pair (images, labels), a dict of splits, a dataset; or all `DataSettings`. training:
               `TrainingSettings`. resume: go on from the folder's checkpoint; settings that are not given are the
               run's, and `epochs` may be more than it had. With `init_from=RUN` in the settings, a run or its folder, a
               new run starts from its trained weights, and has its settings where none are given.
               progress: a bar with the epochs, the newest values and the time left: "auto" in a notebook and in a
               terminal, True always, False never. report: False leaves out scores, pictures and page, which
               `evaluate(run)` and `run.report()` make later. explorer: write RUN/explorer.html too, in which the model
               runs in the browser, as `run.explore()` does. reporter: is called with the progress, in place of a bar.
               checkpoint_seconds: time between checkpoints. settings: any of the command line's flags by name,
               `epochs=5`; they override those of model, data and training. Networks of your own, by their names in the
               family's record, `encoder=module`: they are trained in place. For a model of your own `objective`: a
               function (model, batch) -> {"loss": a tensor of shape (B,), ...} in nats; None is that of its kind.
    Returns:   the run; `run.load()` is the model with its best weights by validation, `run.verdicts()` what is wrong
               with the training, if anything.
    Raises:    InputError: settings, data or modules are wrong, or the folder holds another run. TrainingDiverged,
               Interrupted: the state so far is kept.
    Example:   `fit("vae", "runs/first", data="digits", latents=2, epochs=20)`
    """
    from ancestral.api.training import train_run

    if progress is True and reporter is not None:
        raise InputError("fit: a reporter takes the place of a bar: give progress=True or a reporter")
    name, parts, given = _chosen(family, model, data, training, settings, out, resume)
    if not resume:
        note_trained(given)
    run = train_run(
        name,
        *parts,
        out=out,
        resume=resume,
        report=report,
        explorer=explorer,
        progress=chosen_progress(progress) if reporter is None else reported_to(reporter),
        checkpoint_seconds=checkpoint_seconds,
        given=given,
    )
    mark_trained(given, run.path)
    return run


@plain_arguments()
def build(family: str | Path | Family, *, model: Any = None, data: Any = None, **settings: Any) -> Model:
    """An untrained model of a family for some data.

    Args:      as of `fit`; the data say what the model is for.
    Returns:   the model, its weights drawn from the seed: those that `fit` starts from.
    Raises:    InputError: settings, data or networks are wrong.
    Example:   `build("vae", data="digits", latents=2)`
    """
    from ancestral.families.run_settings import Settings
    from ancestral.runs.fit import initial_model
    from ancestral.runs.run_data import read_data

    name, parts, given = _chosen(family, model, data, None, settings)
    return initial_model(*read_data(Settings(name, *parts)), given)


def _chosen(
    family: str | Path | Family | Model,
    model: Any,
    data: Any,
    training: TrainingSettings | None,
    settings: dict[str, Any],
    out: Path | str | None = None,
    resume: bool = False,
) -> tuple[str | None, tuple[Any, DataSettings, TrainingSettings], Given]:
    """The family, its settings, those of data and training, and what is given beside them.

    Args:      out: the folder of the run, None where there is none. resume: the run goes on.
    """
    from ancestral.families.catalogue import find
    from ancestral.families.run_settings import parts_for, renamed, setting_names
    from ancestral.runs.given import Given
    from ancestral.runs.inherited import inherited

    def complete_values(family: str | None, values: dict[str, Any]) -> dict[str, Any]:
        """Values by their present names, and those of the run that goes on or of the parent where none are given."""
        values = renamed(values, setting_names(family))
        if values.get("init_from") is not None:
            values["init_from"] = _folder_of(values["init_from"])
        return values if out is None else {**inherited(family, out, resume, values), **values}

    values: dict[str, Any] = {}
    for part in (model, data if isinstance(data, DataSettings) else None, training):
        values |= {} if part is None else _fields_of(part)
    if data is not None and not isinstance(data, DataSettings):
        values["data"] = source_of(data)
    values |= settings
    if isinstance(family, Model):
        if model is not None:
            raise InputError("a model of one's own has no settings of a family: leave out model=...")
        given = Given(family, objective=values.pop("objective", None))
        return None, parts_for(None, **with_pixels_of(family, complete_values(None, values))), given
    if isinstance(family, nn.Module):
        raise InputError(
            f"a {type(family).__name__} is a network, not an ancestral.Model: fit('vae', encoder=...), say"
        )
    name = _name_of(family)
    networks = {name: values.pop(name) for name in find(name).networks if values.get(name) is not None}
    parts = parts_for(name, **complete_values(name, values))
    if networks and isinstance(parts[0], FamilySettings):
        for setting, reason in parts[0].replaced(networks).items():
            log.warning("note: %s has no effect: %s", setting, reason)
    return name, parts, Given(networks=networks)


def _fields_of(part: Any) -> dict[str, Any]:
    if not is_dataclass(part) or isinstance(part, type):
        raise InputError(f"model and training are settings dataclasses, not {type(part).__name__}")
    return {field.name: getattr(part, field.name) for field in fields(part)}


def _folder_of(run: Any) -> str:
    if not isinstance(run, StoredRun | Path | str):
        raise InputError(f"init_from is a run or its folder, not {type(run).__name__}")
    return str(run.path if isinstance(run, StoredRun) else run)


def _name_of(family: str | Path | Family) -> str:
    from ancestral.families.catalogue import find, load_file, register_family
    from ancestral.families.family import Family

    if isinstance(family, Family):
        return register_family(family).name
    if isinstance(family, Path):
        return load_file(family).name
    if not isinstance(family, str):
        raise InputError(f"a family is a name, a file or an ancestral.Family, not {type(family).__name__}")
    return load_file(family).name if family.endswith(".py") else find(family).name


@plain_arguments()
def load(path: Stored, *, into: Model | None = None, **networks: Any) -> Model:
    """The trained model of a run, in evaluation mode.

    Args:      into: a model that gets the run's weights, in place. networks: for a run with networks of your own,
               instances of these by name, `encoder=module`, which get their weights in place.
    Raises:    InputError: no run folder, not trained yet, or damaged; modules that do not fit the weights.
    """
    if into is None and not networks:
        return run_of(path, None)[0].load()
    return Run(path.path if isinstance(path, StoredRun) else path, into=into, **networks).load(in_place=True)

"""The public functions that return models: trained, untrained, or loaded from a run."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from ancestral.api.progress import Wanted, chosen_progress
from ancestral.api.run import Run, mark_trained, note_trained, refuse_no_model, run_of, source_of, with_pixels_of
from ancestral.core.arguments import plain_arguments
from ancestral.core.errors import InputError
from ancestral.core.text import with_article
from ancestral.data.frames import is_frame
from ancestral.data.memory import WEIGHTS, conditions_names
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
    """Train a model into a run folder, score it on its test images, draw its figures and write its page.

    Args:      family: a name, a file FILE.py that defines `FAMILY`, a `Family`, or your own model, which is trained in
               place. out: the folder.
    model: settings of the family, for example `VAESettings(latents=2)`. data: a named data set, a file or a folder,
    arrays, tensors, a pair (images, labels), a dict of splits, a dataset, or `DataSettings`; default: digits, with a
    notice. With `missing=True`, NaN, transparent pixels and masks (an array `seen` in a dict) are missing values.
    `weights`: the weight of each row in training, as an array, or the name of an array or column. `conditions`: learn
    p(x | c) for the vector c of each row: an array, (N,) or (N, K), or a dict of arrays by part, or the names of arrays
    or columns. training: `TrainingSettings`.
    resume: resume from the folder's checkpoint; settings that are not given are those of the run, and `epochs` may be
    larger.
    progress: show a bar with epochs, last values and remaining time: "auto" (in a notebook or terminal), True or False.
    report: if False, scores, figures and page are omitted; `evaluate(run)` and `run.report()` make them later.
    explorer: write RUN/explorer.html too, in which the model runs in the browser, as `run.explore()` does.
    reporter: receives the progress instead of a bar. checkpoint_seconds: time between checkpoints.
    settings: any flag of the command line by name, for example `epochs=5`; these override model, data and training.
    `init_from=RUN`, a run or its folder: start from its trained weights, with its settings unless others are given.
    Your own networks by their names in the family's record, `encoder=module`; they are trained in place. For your own
    model, `objective`: a function (model, batch) -> {"loss": a tensor of shape (B,), ...} in nats; None is the default
    of its kind.
    Returns:   the run. `run.load()` returns the model with the best weights of the validation, `run.verdicts()` the
               problems of the training.
    Raises:    InputError: settings, data or modules are wrong, or the folder has another run. TrainingDiverged,
               Interrupted: the last state is kept.
    Example:   `fit("vae", "runs/first", data="digits", latents=2, epochs=20)`
    """
    from ancestral.api.training import train_run

    if progress is True and reporter is not None:
        raise InputError("fit: a reporter replaces the progress bar: give progress=True or a reporter, not both")
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

    Args:      as in `fit`; the data determine shape and pixel space.
    Returns:   the model with the initial weights that `fit` uses for the same seed.
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
    """The family, the settings of model, data and training, and the user's own modules.

    Args:      out: the folder of the run, or None. resume: whether the run is resumed.
    """
    from ancestral.families.catalogue import find
    from ancestral.families.run_settings import parts_for, renamed, setting_names
    from ancestral.runs.given import Given
    from ancestral.runs.inherited import with_inherited

    def complete_values(family: str | None, values: dict[str, Any]) -> dict[str, Any]:
        """Values by their present names, completed with those of the resumed run or of the parent."""
        found = with_inherited(family, out, resume, renamed(values, setting_names(family)))
        if "data" not in found:
            log.warning("note: no data are given, so %s are used: give data=... for other data", DataSettings.data)
        return found

    values: dict[str, Any] = {}
    for part in (model, data if isinstance(data, DataSettings) else None, training):
        values |= {} if part is None else _fields_of(part)
    settings, source = _with_arrays(data, settings)
    if source is not None:
        values["data"] = source
    values |= settings
    if isinstance(family, Model):
        if model is not None:
            raise InputError("your own model has no settings of a family: leave out model=...")
        given = Given(family, objective=values.pop("objective", None))
        return None, parts_for(None, **with_pixels_of(family, complete_values(None, values))), given
    if isinstance(family, nn.Module):
        refuse_no_model(family)
    name = _name_of(family)
    networks = {name: values.pop(name) for name in find(name).networks if values.get(name) is not None}
    _refuse_code(name, values)
    parts = parts_for(name, **complete_values(name, values))
    if networks and isinstance(parts[0], FamilySettings):
        for setting, reason in parts[0].replaced(networks).items():
            log.warning("note: %s has no effect: %s", setting, reason)
    return name, parts, Given(networks=networks)


def _with_arrays(data: Any, settings: dict[str, Any]) -> tuple[dict[str, Any], str | None]:
    """Settings with the names of weights and conditions that are arrays, and the source; None if no data are given.

    Raises:    InputError: arrays without data in memory.
    """
    found = dict(settings)
    arrays = {}
    for name in ("weights", "conditions"):
        value = settings.get(name)
        if value is None or isinstance(value, str) or (isinstance(value, list | tuple) and _all_words(value)):
            continue
        if data is None or isinstance(data, DataSettings):
            raise InputError(f"{name} as an array need data in memory: give data=...")
        arrays[name] = value
    if "weights" in arrays:
        found["weights"] = WEIGHTS
    if "conditions" in arrays:
        found["conditions"] = conditions_names(arrays["conditions"], is_frame(data) or _has_tables(data))
    elif isinstance(found.get("conditions"), str):
        found["conditions"] = (found["conditions"],)
    given = data is not None and not isinstance(data, DataSettings)
    return found, source_of(data, **arrays) if given else None


def _all_words(values: Sequence[Any]) -> bool:
    return all(isinstance(value, str) for value in values)


def _has_tables(data: Any) -> bool:
    """Whether data are a dict of tables by part."""
    return isinstance(data, Mapping) and any(map(is_frame, data.values()))


def _refuse_code(family: str, settings: dict[str, Any]) -> None:
    """Raises:    InputError: a setting of a family is a module or a function."""
    from ancestral.families.build import refuse_other_networks
    from ancestral.families.catalogue import find

    refuse_other_networks(find(family), [name for name, value in settings.items() if isinstance(value, nn.Module)])
    if callable(settings.get("objective")):
        raise InputError(
            f"objective: a function goes with a model of your own, fit(model, ..., objective=function); "
            f"{with_article(family)} has objectives of its own"
        )


def _fields_of(part: Any) -> dict[str, Any]:
    if not is_dataclass(part) or isinstance(part, type):
        raise InputError(f"model and training must be settings dataclasses, not {type(part).__name__}")
    return {field.name: getattr(part, field.name) for field in fields(part)}


def _name_of(family: str | Path | Family) -> str:
    from ancestral.families.catalogue import find, load_file, register_family
    from ancestral.families.family import Family

    if isinstance(family, Family):
        return register_family(family).name
    if isinstance(family, Path):
        return load_file(family).name
    if not isinstance(family, str):
        raise InputError(f"a family must be a name, a file or an ancestral.Family, not {type(family).__name__}")
    return load_file(family).name if family.endswith(".py") else find(family).name


@plain_arguments()
def load(path: Stored, *, into: Model | None = None, **networks: Any) -> Model:
    """The trained model of a run, in evaluation mode.

    Args:      path: a run or its folder. into: your own model, into which the weights are loaded. networks: for a run
               with your own networks, instances of them by name, `encoder=module`, into which the weights are loaded.
    Raises:    InputError: not a run folder, not trained yet, or damaged; or the modules do not fit the weights.
    """
    if into is None and not networks:
        return run_of(path, None)[0].load()
    return Run(path.path if isinstance(path, StoredRun) else path, into=into, **networks).load(in_place=True)

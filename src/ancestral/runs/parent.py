"""Runs that start from the trained weights of another run, their parent."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from ancestral.core.errors import InputError
from ancestral.core.serialization import holds_given, to_config
from ancestral.core.text import type_in_words
from ancestral.families.family import titled
from ancestral.families.run_settings import Settings
from ancestral.models.base import Model
from ancestral.runs.run import Run
from ancestral.training.checkpoint import under_prefix
from ancestral.training.frozen import freeze
from ancestral.training.steps import Step, TakesOver

MOST_NAMED = 4  # differences in one message
log = logging.getLogger("ancestral")


class Parent(NamedTuple):
    """The run whose weights are used.

    Args:      record: its entry in `settings.json` of the new run. run: the parent; None if the new run has its own
               checkpoint, so that the parent is not needed.
    """

    record: dict[str, Any]
    run: Run | None


def starting_point(run: Run, settings: Settings, model: Model, resume: bool) -> Parent | None:
    """Load the weights of the parent into an untrained model, if there is a parent, and freeze the named parts.

    Args:      run: the new run, or with `resume` the resumed one. settings: of the run. model: on the CPU.
    Returns:   the parent, or None.
    Raises:    InputError: no such run or part, or the weights do not fit. Nothing is written.
    """
    parent = parent_of(run, settings) if resume or not run.started else None  # else an error is raised later
    if parent is not None:
        give_weights(parent, settings, model)
    _freeze(settings, model)
    parts = settings.training.freeze
    if parts and parent is None and not run.started:
        log.warning("--freeze without --init-from: %s keeps its random initial weights", " ".join(parts))
    return parent


def refuse_start(run: Run, settings: Settings, model: Model) -> None:
    """Refuse a start that `starting_point` refuses, of a run that has not started; nothing is written or logged.

    Args:      run: the new run. model: untrained, on the CPU; its parts are frozen.
    Raises:    InputError: as `starting_point`.
    """
    if run.started:
        return
    parent = parent_of(run, settings)
    if parent is not None:
        _fitting_model(parent, settings, model)
    _freeze(settings, model)


def _freeze(settings: Settings, model: Model) -> None:
    """Raises:    InputError: parts that are named cannot be frozen."""
    parts = settings.training.freeze
    if parts and not getattr(settings.model, "has_learning_rate", True):
        raise InputError(f"--freeze {' '.join(parts)}: this training does not use gradients, so no part can be frozen")
    freeze(model, parts)


def parent_of(run: Run, settings: Settings) -> Parent | None:
    """The parent that the settings name, or that a resumed run was started from; None without a parent.

    Args:      run: the new or resumed run. settings: of the run.
    Raises:    InputError: no such run, it has no weights, or not the weights that the run was started from.
    """
    named = settings.training.init_from
    if not run.started:
        return None if named is None else _opened(Path(named), run)
    recorded = run.record.get("parent")
    if recorded is None:
        if named is not None:
            raise InputError(
                f"{run.path} was not started from the weights of another run: use --init-from with a new --out"
            )
        return None
    if named is not None and named != run.settings.training.init_from:
        _refuse_others(_opened(Path(named), run), recorded, run)
    if run.checkpoint.exists():
        return Parent(recorded, None)
    found = _opened(_place(recorded, run), run)
    _refuse_others(found, recorded, run)
    return found._replace(record=recorded)


def _opened(path: Path, run: Run) -> Parent:
    """A parent and its record.

    Raises:    InputError: it is not a run, or has no weights.
    """
    parent = Run(path, run.given)  # the user's own networks are the same in both
    _ = parent.settings
    sha256 = parent.weights_sha256
    if sha256 is None:
        raise InputError(f"--init-from {path}: this run has no trained weights yet: finish it with --resume")
    absolute = os.path.abspath(path)
    record = {
        "weights_sha256": sha256,
        "absolute_path": absolute,
        "relative_path": os.path.relpath(absolute, os.path.abspath(run.path)),
    }
    return Parent(record, parent)


def _place(record: dict[str, Any], run: Run) -> Path:
    """The present path of the parent.

    Raises:    InputError: it is at neither of the recorded paths.
    """
    for place in (Path(record["absolute_path"]), run.path / record["relative_path"]):
        if place.exists():
            return place
    raise InputError(
        f"{run.path} has no checkpoint yet, and the run with its initial weights is no longer at "
        f"{record['absolute_path']}: start again with another --out"
    )


def _refuse_others(found: Parent, recorded: dict[str, Any], run: Run) -> None:
    """Raises:    InputError: the weights differ from those that the run was started from."""
    if found.record["weights_sha256"] != recorded["weights_sha256"]:
        place = "" if found.run is None else f" of {found.run.path}"
        raise InputError(
            f"{run.path} was started from other weights than the present ones{place}: start again with another --out"
        )


def give_weights(parent: Parent, settings: Settings, model: Model) -> None:
    """Load the weights of a parent into an untrained model, on the CPU.

    Differences that do not show in the weights, for example in an activation or the number of levels, are logged.

    Raises:    InputError: the parent is of another family, damaged, or its weights do not fit.
    """
    trained = _fitting_model(parent, settings, model)
    if trained is None or parent.run is None:
        return
    odd = [] if holds_given(model) else list(_differences(to_config(trained), to_config(model)))
    if odd:
        more = f" and {len(odd) - MOST_NAMED} more" if len(odd) > MOST_NAMED else ""
        log.warning("the model differs from that of %s in %s%s", parent.run.path, "; ".join(odd[:MOST_NAMED]), more)
    model.load_state_dict(trained.state_dict())


def _fitting_model(parent: Parent, settings: Settings, model: Model) -> Model | None:
    """The trained model of a parent whose weights fit a model; None where the parent is not needed any more.

    Raises:    InputError: as `give_weights`.
    """
    if parent.run is None:
        return None
    path, family = parent.run.path, parent.run.settings.family
    if family != settings.family:
        raise InputError(f"--init-from {path}: this run is of {titled(family)}, not of {titled(settings.family)}")
    trained = parent.run.load()
    if problem := _misfit(trained, model):
        raise InputError(f"--init-from {path}: {problem}: use the settings of that run")
    return trained


def give_step(parent: Parent, step: Step) -> None:
    """Give a step the trained parts of the parent's step, for example a critic."""
    if parent.run is None or not isinstance(step, TakesOver):
        return
    tensors: dict[str, Tensor] = {}
    if parent.run.checkpoint.exists():
        tensors = under_prefix("step", parent.run.state()[0])
    if not step.take_over(tensors):
        log.warning("%s has no %s that fits: a new one is trained", parent.run.path, step.beside)


def _misfit(trained: Model, model: Model) -> str:
    """Why the weights of a trained model do not fit a model, or ""."""
    if type(trained) is not type(model):
        return f"its model is {type_in_words(trained)}, not {type_in_words(model)}"
    there, here = ({n: tuple(t.shape) for n, t in each.state_dict().items()} for each in (trained, model))
    for name in (*here, *there):
        if there.get(name) != here.get(name):
            shapes = (
                "x".join(map(str, each[name])) or "a number" if name in each else "absent" for each in (there, here)
            )
            return "its weights do not fit this model: {} is {} there and {} here".format(name, *shapes)
    return ""


def _differences(there: Any, here: Any, place: str = "") -> Iterator[str]:
    """Each difference of two model descriptions, with both values."""
    if isinstance(there, dict) and isinstance(here, dict):
        for name in dict.fromkeys((*there, *here)):
            yield from _differences(there.get(name), here.get(name), f"{place}.{name}" if place else name)
    elif there != here:
        yield f"{place} ({there} there, {here} here)"

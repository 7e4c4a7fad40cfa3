"""Settings that the user does not give: those of the resumed run, or of the run whose weights are used."""

from __future__ import annotations

import logging
import os
import shlex
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, NamedTuple

from ancestral.core.errors import InputError
from ancestral.families.run_settings import Settings, flags_of
from ancestral.runs.provenance import place_of_data
from ancestral.runs.run import Run
from ancestral.settings.data import DataSettings

OF_ONE_TRAINING = ("init_from", "freeze", "device", "devices", "shards", "track", "samples_at", "patience")
"""Settings of a training that a run which starts from its weights does not inherit."""
log = logging.getLogger("ancestral")


class Source(NamedTuple):
    """The settings of a run, and the names of those that are inherited."""

    settings: Settings
    names: Collection[str]


def with_inherited(
    family: str | None, out: Path | str | None, resume: bool, given: Mapping[str, Any], varied: Collection[str] = ()
) -> dict[str, Any]:
    """The given settings by name, and the inherited ones where none are given.

    A resumed run inherits its own settings. A run that starts from trained weights inherits the settings of the run
    with these weights, with a notice; with other data, `pixels` is the only inherited setting of the data.

    Args:      family, out, resume: as for `fit`; without a folder nothing is inherited. given: the settings that the
               user gives, by their present names; `init_from` may be a run. varied: names of settings that get their
               values elsewhere.
    Raises:    InputError: the settings of that run cannot be read, its data are missing, or `init_from` is no run.
    """
    given = dict(given)
    parent = given.get("init_from")
    if parent is not None:
        if not isinstance(parent, Run | Path | str):
            raise InputError(f"init_from is a run or its folder, not {type(parent).__name__}")
        given["init_from"] = str(parent.path if isinstance(parent, Run) else parent)
    found = None if out is None else _source(family, out, resume, {**dict.fromkeys(varied), **given})
    if found is None:
        return given
    parts = found.settings.parts
    return {name: value for part in parts for name, value in vars(part).items() if name in found.names} | given


def inherited_words(family: str, words: Sequence[str], default_out: Callable[[str, str], Path]) -> list[str]:
    """The inherited settings as flags of the command line, which come before the given ones.

    Args:      family: its name. words: the given flags and values. default_out: the default folder for a family and
               data.
    """
    given: dict[str, Any] = {}
    for place, word in enumerate(words):
        name, equals, value = word.partition("=")
        if name.startswith("--"):
            setting = name[2:].removeprefix("no-").replace("-", "_")
            given[setting] = value if equals else words[place + 1] if place + 1 < len(words) else ""
    out = given.get("out") or default_out(family, given.get("data", DataSettings().data))
    found = _source(family, out, "resume" in given, given)
    if found is None:
        return []
    return [word for name, each in flags_of(found.settings).items() if name in found.names for word in each]


def _source(family: str | None, out: Path | str, resume: bool, given: dict[str, Any]) -> Source | None:
    run, parent = Run(out), given.get("init_from")
    if resume and run.started:
        settings, names = run.settings, _names(run.settings) - {"devices"}
    elif parent is None or not Run(parent).started:
        return None
    else:
        settings, names = _of_parent(Run(parent), given)
    if settings.family != family:
        return None  # an error is raised later
    names -= given.keys()
    shown = shlex.join(word for name, words in flags_of(settings).items() if name in names for word in words)
    if shown and not (resume and run.started):
        log.info("settings taken from %s: %s", parent, shown)
    return Source(settings, names)


def _names(settings: Settings) -> set[str]:
    return {field.name for part in (settings.model, settings.data, settings.training) for field in fields(part)}


def _of_parent(parent: Run, given: dict[str, Any]) -> tuple[Settings, set[str]]:
    """The settings of a parent with the present path of its data, and the names of the inherited settings."""
    settings = parent.settings
    names = _names(settings) - {*OF_ONE_TRAINING, *getattr(settings.model, "not_inherited", ())}
    own = settings.data.data
    if given.get("data", own) != own:
        names -= {field.name for field in fields(DataSettings)} - {"pixels"}
    elif not os.path.exists(os.path.expanduser(own)):
        place = place_of_data(own, parent.record["data"], parent.path)
        settings = replace(settings, data=replace(settings.data, data=place))
    return settings, names

"""Settings that are not given: of a run that goes on, or of the run whose weights a new one starts from."""

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

OF_ONE_TRAINING = ("init_from", "freeze", "device", "track", "samples_at", "patience")
"""Settings of a training that another one, which starts from its weights, does not take over."""
log = logging.getLogger("ancestral")


class Source(NamedTuple):
    """Settings of a run, and the names of those that hold where they are not given."""

    settings: Settings
    names: Collection[str]


def with_inherited(
    family: str | None, out: Path | str | None, resume: bool, given: Mapping[str, Any], varied: Collection[str] = ()
) -> dict[str, Any]:
    """Settings by name that are given, and those that hold where none are given.

    A run that goes on has its own settings. A run that starts from trained weights has those of the run that they are
    of, and that is logged; where other data are given, only the pixels of the data settings.

    Args:      family, out, resume: as for `fit`; without a folder nothing is added. given: the settings that are given,
               by their present names; `init_from` may be a run. varied: names of others that get values elsewhere.
    Raises:    InputError: the settings of that run cannot be read, its data are gone, or `init_from` is no run.
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
    """The same as flags of the command line, to be put in front of those that are given.

    Args:      words: flags and their values as they are given. default_out: the folder by family and data, where
               none is given.
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
    if resume and run.begun:
        settings, names = run.settings, _names(run.settings)
    elif parent is None or not Run(parent).begun:
        return None
    else:
        settings, names = _of_parent(Run(parent), given)
    if settings.family != family:
        return None  # it is refused later
    names -= given.keys()
    shown = shlex.join(word for name, words in flags_of(settings).items() if name in names for word in words)
    if shown and not (resume and run.begun):
        log.info("settings that are not given are those of %s: %s", parent, shown)
    return Source(settings, names)


def _names(settings: Settings) -> set[str]:
    return {field.name for part in (settings.model, settings.data, settings.training) for field in fields(part)}


def _of_parent(parent: Run, given: dict[str, Any]) -> tuple[Settings, set[str]]:
    """The settings of a parent, its data where they are now, and the names of those that a new run takes over."""
    settings = parent.settings
    names = _names(settings) - {*OF_ONE_TRAINING, *getattr(settings.model, "of_beginnings", ())}
    own = settings.data.data
    if given.get("data", own) != own:
        names -= {field.name for field in fields(DataSettings)} - {"pixels"}
    elif not os.path.exists(os.path.expanduser(own)):
        place = place_of_data(own, parent.record["data"], parent.path)
        settings = replace(settings, data=replace(settings.data, data=place))
    return settings, names

"""The settings of a run in `settings.json`, and the check of settings when a training is resumed."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from ancestral.core.errors import InputError
from ancestral.core.files import json_text
from ancestral.core.serialization import needs_family
from ancestral.core.text import with_article
from ancestral.families.catalogue import find, names
from ancestral.families.family import Family
from ancestral.families.run_settings import Settings
from ancestral.settings.data import MEMORY, DataSettings
from ancestral.settings.names import renamed
from ancestral.settings.stored import dataclass_from
from ancestral.settings.training import TrainingSettings

PARTS = ("data", "model", "training")
CHECKED_ELSEWHERE = ("epochs", "patience", "device", "devices", "init_from")  # by `extension` and `parent`


def settings_to_json(settings: Settings) -> dict[str, Any]:
    """Settings as JSON values."""
    return asdict(settings)


def settings_from_json(record: dict[str, Any]) -> Settings:
    """The settings from JSON values.

    Raises:    InputError: an unknown family or setting, or a value of a wrong type.
    """
    missing = [name for name in ("family", *PARTS) if name not in record]
    if missing:
        raise InputError(f"the settings of this run cannot be read: {missing[0]!r} is missing")
    family = record["family"]
    if family is not None and not isinstance(family, str):
        raise InputError(f"the settings of this run cannot be read: its family is {str(family)[:40]!r}")
    try:
        kinds = {"model": _family_of_run(family).settings, "data": DataSettings, "training": TrainingSettings}
        parts = (
            dataclass_from(
                cls,
                renamed(record[part], cls.__dataclass_fields__) if isinstance(record[part], dict) else record[part],
                part,
            )
            for part, cls in kinds.items()
        )
        return Settings(family, *parts)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"the settings of this run cannot be read: {' '.join(str(error).split())}") from error


def same_settings(first: Settings, second: Settings) -> bool:
    """Whether two settings are equal; NaN equals NaN."""
    return json_text(settings_to_json(first)) == json_text(settings_to_json(second))


def refuse_changes(record: dict[str, Any], described: dict[str, Any]) -> None:
    """Check that a run is resumed with its own settings.

    Raises:    InputError: names the first setting that differs.
    """
    stored = settings_to_json(settings_from_json(record["settings"]))
    if stored["family"] != described["family"]:
        raise InputError(f"this run is of {_kind(stored['family'])}, not of {_kind(described['family'])}")
    for part in PARTS:
        for name, value in described[part].items():
            if part == "training" and name in CHECKED_ELSEWHERE:
                continue
            before = stored[part][name]
            if before != value and json_text(before) != json_text(value):
                if name == "data" and all(str(source).startswith(MEMORY) for source in (before, value)):
                    other = f"this run started with other data in memory ({before}, not {value})"
                    raise InputError(
                        f"{other}: give the same data in the same form, or train a new run in another folder"
                    )
                raise InputError(f"this run started with {name} = {before}, not {value}: resume with its own settings")


def _kind(family: str | None) -> str:
    return "your own model" if family is None else with_article(family)


def _family_of_run(name: str | None) -> Family:
    """Raises:    InputError: the family is unknown; the message states how to give it."""
    try:
        return find(name)
    except InputError as error:
        if name is None or name in names():  # the family is known but cannot be loaded
            raise
        raise InputError(needs_family("run", name)) from error

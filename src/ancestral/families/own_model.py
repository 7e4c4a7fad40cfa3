"""The record for a user's own model in Python, which belongs to no family and is not built from settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ancestral.core.errors import InputError
from ancestral.families.family import OWN_MODEL, DataSpec, Family
from ancestral.settings.family import FamilySettings


@dataclass(frozen=True)
class OwnModelSettings(FamilySettings):
    """A user's own model, without settings."""


def _build(settings: Any, spec: DataSpec) -> Any:
    raise InputError("your own model cannot be built from settings: use ancestral.fit(model, RUN, data=...) in Python")


RECORD = Family(name=OWN_MODEL, settings=OwnModelSettings, build=_build, tiny={})

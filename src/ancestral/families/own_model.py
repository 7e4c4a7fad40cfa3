"""The record of a model that a person gives in Python: it belongs to no family, and nothing is built from settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ancestral.core.errors import InputError
from ancestral.families.family import OWN_MODEL, DataSpec, Family
from ancestral.settings.family import FamilySettings


@dataclass(frozen=True)
class OwnModelSettings(FamilySettings):
    """A model of one's own, which has no settings here."""


def _build(settings: Any, spec: DataSpec) -> Any:
    raise InputError("a model of one's own is given in Python: ancestral.fit(model, RUN, data=...)")


RECORD = Family(name=OWN_MODEL, settings=OwnModelSettings, build=_build, tiny={})

"""The setting `--conditional`, which every family with classes has, and the classes of the data for a model."""

from __future__ import annotations

from typing import Any

from ancestral.core.errors import InputError
from ancestral.families.family import DataSpec


def classes_of(settings: Any, spec: DataSpec) -> tuple[int, list[float] | None]:
    """Number and proportions of the classes of a conditional model; 0 and None for any other model.

    Args:      settings: of the family. spec: the data.
    Raises:    InputError: a conditional model for data without labels.
    """
    if not settings.conditional:
        return 0, None
    if not spec.classes:
        raise InputError("--conditional needs labelled data with classes: these have none")
    return spec.classes, None if spec.proportions is None else list(spec.proportions)

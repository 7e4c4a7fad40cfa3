"""Checks, before a training, that model and step can use missing values and weights of the data."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from ancestral.core.errors import InputError
from ancestral.core.text import type_in_words
from ancestral.data.readers import PART_NAMES
from ancestral.families.abilities import trains_on_missing
from ancestral.families.catalogue import model_classes, names
from ancestral.families.family import titled
from ancestral.families.run_settings import Settings
from ancestral.models.base import Model
from ancestral.models.seen import can_train_on_missing
from ancestral.runs.run_data import RunData


def refuse_missing_data(model: Model, data: RunData) -> None:
    """Raises:    InputError: values are missing, and the model cannot leave them out."""
    missing = [part for part in PART_NAMES if data.stored(part).seen is not None]
    if missing and not can_train_on_missing(model):
        raise InputError(
            f"{data.name} has missing values, and {type_in_words(model)} cannot leave them out in training: "
            f"choose {_able()}, or fill the values in"
        )


def _able() -> str:
    """The families with models that can, and these models."""
    found: list[str] = []
    for name in names():
        with suppress(InputError):  # a fault of a plug-in is reported where it is used
            found += [f"{name} ({cls.__name__})" for cls in model_classes(name) if trains_on_missing(cls)]
    return f"{', '.join(found[:-1])} or {found[-1]}"


def refuse_weights(step: Any, data: RunData, settings: Settings) -> None:
    """Raises:    InputError: rows have weights, and the training step does not use them; or a split has zeros only."""
    weighted = [part for part in ("train", "valid") if data.stored(part).weights is not None]
    if weighted and not getattr(step, "uses_weights", False):
        raise InputError(
            f"{data.name} has weights, which the training step of {titled(settings.family)} does not use: remove them"
        )
    for part in weighted:
        weights = data.stored(part).weights
        if weights is not None and len(weights) and not bool((weights > 0).any()):
            raise InputError(f"all weights of the {part} part of {data.name} are 0: choose another --split-seed")

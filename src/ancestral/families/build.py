"""From the settings of a family to an untrained model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ancestral.core.errors import InputError
from ancestral.core.serialization import provide_classes
from ancestral.families.catalogue import find, import_classes
from ancestral.families.family import DataSpec
from ancestral.models.base import Model, load_saved

provide_classes(import_classes)


def build_model(family: str, settings: Any, spec: DataSpec) -> Model:
    """An untrained model of a family.

    Args:      family: its name. settings: of its own class. spec: what the model is for.
    Raises:    InputError: the settings do not fit the data or each other, or the family's builder fails.
    """
    build = find(family).code("build")
    try:
        model = build(settings, spec)
    except InputError:
        raise
    except Exception as error:  # a plug-in's builder may fail in any way
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"these settings make no model of the family {family}: {reason}") from error
    if not isinstance(model, Model):
        raise InputError(f"the builder of the family {family} returns a {type(model).__name__}, not an ancestral.Model")
    return model


def load_model(folder: Path | str) -> Model:
    """The model saved in a folder, in evaluation mode, on the CPU. Its family is looked for by the name of its classes.

    Raises:    InputError: files missing or damaged, an unknown class or family, weights that do not fit.
    """
    return load_saved(folder)

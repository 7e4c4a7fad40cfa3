"""From the settings of a family to an untrained model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ancestral.core.arguments import plain_arguments
from ancestral.core.errors import InputError
from ancestral.core.modules import failure
from ancestral.core.serialization import provide_classes, to_config
from ancestral.core.text import close_matches
from ancestral.families.catalogue import BUILT_IN, find, import_classes
from ancestral.families.family import DataSpec, Family
from ancestral.families.size import refuse_beyond_memory
from ancestral.models.base import Model, load_saved

provide_classes(import_classes)


def build_model(family: str, settings: Any, spec: DataSpec) -> Model:
    """An untrained model of a family.

    Args:      family: its name. settings: of its own class. spec: what the model is for.
    Raises:    InputError: the settings do not fit the data or each other, or the family's builder fails.
    """
    record = find(family)
    build = record.code("build")
    refuse_other_networks(record, spec.networks)
    try:
        # a plug-in's builder, and a network of a person's own, may not be run twice, or not without values
        if family in BUILT_IN and not spec.networks:
            refuse_beyond_memory(f"model of the family {family}", lambda: build(settings, spec))
        model = build(settings, spec)
    except InputError:
        raise
    except (Exception, SystemExit) as error:  # a plug-in's builder may fail in any way
        raise InputError(f"these settings make no model of the family {family}: {failure(error)}") from error
    if not isinstance(model, Model):
        raise InputError(f"the builder of the family {family} returns a {type(model).__name__}, not an ancestral.Model")
    refuse_unfit(f"the {type(model).__name__} of the family {family}", model, spec)
    try:
        to_config(model)
    except TypeError as error:
        raise InputError(f"the {type(model).__name__} of the family {family} cannot be saved: {error}") from error
    return model


def refuse_other_networks(family: Family, given: Iterable[str]) -> None:
    """Raises:    InputError: networks that a family does not take."""
    for name in given:
        if name not in family.networks:
            takes = close_matches(name, family.networks) if family.networks else "none"
            raise InputError(f"a {family.name} takes no network {name!r} of one's own: {takes}")


def refuse_unfit(called: str, model: Model, spec: DataSpec) -> None:
    """Raises:    InputError: the model, which messages call so, is for other data or lacks an attribute."""
    missing = [attribute for attribute in ("event_shape", "spaces", "levels") if not hasattr(model, attribute)]
    if missing:
        raise InputError(f"{called} has no {' and no '.join(missing)}")
    if tuple(model.event_shape) != tuple(spec.event_shape):
        raise InputError(f"{called} is for {model.event_shape}, the data are {spec.event_shape}")
    if spec.space not in model.spaces:
        raise InputError(f"{called} is not for {spec.space} pixels: it needs --pixels {' or '.join(model.spaces)}")


@plain_arguments()
def load_model(
    folder: Path | str, sha256: Mapping[str, str] | None = None, given: Mapping[str, Any] | None = None
) -> Model:
    """The model saved in a folder, in evaluation mode, on the CPU. Its family is looked for by the name of its classes.

    Args:      sha256: of its files, by name, where they are known. given: modules that a person gave when the model
               was made, by name.
    Raises:    InputError: files missing or damaged, an unknown class or family, weights that do not fit.
    """
    return load_saved(folder, sha256, given)

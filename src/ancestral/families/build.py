"""Construction of untrained models from settings, and loading of saved models."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ancestral.core.arguments import plain_arguments
from ancestral.core.errors import InputError
from ancestral.core.modules import failure
from ancestral.core.serialization import provide_classes, to_config
from ancestral.core.text import close_matches, type_in_words
from ancestral.families.abilities import classes
from ancestral.families.catalogue import BUILT_IN, find, import_classes
from ancestral.families.family import DataSpec, Family
from ancestral.families.size import refuse_beyond_memory
from ancestral.models.base import Model, load_saved
from ancestral.models.vectors import TakesVectors, has_vector

provide_classes(import_classes)


def build_model(family: str, settings: Any, spec: DataSpec) -> Model:
    """An untrained model of a family.

    Args:      family: its name. settings: an instance of its settings class. spec: the data that the model is for.
    Raises:    InputError: the settings do not fit the data or each other, or the builder of the family fails.
    """
    record = find(family)
    build = record.code("build")
    refuse_other_networks(record, spec.networks)
    try:
        # the builder of a plug-in, or a user's own network, may not work when called twice or on the device "meta"
        if family in BUILT_IN and not spec.networks:
            refuse_beyond_memory(f"model of the family {family}", lambda: build(settings, spec))
        model = build(settings, spec)
    except InputError:
        raise
    except (Exception, SystemExit) as error:  # the builder of a plug-in may raise anything
        raise InputError(
            f"no model of the family {family} can be built from these settings: {failure(error)}"
        ) from error
    if not isinstance(model, Model):
        raise InputError(f"the builder of the family {family} returns {type_in_words(model)}, not an ancestral.Model")
    refuse_unfit(f"the {type(model).__name__} of the family {family}", model, spec)
    try:
        to_config(model)
    except TypeError as error:
        raise InputError(f"the {type(model).__name__} of the family {family} cannot be saved: {error}") from error
    return model


def refuse_other_networks(family: Family, given: Iterable[str]) -> None:
    """Raises:    InputError: the user gives a network that the family does not accept."""
    for name in given:
        if name not in family.networks:
            takes = close_matches(name, family.networks) if family.networks else "this family accepts none"
            raise InputError(f"the family {family.name} does not accept your own network {name!r}: {takes}")


def refuse_unfit(called: str, model: Model, spec: DataSpec) -> None:
    """Check that a model fits the data.

    Args:      called: the model, for messages.
    Raises:    InputError: it lacks an attribute, or is for data of another shape or pixel space.
    """
    missing = [attribute for attribute in ("event_shape", "spaces", "levels") if not hasattr(model, attribute)]
    if missing:
        raise InputError(f"{called} has no {' and no '.join(missing)}")
    if tuple(model.event_shape) != tuple(spec.event_shape):
        raise InputError(f"{called} needs data of the shape {model.event_shape}; these data have {spec.event_shape}")
    if spec.space not in model.spaces:
        raise InputError(f"{called} needs --pixels {' or '.join(model.spaces)}; these data have {spec.space} pixels")
    if spec.conditions and not has_vector(model):
        able = ", ".join(cls.__name__ for cls in classes() if issubclass(cls, TakesVectors) and cls.takes_vectors)
        raise InputError(f"{called} has no input for the vectors of --conditions: choose a {able}, or leave them out")


@plain_arguments()
def load_model(
    folder: Path | str, sha256: Mapping[str, str] | None = None, given: Mapping[str, Any] | None = None
) -> Model:
    """Load the model that is saved in a folder, in evaluation mode, on the CPU.

    Its family is found by the names of its classes.

    Args:      folder: with `config.json` and the weights. sha256: of the files, by name, if known. given: the user's
               own modules in the model, by name.
    Raises:    InputError: missing or damaged files, an unknown class or family, or weights that do not fit.
    """
    return load_saved(folder, sha256, given)

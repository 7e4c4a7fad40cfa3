"""The catalogue of families: built-in, installed plug-ins, from files, and registered in a session.

A run stores the class names of a plug-in with the name of their family as a prefix. So every class must belong to one
family, whatever was loaded before. A family owns the modules that define its record. If an installed package has
several families, each owns the part of the package that contains only its entry point; the rest belongs to the family
whose name sorts first. If one module registers several families, the second owns the classes that only its own tiny
models have.
"""

from __future__ import annotations

import functools
import importlib
import logging
import os
import sys
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from ancestral.core.errors import InputError
from ancestral.core.modules import failure, load_module
from ancestral.core.text import close_matches
from ancestral.families.family import Family

BUILT_IN = {
    "mixture": "ancestral.families.mixture.family:FAMILY",
    "belief-net": "ancestral.families.belief_net.family:FAMILY",
    "made": "ancestral.families.autoregressive.family:MADE",
    "pixelcnn": "ancestral.families.autoregressive.family:PIXELCNN",
    "vae": "ancestral.families.vae.family:VAE",
    "autoencoder": "ancestral.families.vae.family:AUTOENCODER",
    "flow": "ancestral.families.flow.family:FAMILY",
    "circuit": "ancestral.families.circuit.family:FAMILY",
    "any-order": "ancestral.families.any_order.family:FAMILY",
    "gan": "ancestral.families.gan.family:FAMILY",
}
"""The place of the record of each built-in family."""
ENTRY_POINTS = "ancestral.families"
"""The group of entry points with which an installed package provides families."""
VARIABLE = "ANCESTRAL_FAMILIES"
"""The environment variable with paths of family files, separated as in PATH."""
log = logging.getLogger("ancestral")

_LOADED: dict[str, Family] = {}
_SOURCES: dict[str, tuple[str, bytes]] = {}  # path and content of the file of a family, by the family's name
_MODULES: dict[str, tuple[str, ...]] = {}  # modules or packages with the code of a plug-in, by the family's name


@functools.cache
def installed() -> dict[str, EntryPoint]:
    """The entry points of installed plug-ins by name, not imported. Built-in names cannot be overridden."""
    return {point.name: point for point in entry_points(group=ENTRY_POINTS) if point.name not in BUILT_IN}


def names() -> list[str]:
    """The names of all known families, the built-in ones first; no plug-in is imported."""
    files = [name for name in _LOADED if name not in BUILT_IN]
    return list(dict.fromkeys([*BUILT_IN, *files, *sorted(installed())]))


def find(name: str | None) -> Family:
    """The record of a family.

    Args:      name: of the family; None means a user's own model without a family.
    Raises:    InputError: no such family; the message names similar ones, and how to give a file.
    """
    if name is None:
        return importlib.import_module("ancestral.families.own_model").RECORD
    if name not in _LOADED:
        if name in BUILT_IN:
            module, _, attribute = BUILT_IN[name].partition(":")
            _LOADED[name] = getattr(importlib.import_module(module), attribute)
        else:
            _load_plug_in(name)
    if name in _LOADED:
        return _LOADED[name]
    raise InputError(f"unknown family {name!r}: {close_matches(name, names())} (or your own file, FILE.py)")


def _load_plug_in(name: str) -> None:
    """Look for a family in installed packages, then in the files that the environment variable names."""
    point = installed().get(name)
    if point is not None:
        try:
            family = point.load()
        except (Exception, SystemExit) as error:  # an installed package may raise anything
            raise InputError(
                f"the installed family {name} ({point.value}) cannot be loaded: {failure(error)}"
            ) from error
        if not isinstance(family, Family) or family.name != name:
            raise InputError(f"the entry point {name} ({point.value}) is not an ancestral.Family with that name")
        _own_package(point)
        _add(family, (_package(point),))
        return
    refusals = load_named_files()  # possibly of other families: they matter only if no file defines this one
    if refusals and name not in _LOADED:
        raise refusals[0]


def load_named_files() -> list[InputError]:
    """Load the family files that the environment variable names; returns the errors of those that fail."""
    refusals = []
    for path in filter(None, os.environ.get(VARIABLE, "").split(os.pathsep)):
        try:
            load_file(path)
        except InputError as error:
            refusals.append(error)
    return refusals


def load_file(path: Path | str) -> Family:
    """Execute a Python file and register the `FAMILY` that it defines.

    Raises:    InputError: no such file, an error in it, no `FAMILY`, or a name that another family has.
    """
    path = Path(path).resolve()
    before = next((name for name, (source, _) in _SOURCES.items() if source == str(path)), None)
    if before is not None and path.is_file():
        if path.read_bytes() == _SOURCES[before][1]:
            return _LOADED[before]
        log.warning("%s has changed and is loaded again", path)
    module = load_module(path, "family")
    family = getattr(module, "FAMILY", None)
    if not isinstance(family, Family):
        found = "no FAMILY" if family is None else "a FAMILY that is not an ancestral.Family"
        raise InputError(f"{path} defines {found}: end it with FAMILY = ancestral.Family(...)")
    if family.name != before and (family.name in _LOADED or _comes_with_a_package(family.name)):
        raise InputError(f"the family in {path} has the name {family.name!r} of another family: rename it")
    if before is not None:
        del _LOADED[before], _SOURCES[before], _MODULES[before]
    _own(family, (module.__name__,))
    _add(family, (module.__name__,))
    _SOURCES[family.name] = (str(path), path.read_bytes())
    return family


def loaded_files() -> tuple[str, ...]:
    """The paths of the family files that this process has loaded."""
    return tuple(path for path, _ in _SOURCES.values())


def register_family(family: Family) -> Family:
    """Register a family in this process, for `fit`, `load` and all other functions.

    In an interactive session, a second family of the same name replaces the first, with a notice.

    Args:      family: the record.
    Returns:   the same record.
    Raises:    InputError: not a record, or a name that another family has.
    """
    if not isinstance(family, Family):
        raise InputError(f"register_family needs an ancestral.Family, not {type(family).__name__}")
    if _comes_with_a_package(family.name):
        raise InputError(f"the name {family.name!r} belongs to a family of {_provider(family.name)}: rename this one")
    if family.name in _LOADED and _LOADED[family.name] is not family:
        if not _interactive():
            raise InputError(f"a family {family.name!r} is registered already: rename this one")
        log.warning("the family %r replaces an earlier one of the same name", family.name)
    modules = _modules_of(family)
    _own(family, modules)
    _add(family, modules)
    return family


def _add(family: Family, modules: tuple[str, ...]) -> None:
    _LOADED[family.name], _MODULES[family.name] = family, modules
    model_classes.cache_clear()  # the record may replace another one


def _own_package(point: EntryPoint) -> None:
    """Assign the modules of an installed package to its families, loaded or not."""
    from ancestral.core.serialization import set_owner

    beside = sorted((other for other in installed().values() if _package(other) == _package(point)), reverse=True)
    set_owner(_package(point), beside[-1].name)
    for one in beside:  # for two families in one module, the last assignment counts: the name that sorts first
        set_owner(_own_part(one, [other for other in beside if other is not one]), one.name)


def _own_part(point: EntryPoint, others: list[EntryPoint]) -> str:
    """The largest part of a package that contains the record of this family and of no other."""
    parts = point.value.partition(":")[0].split(".")
    places = [".".join(parts[:length]) for length in range(1, len(parts) + 1)]
    modules = [other.value.partition(":")[0] for other in others]
    return next((place for place in places if not any(_covers((place,), module) for module in modules)), places[-1])


def _own(family: Family, modules: tuple[str, ...]) -> None:
    """Make a family the owner of modules, or, in modules of another family, of its own classes.

    A family without own classes in such a module uses those of the other family; its saved models have the prefix of
    that family.
    """
    from ancestral.core.serialization import set_owner

    for module in modules:
        others = [name for name, places in _MODULES.items() if module in places and name != family.name]
        if not others:
            set_owner(module, family.name)
            continue
        taken = {cls for other in others for cls in _classes_in(_LOADED[other], module)}
        for cls in [cls for cls in _classes_in(family, module) if cls not in taken]:
            set_owner(f"{module}.{cls.__qualname__}", family.name)


def _classes_in(family: Family, module: str) -> list[type]:
    """The classes of a module that occur in the tiny models of a family."""
    parts = [type(part) for model in _tiny_models(family) for part in model.modules()]
    return [cls for cls in dict.fromkeys(parts) if cls.__module__ == module]


def _tiny_models(family: Family) -> list[Any]:
    """All tiny models of a family.

    Raises:    InputError: one of them cannot be built.
    """
    from ancestral.core.random import seeded_noise

    try:
        with seeded_noise(0):
            return [make() for make in family.code("tiny").values()]
    except InputError:
        raise
    except (Exception, SystemExit) as error:  # the code of a plug-in may raise anything
        raise InputError(f"a tiny model of the family {family.name} cannot be built: {failure(error)}") from error


def _modules_of(family: Family) -> tuple[str, ...]:
    """The modules that define the builder and the settings of a record, except modules of this package."""
    build = family.build
    places = [build.partition(":")[0] if isinstance(build, str) else getattr(build, "__module__", "")]
    places.append(family.settings.__module__)
    return tuple(dict.fromkeys(place for place in places if place and not place.startswith("ancestral.")))


def _package(point: EntryPoint) -> str:
    return point.value.partition(":")[0].partition(".")[0]


def is_plug_in(name: str | None) -> bool:
    """Whether a family, or None for a user's own model, is not part of this package."""
    return name not in BUILT_IN


def plug_in_of(module: str) -> str:
    """The name of the loaded plug-in family that a module belongs to, or ""."""
    return next((name for name, places in _MODULES.items() if _covers(places, module)), "")


def _covers(places: tuple[str, ...], module: str) -> bool:
    return any(module == place or module.startswith(f"{place}.") for place in places)


def _comes_with_a_package(name: str) -> bool:
    return name in BUILT_IN or name in installed()


def _provider(name: str) -> str:
    return "this package" if name in BUILT_IN else f"the installed package {installed()[name].value}"


def _interactive() -> bool:
    return hasattr(sys, "ps1") or "ipykernel" in sys.modules


def import_classes(owner: str) -> None:
    """Import the model classes of a family, or of all built-in ones if `owner` is empty; ignore unknown names."""
    for name in [owner] if owner else list(BUILT_IN):
        if name not in (*BUILT_IN, *_LOADED) and (name in names() or os.environ.get(VARIABLE)):
            _load_plug_in(name)
        if name in BUILT_IN or name in _LOADED:
            find(name).code("build")
            find(name).code("tiny")  # the builder may import some classes only when it needs them


def family_of(model: Any) -> Family | None:
    """The family that the class of a model belongs to; None for a user's own model."""
    from ancestral.core.serialization import owner_of

    module = type(model).__module__
    if not module.startswith("ancestral."):
        found = [name for name, places in _MODULES.items() if _covers(places, module)]
        if len(found) > 1:  # several families in one module or package: the one whose tiny models have the class
            found = [name for name in found if type(model) in model_classes(name)] or [owner_of(type(model))]
        return _LOADED.get(found[0]) if found else None
    for name in BUILT_IN:
        family = find(name)
        if module.startswith(f"{BUILT_IN[name].rpartition('.')[0]}.") and type(model) in model_classes(name):
            return family
    return None


@functools.cache
def model_classes(name: str) -> tuple[type, ...]:
    """The distinct classes of the tiny models of a family, in their order."""
    return tuple(dict.fromkeys(map(type, _tiny_models(find(name)))))

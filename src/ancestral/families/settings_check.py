"""Checks of a settings class: its values must work on the command line, in JSON and in Python."""

from __future__ import annotations

import inspect
import math
import sys
import types
from dataclasses import MISSING, Field, fields, is_dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from ancestral.core.errors import InputError
from ancestral.core.modules import failure
from ancestral.settings.family import FamilySettings

SCALARS = (bool, int, float, str)
ALLOWED = (
    "use bool, int, float, str, a Literal of these, a tuple of these such as tuple[int, ...], or one of these | None"
)


def check_settings(family: str, settings: Any, taken: set[str]) -> None:
    """Check that all fields of a settings class can be flags and can be read back from `settings.json`.

    Args:      family: its name, for messages. taken: names of the flags that every training has.
    Raises:    InputError: names the first wrong field, and what is allowed.
    """
    if not (isinstance(settings, type) and is_dataclass(settings)):
        raise InputError(
            f"the settings of the family {family} must be a dataclass (the class itself), not {settings!r}"
        )
    _refuse_what_is_no_field(family, settings)
    for field in fields(settings):
        what = f"the setting {field.name!r} of the family {family}"
        if not field.init:
            raise InputError(f"{what} has init=False, so it cannot be set: remove init=False")
        if field.default is MISSING and field.default_factory is MISSING:
            raise InputError(f"{what} has no default: give it one")
        if field.name in taken:
            raise InputError(f"{what} has the name of a flag that every training has: rename it")
        hint = _resolved(what, settings, field)
        if not _holds(hint):
            raise InputError(f"{what} has the type {_name(field.type)}: {ALLOWED}")
    _check_defaults(family, settings)


def _refuse_what_is_no_field(family: str, settings: type) -> None:
    """Raises:    InputError: an attribute without a type annotation, or an argument that is not a field."""
    known = {field.name for field in fields(settings)}
    for base in settings.__mro__:
        if base is FamilySettings or base is object or not is_dataclass(base):
            continue
        for name, value in vars(base).items():
            given = isinstance(value, (*SCALARS, tuple)) or value is None
            constant = name.startswith("_") or name != name.lower() or hasattr(FamilySettings, name)
            if given and not constant and name not in inspect.get_annotations(base):
                raise InputError(
                    f"the setting {name!r} of the family {family} has no type, so it is not a flag: write {name}: "
                    f"{type(value).__name__} = {value!r}"
                )
    for name in inspect.signature(settings).parameters:
        if name not in known:
            raise InputError(f"the argument {name!r} of the settings of the family {family} is not a field: {ALLOWED}")


def _resolved(what: str, settings: type, field: Field[Any]) -> Any:
    """The type of a field; an annotation that is a string is evaluated.

    Raises:    InputError: the annotation has a name that is not defined in the module of the class.
    """
    owner = next(base for base in settings.__mro__ if field.name in inspect.get_annotations(base))
    holder = types.SimpleNamespace(__annotations__={field.name: field.type})
    names = vars(sys.modules[owner.__module__]) if owner.__module__ in sys.modules else {}
    try:
        return get_type_hints(holder, names, dict(vars(owner)), include_extras=True)[field.name]
    except Exception as error:  # the annotation may be any expression
        problem = " ".join(str(error).split())
        raise InputError(f"{what} has the type {_name(field.type)}, which cannot be evaluated: {problem}") from error


def _holds(hint: Any, inside: bool = False) -> bool:
    """Whether the command line and JSON can represent values of a type.

    Args:      inside: the type is that of the values of a tuple, which cannot be tuples themselves.
    """
    kind, arguments = get_origin(hint), get_args(hint)
    if kind is Annotated:
        return _holds(arguments[0], inside)
    if kind in (Union, types.UnionType):
        named = [one for one in arguments if one is not type(None)]
        return all(_holds(one, inside) for one in named)
    if kind is Literal:
        return all(type(choice) in SCALARS for choice in arguments)
    if kind is tuple:
        values = [one for one in arguments if one is not Ellipsis]
        return not inside and bool(values) and all(_holds(one, True) for one in values)
    return hint in SCALARS


def _fits(value: Any, hint: Any) -> bool:
    """Whether a value is of a type that `_holds` accepts."""
    kind, arguments = get_origin(hint), get_args(hint)
    if kind is Annotated:
        return _fits(value, arguments[0])
    if kind in (Union, types.UnionType):
        return any(_fits(value, one) for one in arguments)
    if kind is Literal:
        return any(type(value) is type(choice) and value == choice for choice in arguments)
    if kind is tuple:
        if not isinstance(value, tuple):
            return False
        if arguments[1:] == (Ellipsis,):
            return all(_fits(item, arguments[0]) for item in value)
        return len(value) == len(arguments) and all(map(_fits, value, arguments))
    if hint is float:
        return type(value) in (int, float)
    return type(value) is hint


def _check_defaults(family: str, settings: type) -> None:
    """Raises:    InputError: a default has a wrong type, is NaN, or is rejected by the class itself."""
    try:
        usual = settings()
    except Exception as error:  # the class may check its values in any way
        raise InputError(f"the settings of the family {family} reject their own defaults: {failure(error)}") from error
    for field in fields(settings):
        what, value = f"the setting {field.name!r} of the family {family}", getattr(usual, field.name)
        values = value if isinstance(value, tuple) else (value,)
        if any(isinstance(number, float) and math.isnan(number) for number in values):
            raise InputError(f"{what} has the default {value}: give a number, or None")
        if not _fits(value, _resolved(what, settings, field)):
            raise InputError(f"{what} has the default {value!r}, which is not of the type {_name(field.type)}")


def _name(hint: Any) -> str:
    return hint if isinstance(hint, str) else getattr(hint, "__qualname__", str(hint))

"""Settings read from JSON. The type of every value is checked against the dataclass."""

from __future__ import annotations

import types
from dataclasses import fields
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from ancestral.core.errors import InputError
from ancestral.core.text import close_matches

T = TypeVar("T")
NAMES: dict[Any, str] = {
    int: "a whole number",
    float: "a number",
    str: "a text",
    bool: "true or false",
    dict: "a mapping",
    list: "a list",
    type(None): "null",
}


def dataclass_from(cls: type[T], values: Any, what: str) -> T:
    """A settings dataclass from JSON values. Missing settings have their defaults.

    Args:      what: kind of settings, for the error message: `training`, for example.
    Raises:    InputError: not a mapping, an unknown setting, a wrong type, or a value that the class does not allow.
    """
    if not isinstance(values, dict):
        raise InputError(f"the {what} settings of this run are not a mapping of names to values: restore settings.json")
    try:
        hints = get_type_hints(cls)
    except (NameError, TypeError) as error:
        raise InputError(f"the types of the {what} settings cannot be read: {error}") from error
    names = [field.name for field in fields(cls)]  # type: ignore[arg-type]
    for name in values:
        if name not in names:
            raise InputError(f"this run has an unknown {what} setting {name[:40]!r}: {close_matches(name, names)}")
    return cls(**{name: typed(name, value, hints[name]) for name, value in values.items()})


def typed(name: str, value: Any, hint: Any) -> Any:
    """A JSON value converted to the type of a setting: a list becomes a tuple, a whole number may become a float.

    Raises:    InputError: the value does not fit the type.
    """
    kind, arguments = get_origin(hint), get_args(hint)
    if kind in (Union, types.UnionType):
        return _of_one(name, value, arguments)
    if kind is Literal:
        fits = any(type(value) is type(choice) and value == choice for choice in arguments)
        wanted = f"one of {', '.join(map(str, arguments))}"
    elif kind is tuple:
        if isinstance(value, (list, tuple)):
            return _tuple(name, value, arguments)
        fits, wanted = False, "a list"
    elif hint is float and type(value) is int and abs(value) < 1 << 53:
        return float(value)
    elif hint in NAMES:
        fits, wanted = type(value) is hint, NAMES[hint]
    else:
        return value  # a type that the family checks itself
    if not fits:
        raise InputError(f"{name} is {str(value)[:40]!r}: it must be {wanted}")
    return value


def _of_one(name: str, value: Any, hints: tuple[Any, ...]) -> Any:
    """The value, converted to the first of several types that it fits.

    Raises:    InputError: it fits none of the types; the message is that of the first type.
    """
    first: InputError | None = None
    for hint in hints:
        try:
            return typed(name, value, hint)
        except InputError as error:
            first = first or error
    assert first is not None
    raise first


def _tuple(name: str, values: Any, hints: tuple[Any, ...]) -> tuple[Any, ...]:
    """Raises:    InputError: too many or too few values, or one of a wrong type."""
    if len(hints) == 2 and hints[1] is ...:
        return tuple(typed(name, value, hints[0]) for value in values)
    if hints and len(values) != len(hints):
        raise InputError(f"{name} has {len(values)} values: it must have {len(hints)}")
    return (
        tuple(typed(name, value, hint) for value, hint in zip(values, hints, strict=True)) if hints else tuple(values)
    )

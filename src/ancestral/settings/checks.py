"""Checks that refuse a setting in one line that names its flag."""

from __future__ import annotations

import math
from dataclasses import fields
from typing import Any, Literal, get_args, get_origin, get_type_hints

from ancestral.core.errors import InputError


def check_choices(settings: Any) -> None:
    """Refuse words that are none of a setting's choices: the command line would, other callers might not.

    Raises:    InputError: names the flag and its choices.
    """
    for name, hint in get_type_hints(type(settings)).items():
        value = getattr(settings, name)
        if value is None:
            continue
        if type(None) in get_args(hint):
            hint = get_args(hint)[0]
        if get_origin(hint) is tuple:
            hint, values = get_args(hint)[0], value
        else:
            values = (value,)
        if get_origin(hint) is Literal and any(word not in get_args(hint) for word in values):
            raise InputError(f"{flag(name)} {shown(value)}: choose {', '.join(get_args(hint))}")


def check_numbers(settings: Any, names: str, least: float, above: bool = False) -> None:
    """Refuse numbers that are too small, not finite, or not whole where whole ones are wanted.

    Args:      names: of the settings, with spaces between; None is left alone, each of a tuple is looked at.
               least: the smallest number allowed, or with `above` the largest that is too small.
    Raises:    InputError: names the flag and what it takes.
    """
    kinds = {part.name: str(part.type) for part in fields(settings)}
    for name in names.split():
        value = getattr(settings, name)
        whole = "int" in kinds[name]
        if not all(_fits(number, whole, least, above) for number in _numbers(value)):
            wanted = f"a {'whole' if whole else 'finite'} number {'above' if above else 'of at least'}"
            raise InputError(f"{flag(name)} {shown(value)}: give {wanted} {least}")


def _numbers(value: Any) -> tuple[Any, ...]:
    """Each of a tuple, nothing of None, or the value itself."""
    if value is None:
        return ()
    return value if isinstance(value, tuple) else (value,)


def _fits(number: Any, whole: bool, least: float, above: bool) -> bool:
    """Whether a number is of its kind, finite and not too small."""
    kind = int if whole else (int, float)
    if not isinstance(number, kind) or isinstance(number, bool) or not math.isfinite(number):
        return False
    return number > least if above else number >= least


def flag(name: str) -> str:
    """A setting as a person types it."""
    return "--" + name.replace("_", "-")


def shown(value: object) -> str:
    """A value as a person types it."""
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)

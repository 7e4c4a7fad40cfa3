"""Checks that refuse a setting in one line that names its flag."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields
from types import MappingProxyType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from ancestral.core.errors import InputError
from ancestral.core.text import close_matches

LARGEST_WHOLE = 1 << 16
"""The largest size (a width, a number of latents) that a setting takes unless its dataclass says otherwise."""
LARGEST_REAL = 1e6
LARGEST_COUNT = 10**9
"""Of what takes time but no memory: epochs, steps, images of a file."""
LARGEST_SEED = 2**63 - 1
LONGEST_LIST = 1000
SHOWN_LETTERS = 60


def check_fields(settings: Any, largest: Mapping[str, float] = MappingProxyType({})) -> None:
    """Refuse values of another type than their field, words that are none of its choices, and numbers beyond reason.

    The command line refuses some of that itself; recipes, stored runs and callers from Python do not. Every number has
    an upper bound, so that a slip of the keyboard is refused before it takes all memory or never ends.

    Args:      largest: bounds of the absolute value by name, where the usual ones do not fit: 2^16 for whole
               numbers, 10^6 for others.
    Raises:    InputError: names the flag and what it takes.
    """
    hints = get_type_hints(type(settings))
    for name in (part.name for part in fields(settings)):
        value = getattr(settings, name)
        problem = "" if value is None else problem_with(value, without_none(hints[name]), largest.get(name))
        if problem:
            raise InputError(f"{flag(name)} {shown(value)}: {problem}")


def without_none(hint: Any) -> Any:
    """X of `X | None`; any other type as it is."""
    kinds = [kind for kind in get_args(hint) if kind is not type(None)]
    return kinds[0] if len(kinds) == 1 and type(None) in get_args(hint) else hint


def problem_with(value: Any, hint: Any, largest: float | None) -> str:
    """What a value of a type must be, where it is not; empty where it is, and for types not known here."""
    if get_origin(hint) is tuple:
        if not isinstance(value, tuple):
            return "give a list of values"
        if len(value) > LONGEST_LIST:
            return f"give at most {LONGEST_LIST} values"
        kinds = set(get_args(hint)) - {Ellipsis}
        found = (problem_with(each, kind, largest) for each in value for kind in kinds if len(kinds) == 1)
        return next(filter(None, found), "")
    if get_origin(hint) is Literal:
        return "" if value in get_args(hint) else close_matches(str(value), map(str, get_args(hint)))
    if hint is bool:
        return "" if isinstance(value, bool) else "give true or false"
    if hint is str:
        return "" if isinstance(value, str) else "give a text"
    if hint is int:
        most: float = LARGEST_WHOLE if largest is None else largest
        good = isinstance(value, int) and not isinstance(value, bool)
        return "" if good and -most <= value <= most else f"give a whole number of at most {most}"
    if hint is float:
        most = LARGEST_REAL if largest is None else largest
        good = isinstance(value, (int, float)) and not isinstance(value, bool)
        return "" if good and -most <= value <= most else f"give a finite number of at most {most:g}"
    return ""


def check_numbers(settings: Any, names: str, least: float, above: bool = False) -> None:
    """Refuse numbers that are too small; `check_fields` refuses those that are too large or no numbers.

    Args:      names: of the settings, with spaces between; None is left alone, each of a tuple is looked at.
               least: the smallest number allowed, or with `above` the largest that is too small.
    Raises:    InputError: names the flag and what it takes.
    """
    kinds = {part.name: str(part.type) for part in fields(settings)}
    for name in names.split():
        value = getattr(settings, name)
        values = value if isinstance(value, tuple) else () if value is None else (value,)
        if not all(number > least if above else number >= least for number in values):
            kind = "whole" if "int" in kinds[name] else "finite"
            raise InputError(
                f"{flag(name)} {shown(value)}: give a {kind} number {'above' if above else 'of at least'} {least}"
            )


def flag(name: str) -> str:
    """A setting as a person types it."""
    return "--" + name.replace("_", "-")


def shown(value: object) -> str:
    """A value as a person types it, cut where it is too long for a line.

    Example:
        >>> shown((64, 0)), shown(10**5000), shown("a" * 100)[-5:]
        ('64 0', 'about 10^5000', 'aa...')
    """
    if isinstance(value, (tuple, list)):
        line = " ".join(map(shown, value[:SHOWN_LETTERS]))
    elif isinstance(value, int) and abs(value) >= 10**SHOWN_LETTERS:
        line = f"about {'-' if value < 0 else ''}10^{math.log10(abs(value)):.0f}"
    else:
        line = str(value)
    line = " ".join(line.split())
    return line if len(line) <= SHOWN_LETTERS else line[:SHOWN_LETTERS] + "..."

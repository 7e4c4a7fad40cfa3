"""Checks of settings. The error is one line that names the flag."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields
from types import MappingProxyType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from ancestral.core.errors import InputError
from ancestral.core.text import close_matches

LARGEST_WHOLE = 1 << 16
"""Default upper bound of a size, such as a width or a number of latents. A dataclass may set another bound."""
LARGEST_REAL = 1e6
NO_LABELS = "--conditional needs labelled data with classes: these have none"
LARGEST_COUNT = 10**9
"""Upper bound of counts that cost time but no memory: epochs, steps, images of a file."""
LARGEST_SEED = 2**63 - 1
LONGEST_LIST = 1000
SHOWN_LETTERS = 60


def check_fields(settings: Any, largest: Mapping[str, float] = MappingProxyType({})) -> None:
    """Check the type, the choice and the upper bound of each setting.

    The command line checks some of this itself; recipes, stored runs and calls from Python do not. Every number has an
    upper bound, so that a typing error fails at once instead of using all memory or running for ever.

    Args:      largest: bounds of the absolute value, by name of the setting. Defaults: 2^16 for whole numbers, 10^6 for
               others.
    Raises:    InputError: a value is not allowed; the message names the flag and the allowed values.
    """
    hints = get_type_hints(type(settings))
    for name in (part.name for part in fields(settings)):
        value = getattr(settings, name)
        problem = "" if value is None else problem_with(value, without_none(hints[name]), largest.get(name))
        if problem:
            raise InputError(f"{flag(name)} {shown(value)}: {problem}")


def without_none(hint: Any) -> Any:
    """The type X of `X | None`; any other type is returned unchanged."""
    kinds = [kind for kind in get_args(hint) if kind is not type(None)]
    return kinds[0] if len(kinds) == 1 and type(None) in get_args(hint) else hint


def problem_with(value: Any, hint: Any, largest: float | None) -> str:
    """What to give instead of a value that does not fit its type.

    Returns:   an empty text if the value fits, or if this function does not know the type.
    """
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
    """Check the lower bound of numbers. `check_fields` checks the upper bound and the type.

    Args:      names: of the settings, separated by spaces. None is accepted; each number of a tuple is checked.
               least: the smallest allowed number; with `above`, the number itself is not allowed.
    Raises:    InputError: a number is too small; the message names the flag and the bound.
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
    """The flag of a setting on the command line."""
    return "--" + name.replace("_", "-")


def shown(value: object) -> str:
    """A value as it is typed on the command line, shortened if it is too long for a line.

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

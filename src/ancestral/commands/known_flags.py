"""The flags of a command, and a check of a command line for unknown flags and values."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args, get_origin, get_type_hints

import tyro

from ancestral.commands.flags import parameters_of, without_annotated
from ancestral.core.errors import InputError
from ancestral.core.text import close_matches, closest
from ancestral.settings.checks import flag, shown, without_none

NO_VALUE = "None"  # resets a value
SIMILAR = 0.75  # similarity of flags that are suggested; high, because all flags share their first two letters


class Flag(NamedTuple):
    """A flag of a command.

    Args:      values: how many values it takes. choices: allowed values; empty if any value is allowed.
               path: whether its value is a file or folder. number: int or float if its values are numbers.
    """

    values: Literal["none", "one", "several"]
    choices: tuple[str, ...] = ()
    path: bool = False
    number: type | None = None


def known_flags(command: Callable[..., Any]) -> dict[str, Flag]:
    """The flags of a command, including those of its settings."""
    found: dict[str, Flag] = {}
    for parameter in parameters_of(command):
        base, metadata = without_annotated(parameter.annotation)
        if dataclasses.is_dataclass(base):
            found |= _of_settings(base, parameter.default)
        elif tyro.conf.Positional not in metadata:
            name, taken = _flag(parameter.name, base, parameter.default)
            found[name] = taken
            found |= {alias: taken for one in metadata for alias in getattr(one, "aliases", None) or ()}
    return found


def _of_settings(part: Any, default: Any) -> dict[str, Flag]:
    values = default if dataclasses.is_dataclass(default) else part()
    hints = get_type_hints(part)
    return dict(_flag(field.name, hints[field.name], getattr(values, field.name)) for field in dataclasses.fields(part))


def _flag(name: str, hint: Any, default: Any) -> tuple[str, Flag]:
    bare = without_none(hint)
    if bare is bool and default is not inspect.Parameter.empty:
        return ("--no-" + flag(name)[2:] if default is True else flag(name)), Flag("none")
    kind = get_args(bare)[0] if get_origin(bare) is tuple else bare
    choices = tuple(map(str, get_args(kind))) if get_origin(kind) is Literal else ()
    several = "several" if get_origin(bare) is tuple else "one"
    number = kind if kind in (int, float) else None
    return flag(name), Flag(several, choices, path=kind is Path or name == "data", number=number)


def refuse_unknown_words(words: Sequence[str], known: Mapping[str, Flag]) -> None:
    """Check for flags and values that the command does not have.

    Raises:    InputError: with the flag or value, and a close match.
    """
    names = {name.replace("_", "-") for name in known}
    for number, word in enumerate(words):
        name, equals, attached = word.partition("=")
        if not (name.startswith("--") or name in names) or name == "--":
            continue
        name = name.replace("_", "-")
        if name not in names:
            raise InputError(_unknown(name, names))
        taken = known[name]
        values = [attached] if equals else _values(words[number + 1 :], taken, names)
        for value in values if taken.choices else ():
            if value not in (*taken.choices, NO_VALUE):
                raise InputError(f"{name} {shown(value)}: {close_matches(value, taken.choices)}")
        for value in values if taken.number else ():
            if value != NO_VALUE and not _is_number(value, taken.number):
                wanted = "a whole number" if taken.number is int else "a number"
                raise InputError(f"{name} {shown(value)}: give {wanted}")


def _is_number(value: str, number: type | None) -> bool:
    try:
        return number is not None and number(value) is not None
    except ValueError:
        return False


def _values(words: Sequence[str], taken: Flag, names: set[str]) -> list[str]:
    """The words after a flag, up to the next flag, such as -n, or the number of values that it takes."""
    values: list[str] = []
    for word in words:
        if word.startswith("--") or word in names or (taken.values == "one" and values):
            break
        values.append(word)
    return values


def _unknown(name: str, names: set[str]) -> str:
    opposite = f"--{name.removeprefix('--no-')}" if name.startswith("--no-") else f"--no-{name[2:]}"
    if opposite in names:  # a switch has only the flag that changes its default
        return f"unknown flag {name}: this is the default; {opposite} changes it"
    close = closest(name, sorted(names), SIMILAR)
    return f"unknown flag {name}: did you mean {close}?" if close else f"unknown flag {name}"

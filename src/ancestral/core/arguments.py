"""Checks of the arguments of public functions. A misspelt name or a wrong type gives an error of one line."""

from __future__ import annotations

import functools
import inspect
import numbers
import types
from collections.abc import Callable, Collection, Iterable
from typing import Any, Literal, ParamSpec, TypeVar, Union, get_args, get_origin

from ancestral.core.errors import InputError
from ancestral.core.text import close_matches, closest

P = ParamSpec("P")
R = TypeVar("R")
KINDS: dict[Any, type] = {int: numbers.Integral, float: numbers.Real}  # includes the types of NumPy


def plain_arguments(extra: Collection[str] | None = None) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Decorator that checks the arguments against the signature before the function runs.

    It checks the names, and the types bool, int, float, str, Path, classes, Literals and their unions. It does not
    check parameters of other types, or of types that only type checkers know.

    Args:      extra: names that the function accepts as `**keywords`; None if the function checks these itself.
    Raises:    InputError: an argument does not fit; the message names the function, the argument, and what to give.
    """

    def decorated(function: Callable[P, R]) -> Callable[P, R]:
        signature = inspect.signature(function)
        name, hints = function.__qualname__.removesuffix(".__init__"), dict[str, Any]()

        @functools.wraps(function)
        def checked(*args: P.args, **kwargs: P.kwargs) -> R:
            parameters = signature.parameters.values()
            if extra is not None or all(one.kind is not inspect.Parameter.VAR_KEYWORD for one in parameters):
                refuse_unknown(name, kwargs, [*_named(signature), *(extra or ())])
            try:
                given = signature.bind(*args, **kwargs).arguments
            except TypeError as error:
                raise InputError(f"{name}: {error}") from error
            if not hints:
                hints.update(_hints(function, signature))
            for parameter, value in given.items():
                refuse_other_type(f"{name}: {parameter}", value, hints.get(parameter, Any))
            return function(*args, **kwargs)

        return checked

    return decorated


def refuse_unknown(name: str, given: Iterable[str], known: Collection[str]) -> None:
    """Raises:    InputError: a name is unknown; the message suggests similar names."""
    for word in given:
        if word not in known:
            raise InputError(f"{name}: unknown argument {word!r}: {close_matches(word, known)}")


def refuse_other_type(what: str, value: Any, hint: Any) -> None:
    """Raises:    InputError: a value does not have the type of the hint."""
    if not _fits(value, hint):
        close = closest(value, _choices(hint)) if isinstance(value, str) else ""
        meant = f"; did you mean {close}?" if close else ""
        raise InputError(f"{what} is {str(value)[:60]!r} ({type(value).__name__}): give {_in_words(hint)}{meant}")


def _named(signature: inspect.Signature) -> list[str]:
    """Names of the parameters, without `*args` and `**kwargs`."""
    several = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    return [name for name, one in signature.parameters.items() if one.kind not in several]


def _hints(function: Callable[..., Any], signature: inspect.Signature) -> dict[str, Any]:
    """Types of the parameters, as far as they can be evaluated at run time."""
    names = getattr(inspect.unwrap(function), "__globals__", {})
    found = {}
    for name in _named(signature):
        hint = signature.parameters[name].annotation
        if hint is inspect.Parameter.empty:
            continue
        if isinstance(hint, str):
            try:
                hint = eval(hint, names)  # the package's own annotation
            except NameError:
                continue
        found[name] = hint
    return found


def _fits(value: Any, hint: Any) -> bool:
    kind = get_origin(hint)
    if hint is Any:
        return True
    if kind in (Union, types.UnionType):
        return any(_fits(value, one) for one in get_args(hint))
    if kind is Literal:
        return any(type(value) is type(choice) and value == choice for choice in get_args(hint))
    if hint is None or hint is type(None):
        return value is None
    if isinstance(value, bool) and hint in KINDS:
        return False
    wanted = KINDS.get(hint, kind or hint)
    return not isinstance(wanted, type) or isinstance(value, wanted)


def _choices(hint: Any) -> list[str]:
    """The strings that a Literal allows, alone or in a union."""
    if get_origin(hint) is Literal:
        return [choice for choice in get_args(hint) if isinstance(choice, str)]
    return [choice for one in get_args(hint) for choice in _choices(one)]


def _in_words(hint: Any) -> str:
    kind = get_origin(hint)
    if kind in (Union, types.UnionType):
        words = [_in_words(one) for one in get_args(hint)]
        return ", ".join(words[:-1]) + f" or {words[-1]}"
    if kind is Literal:
        return " or ".join(repr(choice) for choice in get_args(hint))
    if hint is None or hint is type(None):
        return "None"
    names = {int: "a whole number", float: "a number", str: "a text", bool: "True or False"}
    return names.get(hint, getattr(hint, "__name__", str(hint)))

"""The flags of a command as tyro shows them: required arguments in the usage line, and each default once."""

import dataclasses
import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import partial
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import tyro
from tyro.constructors import (
    ConstructorRegistry,
    PrimitiveConstructorSpec,
    PrimitiveTypeInfo,
    StructConstructorSpec,
    StructTypeInfo,
)

from ancestral.core.errors import InputError
from ancestral.settings.checks import LARGEST_COUNT, LARGEST_SEED, flag, problem_with, shown, without_none
from ancestral.settings.family import FamilySettings

LONGEST = 24  # characters of a value's placeholder in the first line
LARGEST = {
    "seed": LARGEST_SEED,
    **dict.fromkeys(("count", "train_size", "valid_size"), LARGEST_COUNT),  # limited by the data anyway
    "split_seed": LARGEST_SEED,
    "value_range": 1e300,
    "n": 10**7,
    "draw count": 1000,
    "seeds": 10_000,
    "trials": 10**6,
    "draws": 10_000,
    "temperatures": 10**6,
    "chains": 10_000,
    "leapfrogs": 10_000,
    "block": 1 << 20,  # as the file format allows
    "only": LARGEST_COUNT,
}
"""Upper bounds of arguments, where the general bound does not fit; `COMMAND NAME` applies to one command only."""


def shown_well(command: Callable[..., Any]) -> Callable[..., Callable[[], Any]]:
    """A function with the same arguments and better help for tyro. It returns the command with its arguments bound.

    Args:      command: its signature and docstring define the flags.
    """

    parameters = parameters_of(command)
    name = getattr(command, "__name__", "command")

    def bind(*args: Any, **kwargs: Any) -> Callable[[], Any]:
        given = inspect.signature(command).bind(*args, **kwargs).arguments
        hints = {p.name: without_annotated(p.annotation)[0] for p in parameters}

        def carry_out() -> Any:
            check_arguments(name, given, hints)
            return command(*args, **kwargs)

        return carry_out

    bind.__doc__, bind.__name__ = command.__doc__, name
    bind.__annotations__ = {p.name: _told_once(p.annotation, p.default, inspect.Parameter.empty) for p in parameters}
    bind.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [p.replace(annotation=bind.__annotations__[p.name]) for p in parameters]
    )
    return bind


def check_arguments(command: str, given: Mapping[str, Any], hints: Mapping[str, Any]) -> None:
    """Check the ranges of numbers among the arguments of a command; classes of settings check their own fields.

    Args:      given: values by name. hints: their types.
    Raises:    InputError: with the flag and the allowed values.
    """
    for name, value in given.items():
        largest = LARGEST.get(f"{command} {name}", LARGEST.get(name))
        problem = "" if value is None else problem_with(value, without_none(hints[name]), largest)
        if name == "seed" and value is not None and value < 0:
            problem = "give a whole number of at least 0"
        if problem:
            raise InputError(f"{flag(name)} {shown(value)}: {problem}")


def usage(program: str, command: Callable[..., Any]) -> str:
    """The usage line of a command: its required arguments, and `[OPTIONS]` if there are others."""
    words, options = [], False
    for parameter in parameters_of(command):
        required = parameter.default is inspect.Parameter.empty
        base, metadata = without_annotated(parameter.annotation)
        if dataclasses.is_dataclass(base):
            options = True
        elif tyro.conf.Positional in metadata:
            words.append(_placeholder(parameter))
        elif required:
            words.append(f"--{parameter.name.replace('_', '-')} {_placeholder(parameter)}")
        else:
            options = True
    return " ".join(["usage:", program, *words, *(["[OPTIONS]"] if options else [])])


def registry(command: Callable[..., Any]) -> ConstructorRegistry:
    """Rules for tyro that show the default of each field of settings once, as for arguments of commands.

    Args:      command: with the settings of a family among its arguments, whose defaults are shown.
    """
    rules, at_work, defaults = ConstructorRegistry(), [], family_defaults(command)

    @rules.struct_rule
    def settings_rule(info: StructTypeInfo) -> StructConstructorSpec | None:
        if not dataclasses.is_dataclass(info.type) or at_work:
            return None
        at_work.append(info)  # so that the lookup uses the standard rule, not this one
        try:
            spec = ConstructorRegistry.get_struct_spec(info)
        finally:
            at_work.pop()
        if not isinstance(spec, StructConstructorSpec):
            return None
        fields = [
            dataclasses.replace(
                field,
                type=_told_once(field.type, field.default, *MISSING),
                helptext=partial(_in_one_line, field.helptext, defaults.get(field.name, "")),
            )
            for field in spec.fields
        ]
        later = {field.name for field in dataclasses.fields(info.type) if field.kw_only}  # inherited and rarely used
        fields.sort(key=lambda field: field.name in later)
        return dataclasses.replace(spec, fields=tuple(fields))

    return rules


MISSING = (tyro.constructors.MISSING, tyro.constructors.MISSING_NONPROP)


def parameters_of(command: Callable[..., Any]) -> list[inspect.Parameter]:
    """The parameters of a command, with annotations as objects (including `Annotated`)."""
    hints = get_type_hints(command, include_extras=True)
    return [p.replace(annotation=hints[p.name]) for p in inspect.signature(command).parameters.values()]


def _told_once(annotation: Any, default: Any, *missing: Any) -> Any:
    """The type of an argument, with a hint of its default if that is a value.

    Where the default is None, the help text itself describes it, because users do not type None.
    """
    base, metadata = without_annotated(annotation)
    if any(default is nothing for nothing in missing) or dataclasses.is_dataclass(base):
        return annotation
    options: dict[str, Any] = {"help_behavior_hint": _hint}
    if default is None and (typed := without_none(base)) is not base and (metavar := _metavar(typed)):
        options["metavar"] = f"[{metavar}]" if tyro.conf.Positional in metadata else metavar
    return Annotated[(base, tyro.conf.arg(**options), *metadata)]  # metadata of the command comes last and overrides


def family_defaults(command: Callable[..., Any]) -> dict[str, str]:
    """Defaults that differ between families, by name of the setting, for the family of a command that trains."""
    for parameter in parameters_of(command):
        base, _ = without_annotated(parameter.annotation)
        if isinstance(base, type) and issubclass(base, FamilySettings):
            rich = getattr(base(), "rich_pixels", None)
            return {
                "learning_rate": f"{base.default_learning_rate:g}",
                "beta1": f"{base.default_beta1:g}",
                "pixels": base.default_pixels
                + (f"; {rich} for your own images with colour or many levels" if rich else ""),
            }
    return {}


def _in_one_line(helptext: str | Callable[[], str | None] | None, default: str = "") -> str | None:
    """A help text without the line breaks of its docstring; tyro wraps it to the width of the terminal.

    Args:      default: of this family, in place of the default that the text describes.
    """
    text = " ".join(((helptext() if callable(helptext) else helptext) or "").split())
    return re.sub(r"\(default: [^()]*\)$", f"(default: {default})", text) if default else text or None


def _hint(default: str) -> str:
    shown = {"None": "", "True": "on", "False": "off"}.get(default, default)
    return f"(default: {shown})" if shown else ""


def without_annotated(annotation: Any) -> tuple[Any, tuple[Any, ...]]:
    """The type of an annotation, and the metadata of `Annotated`."""
    if get_origin(annotation) is Annotated:
        base, *metadata = get_args(annotation)
        return base, tuple(metadata)
    return annotation, ()


def _metavar(base: Any) -> str:
    with suppress(Exception):  # an unknown type gets no placeholder here; tyro reports it later
        spec = ConstructorRegistry.get_primitive_spec(PrimitiveTypeInfo.make(base, set()))
        if isinstance(spec, PrimitiveConstructorSpec):
            return spec.metavar
    return ""


def _placeholder(parameter: inspect.Parameter) -> str:
    """The placeholder of an argument's value, or its name if the placeholder is too long."""
    base, metadata = without_annotated(parameter.annotation)
    said: Iterable[str] = (m.metavar for m in metadata if getattr(m, "metavar", None))
    shown = next(iter(said), None) or _metavar(without_none(base))
    return shown if 0 < len(shown) <= LONGEST else parameter.name.upper()

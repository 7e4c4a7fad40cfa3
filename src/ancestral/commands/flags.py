"""How tyro shows the flags of a command: what is required is in the first line, and each default is stated once."""

import dataclasses
import inspect
from collections.abc import Callable, Iterable
from contextlib import suppress
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import tyro
from tyro.constructors import (
    ConstructorRegistry,
    PrimitiveConstructorSpec,
    PrimitiveTypeInfo,
    StructConstructorSpec,
    StructTypeInfo,
)

LONGEST = 24  # characters of a value's placeholder in the first line


def shown_well(command: Callable[..., Any]) -> Callable[..., Callable[[], Any]]:
    """A function of the same arguments for tyro to read, with better help; it gives the command with them, uncalled.

    Args:      command: its signature and docstring make the flags.
    """

    def bind(*args: Any, **kwargs: Any) -> Callable[[], Any]:
        return lambda: command(*args, **kwargs)

    parameters = _parameters(command)
    bind.__doc__, bind.__name__ = command.__doc__, getattr(command, "__name__", "command")
    bind.__annotations__ = {p.name: _told_once(p.annotation, p.default, inspect.Parameter.empty) for p in parameters}
    bind.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [p.replace(annotation=bind.__annotations__[p.name]) for p in parameters]
    )
    return bind


def usage(program: str, command: Callable[..., Any]) -> str:
    """The first line of a command's help: all that must be given, by name, and that there are options."""
    words, options = [], False
    for parameter in _parameters(command):
        required = parameter.default is inspect.Parameter.empty
        base, metadata = _unwrapped(parameter.annotation)
        if dataclasses.is_dataclass(base):
            options = True
        elif tyro.conf.Positional in metadata:
            words.append(_placeholder(parameter))
        elif required:
            words.append(f"--{parameter.name.replace('_', '-')} {_placeholder(parameter)}")
        else:
            options = True
    return " ".join(["usage:", program, *words, *(["[OPTIONS]"] if options else [])])


def registry() -> ConstructorRegistry:
    """Rules for tyro by which the fields of settings tell a default once, as the arguments of commands do."""
    rules, at_work = ConstructorRegistry(), []

    @rules.struct_rule
    def settings_rule(info: StructTypeInfo) -> StructConstructorSpec | None:
        if not dataclasses.is_dataclass(info.type) or at_work:
            return None
        at_work.append(info)  # the usual rule is asked, not this one again
        try:
            spec = ConstructorRegistry.get_struct_spec(info)
        finally:
            at_work.pop()
        if not isinstance(spec, StructConstructorSpec):
            return None
        fields = [
            dataclasses.replace(field, type=_told_once(field.type, field.default, *MISSING)) for field in spec.fields
        ]
        return dataclasses.replace(spec, fields=tuple(fields))

    return rules


MISSING = (tyro.constructors.MISSING, tyro.constructors.MISSING_NONPROP)


def _parameters(command: Callable[..., Any]) -> list[inspect.Parameter]:
    """With annotations as objects, `Annotated` and all."""
    hints = get_type_hints(command, include_extras=True)
    return [p.replace(annotation=hints[p.name]) for p in inspect.signature(command).parameters.values()]


def _told_once(annotation: Any, default: Any, *missing: Any) -> Any:
    """The type of an argument, with a hint of its default only where that is a value.

    Without a value the text above says what happens, if anything; and None is nothing that a person types.
    """
    base, metadata = _unwrapped(annotation)
    if any(default is nothing for nothing in missing) or dataclasses.is_dataclass(base):
        return annotation
    options: dict[str, Any] = {"help_behavior_hint": _hint}
    if default is None and (typed := _without_none(base)) is not base and (metavar := _metavar(typed)):
        options["metavar"] = f"[{metavar}]" if tyro.conf.Positional in metadata else metavar
    return Annotated[(base, tyro.conf.arg(**options), *metadata)]  # what the command itself says comes last and wins


def _hint(default: str) -> str:
    return "" if default in ("None", "") else f"(default: {default})"


def _unwrapped(annotation: Any) -> tuple[Any, tuple[Any, ...]]:
    if get_origin(annotation) is Annotated:
        base, *metadata = get_args(annotation)
        return base, tuple(metadata)
    return annotation, ()


def _without_none(base: Any) -> Any:
    """X of `X | None`."""
    if get_origin(base) not in (Union, UnionType):
        return base
    kinds = [kind for kind in get_args(base) if kind is not type(None)]
    return kinds[0] if len(kinds) == 1 else base


def _metavar(base: Any) -> str:
    with suppress(Exception):  # a type that tyro does not know gets no placeholder here, and its complaint later
        spec = ConstructorRegistry.get_primitive_spec(PrimitiveTypeInfo.make(base, set()))
        if isinstance(spec, PrimitiveConstructorSpec):
            return spec.metavar
    return ""


def _placeholder(parameter: inspect.Parameter) -> str:
    """What stands for an argument's value, or its name where that is too long."""
    base, metadata = _unwrapped(parameter.annotation)
    said: Iterable[str] = (m.metavar for m in metadata if getattr(m, "metavar", None))
    shown = next(iter(said), None) or _metavar(_without_none(base))
    return shown if 0 < len(shown) <= LONGEST else parameter.name.upper()

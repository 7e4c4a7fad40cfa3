"""Modules that can be written down: a class name and settings as JSON, and back, without pickle.

A run folder stores what a model is as `config.json`, for example::

    {"class": "VAE", "encoder": {"class": "DiagonalGaussian", ...}, ...}

Only classes registered here can be named there, so that a file from a stranger cannot make the program import or run
anything else. A class of this package is named as it is; one of a plug-in family carries the family's name,
`chain:PixelChain`; any other registered class is `own:Name`.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar

from torch import nn

from ancestral.core.errors import InputError

PACKAGE = "ancestral."
OWN = "own"
MAX_DEPTH = 32
M = TypeVar("M", bound=type[nn.Module])

_CLASSES: dict[tuple[str, str], type[nn.Module]] = {}  # by module and qualified name
_OWNERS: dict[str, str] = {}  # family by the module that defines it
_PROVIDERS: list[Callable[[str], None]] = []


def registered(cls: M) -> M:
    """Class decorator: remember the class by name, and each instance's constructor arguments.

    Arguments must be JSON values or registered modules. A class defined again in the same place (a notebook cell run
    twice, say) replaces the first.
    """
    _CLASSES[cls.__module__, cls.__qualname__] = cls
    construct = cls.__init__
    signature = inspect.signature(construct)

    @functools.wraps(construct)
    def remembering(self: nn.Module, *args: Any, **kwargs: Any) -> None:
        construct(self, *args, **kwargs)  # type: ignore[arg-type]
        if type(self) is cls:  # a subclass remembers its own arguments
            bound = signature.bind(self, *args, **kwargs)
            bound.apply_defaults()
            object.__setattr__(self, "_arguments", dict(list(bound.arguments.items())[1:]))

    cls.__init__ = remembering  # type: ignore[assignment, method-assign]
    return cls


def set_owner(module: str, family: str) -> None:
    """Say which family the classes of a module, or of the modules below it, belong to; the first family keeps them."""
    _OWNERS.setdefault(module, family)


def provide_classes(provider: Callable[[str], None]) -> None:
    """Add what is called with an owner (`""` for this package) when a description names a class not imported yet."""
    if provider not in _PROVIDERS:
        _PROVIDERS.append(provider)


def owner_of(cls: type) -> str:
    """Name of the family that a plug-in's class belongs to; empty for one of this package, or of no family."""
    parts = cls.__module__.split(".")
    prefixes = (".".join(parts[:length]) for length in range(len(parts), 0, -1))
    return next((_OWNERS[prefix] for prefix in prefixes if prefix in _OWNERS), "")


def class_name(cls: type) -> str:
    """A class as `config.json` names it."""
    if cls.__module__.startswith(PACKAGE):
        return cls.__name__
    return f"{owner_of(cls) or OWN}:{cls.__name__}"


def needs_family(what: str, family: str) -> str:
    """Why a run or a model cannot be opened without its family, and the ways to give that."""
    return (
        f"this {what} needs the family {family!r}, which is unknown here: give its file with --family FILE.py (or in "
        "ANCESTRAL_FAMILIES), or install the package that has it"
    )


def _known() -> dict[str, type[nn.Module]]:
    return {class_name(cls): cls for cls in _CLASSES.values()}


def _class_named(name: Any) -> type[nn.Module]:
    """Raises:    InputError: no such class, not even after the packages that may have it were imported."""
    found = _known().get(name) if isinstance(name, str) else None
    if found is None and isinstance(name, str):
        owner = name.partition(":")[0] if ":" in name else ""
        for provider in _PROVIDERS:
            provider(owner)
        found = _known().get(name)
        if found is None and owner and owner != OWN:
            raise InputError(needs_family("model", owner))
    if found is None:
        raise InputError(f"the model's description names an unknown class {name!r}")
    return found


def to_config(value: Any) -> Any:
    """JSON description of a registered module (or of a JSON value, unchanged).

    Raises:    TypeError for anything else: what cannot be described cannot be loaded.
    """
    if isinstance(value, nn.Module):
        if type(value) not in _CLASSES.values():
            raise TypeError(f"{type(value).__name__} is not registered, so it cannot be saved")
        arguments = {name: to_config(argument) for name, argument in value._arguments.items()}  # type: ignore[union-attr]
        return {"class": class_name(type(value)), **arguments}
    if isinstance(value, (list, tuple)):
        return [to_config(item) for item in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise TypeError(f"a setting must be a JSON value or a registered module, not {type(value).__name__}")


def from_config(config: Any, depth: int = 0) -> Any:
    """The module that `to_config` described, with fresh weights.

    Raises:    InputError: an unknown class or setting, or a description nested beyond reason.
    """
    if depth > MAX_DEPTH:
        raise InputError(f"the model's description is nested more than {MAX_DEPTH} deep")
    if isinstance(config, list):
        return [from_config(item, depth + 1) for item in config]
    if not isinstance(config, dict):
        return config
    cls = _class_named(config.get("class"))
    arguments = {key: from_config(value, depth + 1) for key, value in config.items() if key != "class"}
    try:
        return cls(**arguments)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"the model's description of {config['class']} does not fit: {error}") from error

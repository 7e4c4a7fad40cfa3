"""Modules that can be written down: a class name and settings as JSON, and back, without pickle.

A run folder stores what a model is as `config.json`, for example::

    {"class": "VAE", "encoder": {"class": "DiagonalGaussian", ...}, ...}

Only classes registered here can be named there, so that a file from a stranger cannot make the
program import or run anything else.
"""

from __future__ import annotations

import functools
import inspect
from typing import Any, TypeVar

from torch import nn

from ancestral.core.errors import InputError

_CLASSES: dict[str, type[nn.Module]] = {}
MAX_DEPTH = 32
M = TypeVar("M", bound=type[nn.Module])


def registered(cls: M) -> M:
    """Class decorator: remember the class by name, and each instance's constructor arguments.

    Arguments must be JSON values or registered modules.
    """
    if cls.__name__ in _CLASSES:
        raise ValueError(f"two classes are called {cls.__name__}")
    _CLASSES[cls.__name__] = cls
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


def to_config(value: Any) -> Any:
    """JSON description of a registered module (or of a JSON value, unchanged).

    Raises:    TypeError for anything else: what cannot be described cannot be loaded.
    """
    if isinstance(value, nn.Module):
        if type(value).__name__ not in _CLASSES:
            raise TypeError(f"{type(value).__name__} is not registered, so it cannot be saved")
        arguments = {name: to_config(argument) for name, argument in value._arguments.items()}  # type: ignore[union-attr]
        return {"class": type(value).__name__, **arguments}
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
    name = config.get("class")
    if name not in _CLASSES:
        raise InputError(f"the model's description names an unknown class {name!r}")
    arguments = {key: from_config(value, depth + 1) for key, value in config.items() if key != "class"}
    try:
        return _CLASSES[name](**arguments)
    except (TypeError, ValueError) as error:
        raise InputError(f"the model's description of {name} does not fit: {error}") from error

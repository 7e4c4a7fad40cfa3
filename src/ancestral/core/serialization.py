"""Modules as JSON (class names and settings) and back, without pickle.

A run folder stores the structure of a model as `config.json`, for example::

    {"class": "VAE", "encoder": {"class": "DiagonalGaussian", ...}, ...}

A description can name registered classes only, so that a file from an unknown source cannot make the program import or
run anything else. A class of this package has its plain name. A class of a plug-in family has the family's name as a
prefix, `chain:PixelChain`. Any other registered class is `own:Name`.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from torch import Tensor, nn

from ancestral.core.allowance import Allowance
from ancestral.core.errors import InputError
from ancestral.core.given import GivenModule, given_again, is_given

PACKAGE = "ancestral."
OWN = "own"
M = TypeVar("M", bound=type[nn.Module])

_CLASSES: dict[tuple[str, str], type[nn.Module]] = {}  # by module and qualified name
_OWNERS: dict[str, str] = {}  # family, by its module, or by the module and name of a class
_PROVIDERS: list[Callable[[str], None]] = []


def registered(cls: M) -> M:
    """Class decorator that registers the class by name and stores the constructor arguments of each instance.

    Arguments must be JSON values or registered modules. A class that is defined again in the same place (for example in
    a notebook cell that is run twice) replaces the first.
    """
    _CLASSES[cls.__module__, cls.__qualname__] = cls
    construct = cls.__init__
    signature = inspect.signature(construct)

    @functools.wraps(construct)
    def remembering(self: nn.Module, *args: Any, **kwargs: Any) -> None:
        construct(self, *args, **kwargs)  # type: ignore[arg-type]
        if type(self) is cls:  # a subclass stores its own arguments
            bound = signature.bind(self, *args, **kwargs)
            bound.apply_defaults()
            object.__setattr__(self, "_arguments", dict(list(bound.arguments.items())[1:]))

    cls.__init__ = remembering  # type: ignore[assignment, method-assign]
    return cls


def set_owner(place: str, family: str) -> None:
    """Set the family of the classes of a module and its submodules, or of one class, `module.Name`."""
    _OWNERS[place] = family


def provide_classes(provider: Callable[[str], None]) -> None:
    """Add a function that imports classes. It is called with the owner of an unknown class (`""`: this package)."""
    if provider not in _PROVIDERS:
        _PROVIDERS.append(provider)


def owner_of(cls: type) -> str:
    """Name of the plug-in family of a class; empty for a class of this package or of no family."""
    parts = f"{cls.__module__}.{cls.__qualname__}".split(".")
    prefixes = (".".join(parts[:length]) for length in range(len(parts), 0, -1))
    return next((_OWNERS[prefix] for prefix in prefixes if prefix in _OWNERS), "")


def class_name(cls: type) -> str:
    """The name of a class in `config.json`."""
    if cls.__module__.startswith(PACKAGE):
        return cls.__name__
    return f"{owner_of(cls) or OWN}:{cls.__name__}"


def needs_family(what: str, family: str) -> str:
    """Error message for a run or a model whose family is unknown, with the ways to give the family."""
    return (
        f"this {what} needs the family {family!r}, which is not installed: give its file with --family FILE.py (or in "
        "the variable ANCESTRAL_FAMILIES), or install its package"
    )


def _by_name() -> dict[str, list[type[nn.Module]]]:
    """The registered classes, by their names in descriptions."""
    found: dict[str, list[type[nn.Module]]] = {}
    for cls in _CLASSES.values():
        found.setdefault(class_name(cls), []).append(cls)
    return found


def _only(name: str, found: list[type[nn.Module]]) -> type[nn.Module]:
    """Raises:    InputError: several classes have the name, so a description with it is ambiguous."""
    if len(found) > 1:
        places = " and ".join(sorted(f"{cls.__module__}.{cls.__qualname__}" for cls in found))
        raise InputError(f"{len(found)} registered classes are called {name} ({places}): rename all but one")
    return found[0]


def _class_named(name: Any) -> type[nn.Module]:
    """Raises:    InputError: no class has the name, even after the providers imported theirs, or several have it."""
    found = _by_name().get(name) if isinstance(name, str) else None
    if found is None and isinstance(name, str):
        owner = name.partition(":")[0] if ":" in name else ""
        for provider in _PROVIDERS:
            provider(owner)
        found = _by_name().get(name)
        if found is None and owner and owner != OWN:
            raise InputError(needs_family("model", owner))
    if found is None:
        raise InputError(f"the model's description names an unknown class {str(name)[:80]!r}")
    return _only(name, found)


def to_config(value: Any) -> Any:
    """JSON description of a registered module. A JSON value is returned unchanged.

    Raises:    TypeError: any other value, because it could not be loaded again. InputError: two classes have the same
               name, or a number is larger than `from_config` allows.
    """
    config = _described(value, _by_name())
    if isinstance(value, nn.Module):
        Allowance.of(value.state_dict().values()).check(config)
    return config


def holds_given(module: nn.Module) -> bool:
    """Whether a module cannot be made from its description: it is not registered, or the user gave parts of it."""
    known = _by_name().get(class_name(type(module)), ())
    return type(module) not in known or any(isinstance(part, GivenModule) for part in module.modules())


def _described(value: Any, known: dict[str, list[type[nn.Module]]]) -> Any:
    if isinstance(value, GivenModule):
        return value.described()
    if isinstance(value, nn.Module):
        name = class_name(type(value))
        if type(value) not in known.get(name, ()):
            raise TypeError(f"{type(value).__name__} is not registered, so it cannot be saved")
        _only(name, known[name])
        arguments = {key: _described(argument, known) for key, argument in vars(value)["_arguments"].items()}
        return {"class": name, **arguments}
    if isinstance(value, (list, tuple)):
        return [_described(item, known) for item in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise TypeError(f"a setting must be a JSON value or a registered module, not {type(value).__name__}")


def from_config(config: Any, stored: Mapping[str, Tensor] | None = None, given: Mapping[str, Any] | None = None) -> Any:
    """The module that `to_config` described, with new initial weights.

    Args:      stored: the weights that will be loaded; the sizes in the description are checked against them. None: no
               check, for descriptions from a trusted source. given: modules from the user, by name, or functions that
               make them; they keep their weights.
    Raises:    InputError: an unknown class or setting, an error in a constructor, sizes that do not fit the weights, or
               a module that is not given.
    """
    allowance, given = Allowance.of((stored or {}).values()), given or {}
    allowance.check(config)
    classes: dict[str, type[nn.Module]] = {}
    _find_classes(config, classes)
    if stored is None:
        return _made(config, classes, given)
    with allowance.enforced():
        return _made(config, classes, given)


def _find_classes(config: Any, found: dict[str, type[nn.Module]]) -> None:
    """Add all classes that a description names. Raises:    InputError: as `_class_named`."""
    if isinstance(config, list):
        for item in config:
            _find_classes(item, found)
    elif isinstance(config, dict) and not is_given(config):
        name = config.get("class")
        if not isinstance(name, str) or name not in found:
            cls = _class_named(name)
            found[str(name)] = cls
        for item in config.values():
            _find_classes(item, found)


def _made(config: Any, classes: dict[str, type[nn.Module]], given: Mapping[str, Any]) -> Any:
    if isinstance(config, list):
        return [_made(item, classes, given) for item in config]
    if not isinstance(config, dict):
        return config
    if is_given(config):
        return given_again(config, given)
    arguments = {key: _made(value, classes, given) for key, value in config.items() if key != "class"}
    try:
        return classes[config["class"]](**arguments)
    except InputError:
        raise
    except Exception as error:  # with wrong arguments a constructor may raise anything
        plain = isinstance(error, (TypeError, ValueError, RuntimeError)) and str(error)
        problem = " ".join(f"{'' if plain else type(error).__name__ + ': '}{error}".split())[:300]
        raise InputError(f"the model's description of {config['class']} does not fit: {problem}") from error

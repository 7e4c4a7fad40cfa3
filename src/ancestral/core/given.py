"""Modules that a person gives in Python: their weights are stored, their code is not.

A description holds the name that such a module is asked for by and, for information, its class. Nothing is imported
because a file says so: whoever loads the weights gives the module again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from ancestral.core.errors import InputError

MODEL = "model"  # the name of a whole model that is given
GIVEN, CLASS, ARGUMENTS = "given", "python_class", "arguments"


class GivenModule(nn.Module):
    """A module of a person's own, as a part of a module that can be described.

    Args:      name: by which it is asked for: `encoder`, say. module: to be called. arguments: whole numbers that it
               was made from, where a function makes it.
    """

    def __init__(self, name: str, module: nn.Module, arguments: Sequence[int] = ()) -> None:
        super().__init__()
        self.name, self.module, self.arguments = name, module, tuple(arguments)

    def forward(self, *inputs: Any) -> Any:
        return self.module(*inputs)

    def described(self) -> dict[str, Any]:
        """Its JSON description."""
        return {GIVEN: self.name, CLASS: qualified_name(self.module), ARGUMENTS: list(self.arguments)}


def qualified_name(thing: object) -> str:
    """Module and name of the class of a thing."""
    return f"{type(thing).__module__}.{type(thing).__qualname__}"


def is_given(config: Mapping[str, Any]) -> bool:
    """Whether a description is of a module that a person gives."""
    return GIVEN in config


def given_again(config: Mapping[str, Any], given: Mapping[str, Any]) -> GivenModule:
    """The module that a description asks for, from those that a person gives now.

    Args:      given: modules by name, or functions that make them from whole numbers.
    Raises:    InputError: it is not among them, or a function makes no module.
    """
    name, arguments = config[GIVEN], config.get(ARGUMENTS, [])
    good = isinstance(name, str) and name.isidentifier() and isinstance(arguments, list)
    if not good or not all(type(number) is int for number in arguments):
        raise InputError("the model's description names a given module in no way that this program writes")
    if name not in given:
        word = "into=model" if name == MODEL else f"{name}=..."
        raise InputError(
            f"the code of the {name} ({str(config.get(CLASS))[:80]}) was given in Python and is not stored: load it "
            f"there, ancestral.load(RUN, {word})"
        )
    return made_from(name, given[name], arguments)


def made_from(name: str, given: Any, arguments: Sequence[int]) -> GivenModule:
    """A given module, or what a given function makes.

    Raises:    InputError: the function fails or makes no module.
    """
    if not arguments:
        return GivenModule(name, given)
    try:
        module = given(*arguments)
    except InputError:
        raise
    except Exception as error:  # a person's function may fail in any way
        from ancestral.core.modules import failure

        raise InputError(f"the {name} cannot be made from {shown(arguments)}: {failure(error)}") from error
    if not isinstance(module, nn.Module):
        raise InputError(f"the {name} makes a {type(module).__name__} from {shown(arguments)}, not a torch.nn.Module")
    return GivenModule(name, module, arguments)


def shown(numbers: Sequence[int]) -> str:
    """Whole numbers as the arguments of a call."""
    return f"({', '.join(map(str, numbers))})"

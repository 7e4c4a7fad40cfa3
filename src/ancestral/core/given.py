"""Modules that the user gives in Python. Their weights are stored; their code is not.

A description stores the name of the argument for such a module and, for information, its class. Nothing is imported
from a description: to load the weights, the user gives the module again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from ancestral.core.errors import InputError
from ancestral.core.text import type_in_words

MODEL = "model"  # the name of a whole model that is given
GIVEN, CLASS, ARGUMENTS = "given", "python_class", "arguments"


class GivenModule(nn.Module):
    """A module from the user, as a part of a module that can be described.

    Args:      name: name of the argument for it, for example `encoder`. module: the user's module. arguments: whole
               numbers that it was made from, if the user gave a function.
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
    """Module and name of the class of an object."""
    return f"{type(thing).__module__}.{type(thing).__qualname__}"


def is_given(config: Mapping[str, Any]) -> bool:
    """Whether a description stands for a module that the user gives."""
    return GIVEN in config


def given_again(config: Mapping[str, Any], given: Mapping[str, Any]) -> GivenModule:
    """The module for a description, from the modules that the user gives.

    Args:      given: modules by name, or functions that make them from whole numbers.
    Raises:    InputError: the module is not among them, or a function does not return a module.
    """
    name, arguments = config[GIVEN], config.get(ARGUMENTS, [])
    good = isinstance(name, str) and name.isidentifier() and isinstance(arguments, list)
    if not good or not all(type(number) is int for number in arguments):
        raise InputError("the model's description of a module given in Python is damaged: restore config.json")
    if name not in given:
        word = "into=model" if name == MODEL else f"{name}=..."
        raise InputError(
            f"the code of the {name} ({str(config.get(CLASS))[:80]}) was given in Python and is not stored: load the "
            f"run in Python with ancestral.load(RUN, {word})"
        )
    return made_from(name, given[name], arguments)


def made_from(name: str, given: Any, arguments: Sequence[int]) -> GivenModule:
    """A module from the user, or the module that a function from the user returns.

    Raises:    InputError: the function fails or does not return a module.
    """
    if not arguments:
        return GivenModule(name, given)
    try:
        module = given(*arguments)
    except InputError:
        raise
    except Exception as error:  # the user's function may raise anything
        from ancestral.core.modules import failure

        raise InputError(f"the {name} cannot be made from {shown(arguments)}: {failure(error)}") from error
    if not isinstance(module, nn.Module):
        raise InputError(f"{name}{shown(arguments)} returns {type_in_words(module)}: return a torch.nn.Module")
    return GivenModule(name, module, arguments)


def shown(numbers: Sequence[int]) -> str:
    """Whole numbers as the arguments of a call."""
    return f"({', '.join(map(str, numbers))})"

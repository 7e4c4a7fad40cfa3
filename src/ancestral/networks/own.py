"""The user's own network in a model of a built-in family. Its output is checked and reshaped."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from ancestral.core.errors import InputError
from ancestral.core.given import GivenModule, made_from
from ancestral.core.modules import failure
from ancestral.core.serialization import registered
from ancestral.core.text import type_in_words

TRIED = 2  # batch size of the test call of a network


@registered
class OwnNetwork(nn.Module):
    """A given network from (..., *inputs) to (..., *outputs). Its output is reshaped.

    The network is called with one batch axis. Its output may be flat, have other axes, or be a tuple of tensors (for
    example mean and log-variance), which are concatenated. Only the number of values must be right.

    Args:      network: takes (B, *inputs). inputs, outputs: shapes of one input and of one output.
    Raises:    InputError: when it is called and the network returns another number of values.
    """

    def __init__(self, network: GivenModule, inputs: Sequence[int], outputs: Sequence[int]) -> None:
        super().__init__()
        self.network, self.inputs, self.outputs = network, tuple(inputs), tuple(outputs)
        if any(map(is_lazy, network.parameters())):
            try_out(self)  # lazy layers get their sizes from the first input

    def forward(self, x: Tensor) -> Tensor:
        leading = x.shape[: x.dim() - len(self.inputs)]
        found = self.network(x.reshape(-1, *self.inputs))
        if isinstance(found, (tuple, list)) and all(isinstance(part, Tensor) for part in found):
            found = torch.cat([part.flatten(1) for part in found], 1)
        if not isinstance(found, Tensor):
            raise InputError(f"the {self.network.name} returns {type_in_words(found)}, not a tensor")
        if len(found) != leading.numel() or found.numel() != leading.numel() * math.prod(self.outputs):
            wanted = math.prod(self.outputs)
            raise InputError(
                f"the {self.network.name} returns shape {tuple(found.shape)} for {leading.numel()} inputs of shape "
                f"{self.inputs}: it must return {wanted:,} value{'s' * (wanted != 1)} for each, shape {self.outputs} "
                "or flat"
            )
        return found.reshape(*leading, *self.outputs)


def given_network(
    networks: Mapping[str, Any],
    name: str,
    inputs: Sequence[int],
    outputs: Sequence[int],
    arguments: Sequence[int] = (),
) -> OwnNetwork | None:
    """The network that the user gave for a name, after a test call with zeros; None if there is none.

    Args:      networks: modules by name, or functions that make them. inputs, outputs: shapes of one input and of one
               output. arguments: whole numbers for a function that makes the network; empty if a module is needed.
    Raises:    InputError: not a module, an error inside it, or a wrong number of values.
    """
    if name not in networks:
        return None
    thing = networks[name]
    if arguments and isinstance(thing, nn.Module):
        raise InputError(f"this model has several networks of the kind {name}: give a function {name}(inputs, outputs)")
    if not arguments and not isinstance(thing, nn.Module):
        raise InputError(f"the {name} must be a torch.nn.Module, not {_article(thing)}")
    own = OwnNetwork(made_from(name, thing, arguments), inputs, outputs)
    try_out(own)
    return own


def _article(thing: object) -> str:
    return f"the class {thing.__name__}: make an instance" if isinstance(thing, type) else f"{type_in_words(thing)}"


@torch.no_grad()
def try_out(network: OwnNetwork) -> None:
    """Call a network with zeros of the type that data have, in evaluation mode, to check it.

    Raises:    InputError: it fails, or returns a wrong number of values or values of another type.
    """
    like = next((tensor for tensor in network.parameters() if not is_lazy(tensor)), torch.zeros(()))
    zeros = torch.zeros(TRIED, *network.inputs, device=like.device)
    name = network.network.name
    modes = {module: module.training for module in network.modules()}
    network.eval()
    try:
        with torch.random.fork_rng(devices=[]), like.device:  # the default device may be "meta" here
            found = network(zeros)
    except InputError:
        raise
    except Exception as error:  # the user's network may raise anything
        odd = like.is_floating_point() and like.dtype != zeros.dtype
        hint = f"; its weights are {like.dtype} and its inputs {zeros.dtype}: convert it, {name}.float()" if odd else ""
        raise InputError(
            f"the {name} fails on an input of shape {tuple(zeros.shape)}: {failure(error)}{hint}"
        ) from error
    finally:
        for module, training in modes.items():
            module.training = training
    if found.dtype != zeros.dtype:
        raise InputError(f"the {name} returns {found.dtype} for inputs of {zeros.dtype}: it must return the same type")

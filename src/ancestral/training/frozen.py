"""Parts of a model that a training leaves as they are: their weights, and the statistics that layers keep."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from ancestral.core.errors import InputError
from ancestral.core.text import close_matches


def freeze(model: nn.Module, parts: Sequence[str]) -> None:
    """Take the weights of some parts out of a training, before its optimisers are made.

    A weight without a gradient is passed over by every optimiser, so neither a step nor weight decay changes it. A
    frozen part is in evaluation mode, see `training_mode`.

    Args:      model: to be trained. parts: names of its sub-modules, `encoder` or `encoder.network`.
    Raises:    InputError: there is no such part, it has no weights, or nothing is left to train.
    """
    known = {name: module for name, module in model.named_modules() if name and list(module.parameters())}
    for part in parts:
        if part not in known:
            raise InputError(f"--freeze {part}: {_choice(model, part, known)}")
    frozen = {id(weight) for part in parts for weight in known[part].parameters()}
    if frozen and all(id(weight) in frozen for weight in model.parameters()):
        raise InputError(f"--freeze {' '.join(parts)}: no weights of the {type(model).__name__} are left to train")
    for part in parts:
        known[part].requires_grad_(False)
    training_mode(model, parts)


def _choice(model: nn.Module, part: str, known: dict[str, nn.Module]) -> str:
    """What to freeze in place of an unknown part: close names, or the largest parts."""
    largest = [name for name, _ in model.named_children() if name in known]
    close = close_matches(part, known)
    hint = f" ({close})" if close.startswith("did you mean") else ""
    has = f"which has {', '.join(largest)} and parts of these" if largest else "which has no parts"
    return f"no part with weights of the {type(model).__name__}, {has}{hint}"


def training_mode(model: nn.Module, parts: Sequence[str]) -> None:
    """Put a model into training mode, but its frozen parts into evaluation mode.

    There batch normalisation uses its stored statistics and does not change them, and dropout does nothing.
    """
    model.train()
    for part in parts:
        model.get_submodule(part).eval()


class FrozenWeights:
    """The tensors of frozen parts as they were, to compare those of the model with.

    The steps of this package follow gradients, which frozen weights do not have. A step of one's own can do anything.

    Args:      model: see `freeze`. parts: those that are frozen.
    """

    def __init__(self, model: nn.Module, parts: Sequence[str]) -> None:
        self.model, self.parts = model, parts
        self.before = {name: tensor.clone() for name, tensor in self._tensors()}

    def _tensors(self) -> Iterator[tuple[str, Tensor]]:
        for part in self.parts:
            for name, tensor in self.model.get_submodule(part).state_dict().items():
                yield f"{part}.{name}", tensor

    def check(self) -> None:
        """Raises:    InputError: a tensor of a frozen part has changed."""
        for name, tensor in self._tensors():
            if not torch.equal(tensor, self.before[name]):
                raise InputError(f"--freeze: the step of this family changes {name}, which is frozen")

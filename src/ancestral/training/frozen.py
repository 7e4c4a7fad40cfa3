"""Frozen parts of a model: their weights and the statistics of their layers do not change in training."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from ancestral.core.errors import InputError
from ancestral.core.text import close_matches


def freeze(model: nn.Module, parts: Sequence[str]) -> None:
    """Freeze parts of a model. Call it before the optimisers are made.

    Optimisers skip weights without a gradient, so neither a step nor weight decay changes frozen weights. Frozen parts
    are in evaluation mode, see `training_mode`.

    Args:      model: the model to be trained. parts: names of its sub-modules, such as `encoder` or `encoder.network`.
    Raises:    InputError: a part does not exist or has no weights, or no weights are left to train.
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
    """Error text for an unknown part: similar names, or the largest parts."""
    largest = [name for name, _ in model.named_children() if name in known]
    close = close_matches(part, known)
    hint = f" ({close})" if close.startswith("did you mean") else ""
    if not largest:
        return f"the {type(model).__name__} has no parts: it cannot be frozen by part"
    return (
        f"the {type(model).__name__} has no part of this name with weights: choose {', '.join(largest)} or a part of "
        f"these{hint}"
    )


def training_mode(model: nn.Module, parts: Sequence[str]) -> None:
    """Set a model to training mode, and its frozen parts to evaluation mode.

    In evaluation mode, batch normalisation uses its stored statistics without changing them, and there is no dropout.
    """
    model.train()
    for part in parts:
        model.get_submodule(part).eval()


class FrozenWeights:
    """Copies of the tensors of frozen parts, to check that training does not change them.

    The steps of this package use gradients, which frozen weights do not have. A step of the user may change any weight.

    Args:      model: as in `freeze`. parts: names of the frozen parts.
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
                raise InputError(f"--freeze: the training step changed {name}, which is frozen: correct the step")

"""The update of Adam as one call: the weights and the state are those of torch, to the bit."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import Adam, AdamW

from ancestral.training.adam import updated_at_once
from ancestral.training.checkpoint import optimizer_tensors, restore_optimizer
from ancestral.training.steps import eager

SHAPES = ((3, 2), (2,), (17,), ())


def weights() -> list[nn.Parameter]:
    generator = torch.Generator().manual_seed(0)
    return [nn.Parameter(torch.randn(shape, generator=generator)) for shape in SHAPES]


def updated(optimizer: Any, parameters: list[nn.Parameter], steps: range) -> None:
    """Updates with random gradients; the last weight has none in some steps, the learning rate changes."""
    for number in steps:
        generator = torch.Generator().manual_seed(number)
        for group in optimizer.param_groups:
            group["lr"] = 0.1 / (1 + number)
        for parameter in parameters:
            parameter.grad = torch.randn(parameter.shape, generator=generator)
        if number in (0, 4):
            parameters[-1].grad = None
        optimizer.step()


@pytest.mark.parametrize("kind", [Adam, AdamW])
def test_weights_and_state_are_those_of_torch_to_the_bit(kind: Any) -> None:
    ours, theirs = weights(), weights()
    settings: dict[str, Any] = {"weight_decay": 0.1, "betas": (0.5, 0.9), "fused": True}
    one, other = eager(kind)(ours, **settings), kind(theirs, **settings)
    updated(one, ours, range(8))
    updated(other, theirs, range(8))
    for left, right in zip(ours, theirs, strict=True):
        assert torch.equal(left, right)
    found, expected = optimizer_tensors(one), optimizer_tensors(other)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())
    assert updated_at_once(one)
    assert not updated_at_once(eager(kind)(weights(), **settings))  # there are no moments yet


def test_a_restored_state_is_used() -> None:
    """The lists of the update hold the tensors from before; the optimiser has new ones."""
    parameters, again = weights(), weights()
    first, second = eager(Adam)(parameters, fused=True), eager(Adam)(again, fused=True)
    updated(first, parameters, range(3))
    updated(second, again, range(1, 3))  # other moments, and lists of them
    with torch.no_grad():
        for target, source in zip(again, parameters, strict=True):
            target.copy_(source)
    restore_optimizer(second, {name: tensor.clone() for name, tensor in optimizer_tensors(first).items()})
    updated(first, parameters, range(5, 8))
    updated(second, again, range(5, 8))
    for left, right in zip(parameters, again, strict=True):
        assert torch.equal(left, right)
    found, expected = optimizer_tensors(second), optimizer_tensors(first)
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())

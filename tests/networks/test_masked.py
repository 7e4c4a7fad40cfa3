"""Masked layers: a kept mask and a mask of each call give the same outputs, gradients and trained weights."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from ancestral.families.autoregressive.made import MADE
from ancestral.networks.masked import MaskedLinear, mask_of
from ancestral.networks.masked_flow import MaskedMLP

DEGREES = torch.tensor([2, 0, 1, 3])


def layer_with(kept: bool) -> tuple[MaskedLinear, Tensor]:
    torch.manual_seed(0)
    layer, mask = MaskedLinear(4, 4), mask_of(DEGREES, DEGREES, strict=True)
    if kept:
        layer.keep_mask(DEGREES, DEGREES, strict=True)
    return layer, mask


def trained(kept: bool, interrupted: bool = False, decay: float = 0.0) -> tuple[MaskedLinear, Tensor]:
    """A layer after 6 steps of Adam; interrupted: its weights are copied to a new layer after 3."""
    layer, mask = layer_with(kept)
    optimizer = torch.optim.Adam(layer.parameters(), 0.1, weight_decay=decay)
    x = torch.randn(8, 4, generator=torch.Generator().manual_seed(1))
    for step in range(6):
        if interrupted and step == 3:
            layer = copy.deepcopy(layer)
            state = optimizer.state_dict()
            optimizer = torch.optim.Adam(layer.parameters(), 0.1)
            optimizer.load_state_dict(state)
        optimizer.zero_grad()
        (layer(x) if kept else layer(x, mask)).square().sum().backward()
        optimizer.step()
    return layer.eval(), mask


@pytest.mark.parametrize("interrupted", [False, True], ids=["same layer", "copied layer"])
def test_a_kept_mask_trains_the_same_weights_as_a_mask_of_each_call(interrupted: bool) -> None:
    kept, mask = trained(True, interrupted)
    called, _ = trained(False)
    assert torch.equal(kept.weight, called.weight * mask)
    assert torch.equal(kept.bias, called.bias)
    x = torch.randn(5, 4)
    assert torch.equal(kept(x), called(x, mask))


def test_the_gradient_of_masked_weights_is_zero() -> None:
    layer, mask = layer_with(True)
    layer(torch.randn(8, 4)).sum().backward()
    assert layer.weight.grad is not None
    assert not layer.weight.grad[~mask].any()
    assert layer.weight.grad[mask].all()


@pytest.mark.parametrize("training", [False, True])
def test_weights_that_are_set_from_outside_cannot_undo_a_mask(training: bool) -> None:
    layer, mask = layer_with(True)
    layer.train(training)
    layer(torch.ones(1, 4))
    layer.load_state_dict({"weight": torch.ones(4, 4), "bias": torch.zeros(4)})
    assert torch.equal(layer.weight, torch.ones(4, 4))  # a saved model has the weights of its file
    assert torch.equal(layer(torch.ones(1, 4))[0], mask.sum(1).float())
    nn.init.ones_(layer.weight)
    layer.train(training)
    assert torch.equal(layer(torch.ones(1, 4))[0], mask.sum(1).float())
    given = {"weight": torch.ones(4, 4), "bias": torch.zeros(4)}
    assert torch.equal(torch.func.functional_call(layer, given, (torch.ones(1, 4),))[0], mask.sum(1).float())


def test_only_a_training_changes_weights_and_not_those_that_are_frozen() -> None:
    layer, mask = layer_with(True)
    before = layer.weight.detach().clone()
    layer.eval()(torch.ones(1, 4))
    with torch.no_grad():
        layer.train()(torch.ones(1, 4))
    layer.weight.requires_grad_(False)
    layer.train()(torch.ones(1, 4))
    assert torch.equal(layer.weight, before)
    layer.weight.requires_grad_(True)
    layer(torch.ones(1, 4))
    assert torch.equal(layer.weight, before * mask)


def test_the_mask_follows_the_number_format_and_is_not_saved() -> None:
    layer, _ = layer_with(True)
    assert list(layer.state_dict()) == ["weight", "bias"]
    assert layer.double()(torch.ones(1, 4, dtype=torch.float64)).dtype == torch.float64


def test_only_models_with_one_ordering_keep_masks() -> None:
    one, three = MADE([1, 2, 2], hidden=[5]), MADE([1, 2, 2], hidden=[5], orderings=3)
    assert [layer.kept is not None for layer in one.modules() if isinstance(layer, MaskedLinear)] == [True] * 3
    assert [layer.kept is not None for layer in three.modules() if isinstance(layer, MaskedLinear)] == [False] * 3
    assert all(layer.kept is not None for layer in MaskedMLP(3, [4]).layers)

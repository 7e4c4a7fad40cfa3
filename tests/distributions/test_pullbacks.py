"""Chains as one operation of autograd: the gradients are those of autograd, and where autograd has to be used."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from ancestral.distributions.bijections import ActNorm, Bijection, Chain, InvertibleConv1x1, Permutation
from ancestral.distributions.couplings import AffineCoupling
from ancestral.distributions.pullbacks import pulled_back
from ancestral.networks.mlp import ACTIVATIONS, MLP

FEATURES, ROWS = 5, 7


def chain(activation: str = "gelu", dropout: float = 0.0, mixing: Bijection | None = None) -> Chain:
    """ActNorm, couplings of both parts and a permutation, with random weights in double precision."""
    torch.manual_seed(1)

    def coupling(flip: bool) -> AffineCoupling:
        kept, changed = (3, 2) if flip else (2, 3)
        return AffineCoupling(MLP([kept], [4, 4], [2 * changed], activation, dropout=dropout), FEATURES, flip)

    steps = [ActNorm(FEATURES), coupling(False), mixing or Permutation(FEATURES, 3), ActNorm(FEATURES), coupling(True)]
    made = Chain(steps).double()
    made(points())  # sets the layers ActNorm
    for parameter in made.parameters():
        nn.init.normal_(parameter, std=0.5)
    return made.train()


def points() -> Tensor:
    return torch.randn(ROWS, FEATURES, dtype=torch.float64, generator=torch.Generator().manual_seed(2))


def value_of(found: tuple[Tensor, Tensor]) -> Tensor:
    """A number that depends on every entry of the result in its own way."""
    z, log_det = found
    weights = torch.arange(1.0, 1 + z.numel(), dtype=z.dtype).view_as(z)
    return (weights * z.sin()).sum() + (weights[:, 0] * log_det).square().sum()


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_values_and_gradients_are_those_of_autograd(activation: str) -> None:
    made, x = chain(activation), points().requires_grad_()
    found = pulled_back(list(made.steps), x, made._forward)
    assert found is not None
    expected = made._forward(x)
    for one, other in zip(found, expected, strict=True):
        assert torch.allclose(one, other, rtol=1e-12)
    tensors = [x, *made.parameters()]
    for one, other in zip(
        torch.autograd.grad(value_of(found), tensors), torch.autograd.grad(value_of(expected), tensors), strict=True
    ):
        assert torch.allclose(one, other, rtol=1e-9, atol=1e-12)


def test_second_derivatives_are_those_of_autograd() -> None:
    made, x = chain(), points().requires_grad_()
    found = []
    for result in (made(x), made._forward(x)):
        (slope,) = torch.autograd.grad(value_of(result), x, create_graph=True)
        found.append(torch.autograd.grad(slope.square().sum(), list(made.parameters()), allow_unused=True))
    for one, other in zip(*found, strict=True):
        assert (one is None) == (other is None)
        assert one is None or torch.allclose(one, other, rtol=1e-9)


def test_a_training_uses_one_operation_and_an_evaluation_does_not() -> None:
    made, x = chain(), points()
    assert "_PulledBack" in type(made(x)[0].grad_fn).__name__
    assert "_PulledBack" not in type(made.eval()(x)[0].grad_fn).__name__


def test_frozen_weights_get_no_gradient() -> None:
    made = chain()
    frozen = next(made.steps[1].parameters()).requires_grad_(False)
    value_of(made(points())).backward()
    assert frozen.grad is None and all(p.grad is not None for p in made.parameters() if p.requires_grad)


def test_autograd_is_used_where_a_layer_needs_it() -> None:
    """Dropout, hooks, layers without an own gradient, and numbers of 16 bits."""
    calls: list[int] = []
    hooked = chain()
    hooked.steps[1].network.layers[0].register_forward_hook(lambda *_: calls.append(1))  # type: ignore[union-attr]
    outside = chain()
    outside.steps[2].register_forward_hook(lambda *_: calls.append(2))
    for made in (hooked, outside, chain(dropout=0.5), chain(mixing=InvertibleConv1x1(FEATURES))):
        assert pulled_back(list(made.steps), points(), made._forward) is None
        made(points())
    assert calls == [1, 2]
    with torch.autocast("cpu", torch.bfloat16):
        assert pulled_back(list(chain().steps), points(), chain()._forward) is None


def test_the_first_batch_sets_actnorm() -> None:
    made = chain()
    made.load_state_dict({name: value * (value != 1) for name, value in made.state_dict().items()})
    made(points())
    assert bool(made.steps[0].initialised)
    z, _ = made.steps[0](points())
    assert torch.allclose(z.mean(0), torch.zeros(FEATURES, dtype=z.dtype), atol=1e-12)

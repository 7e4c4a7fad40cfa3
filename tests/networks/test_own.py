"""The user's own networks: their output is reshaped, or there is an error of one line."""

from __future__ import annotations

import pytest
import torch
from helpers import refused
from torch import Tensor, nn

from ancestral.core.given import GivenModule
from ancestral.networks.own import OwnNetwork, given_network


def own(network: nn.Module, inputs: tuple[int, ...] = (1, 4, 4), outputs: tuple[int, ...] = (6,)) -> OwnNetwork:
    return OwnNetwork(GivenModule("encoder", network), inputs, outputs)


class Pair(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x.flatten(1)[:, :3], -x.flatten(1)[:, 3:6]


def test_output_is_brought_into_shape_and_batch_axes_are_kept():
    x = torch.rand(5, 3, 1, 4, 4)
    network = nn.Sequential(nn.Flatten(), nn.Linear(16, 6), nn.Unflatten(1, (2, 3)))
    found = own(network)(x)
    assert found.shape == (5, 3, 6)
    assert torch.equal(found.flatten(0, 1), network(x.flatten(0, 1)).flatten(1))
    assert torch.equal(own(Pair())(x[0]), torch.cat(Pair()(x[0]), 1))


def test_lazy_layers_learn_their_size_and_modes_are_kept():
    network = nn.Sequential(nn.Flatten(), nn.LazyLinear(6), nn.Dropout(0.5), nn.BatchNorm1d(6)).train()
    network[2].eval()
    made = given_network({"encoder": network}, "encoder", (1, 4, 4), [6])
    assert made is not None and made(torch.rand(2, 1, 4, 4)).shape == (2, 6)
    assert network.training and not network[2].training
    assert network[3].num_batches_tracked == 1  # of the call above: the trial was in evaluation mode


def test_a_trial_draws_from_no_generator_of_the_caller():
    torch.manual_seed(3)
    before = torch.get_rng_state()
    given_network({"encoder": nn.Sequential(nn.Flatten(), Noisy(16, 6))}, "encoder", (1, 4, 4), [6])
    assert torch.equal(torch.get_rng_state(), before)


class Noisy(nn.Module):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.outputs = outputs

    def forward(self, x: Tensor) -> Tensor:
        return torch.rand(len(x), self.outputs)


class Wide(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.zeros(len(x), 6, dtype=torch.float64)


class Broken(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        raise KeyError("lost")


@pytest.mark.parametrize(
    ("network", "words"),
    [
        (nn.Sequential(nn.Flatten(), nn.Linear(16, 5)), ["shape (2, 5)", "6 values for each"]),
        (nn.Flatten(0), ["shape (32,)", "6 values"]),
        (nn.Linear(3, 6), ["the encoder fails on an input of shape (2, 1, 4, 4)"]),
        (Broken(), ["KeyError", "lost", "test_own.py"]),
        (nn.Sequential(nn.Flatten(), nn.Linear(16, 6)).double(), ["weights are torch.float64", "encoder.float()"]),
        (nn.Sequential(nn.Flatten(), nn.Linear(16, 6)).half(), ["weights are torch.float16", "encoder.float()"]),
        (Wide(), ["returns torch.float64 for inputs of torch.float32"]),
        (nn.Linear, ["the class Linear: make an instance"]),
        ("cnn", ["torch.nn.Module, not a str"]),
    ],
)
def test_what_does_not_fit_is_refused_before_training(network, words):
    refused(lambda: given_network({"encoder": network}, "encoder", (1, 4, 4), [6]), *words)


def test_a_function_makes_several_networks():
    made = given_network({"conditioner": nn.Linear}, "conditioner", [2], [5], (2, 5))
    assert made is not None and made(torch.rand(3, 2)).shape == (3, 5)
    take = ("conditioner", [2], [5], (2, 5))
    refused(lambda: given_network({"conditioner": nn.Linear(2, 5)}, *take), "give a function conditioner(inputs")
    refused(lambda: given_network({"conditioner": lambda i, o: 7}, *take), "conditioner(2, 5) returns an int")
    refused(lambda: given_network({"conditioner": lambda i: i}, *take), "cannot be made from (2, 5)", "TypeError")
    assert given_network({}, *take) is None

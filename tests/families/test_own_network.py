"""An autoregressive model of a given network: exact where the network is causal, refused where it is not."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from helpers import refused
from torch import Tensor, nn
from torch.nn import functional as F

from ancestral.core.serialization import to_config
from ancestral.evaluation.contract import check_model
from ancestral.families.autoregressive.own_network import find_leak
from ancestral.families.build import build_model
from ancestral.families.family import DataSpec
from ancestral.families.run_settings import settings_for
from ancestral.models.autoregressive import AutoregressiveModel


class Masked(nn.Conv2d):
    """A convolution of the places before each one, and of the place itself where `itself` is set; by raster order."""

    def __init__(self, inputs: int, outputs: int, width: int, itself: bool) -> None:
        super().__init__(inputs, outputs, width, padding=width // 2)
        mask = torch.ones(width, width)
        mask[width // 2, width // 2 + itself :] = 0
        mask[width // 2 + 1 :] = 0
        self.register_buffer("mask", mask)

    def forward(self, input: Tensor) -> Tensor:
        return F.conv2d(input, self.weight * self.mask, self.bias, padding=self.padding)


def causal(outputs: int = 1, channels: int = 1) -> nn.Module:
    torch.manual_seed(0)
    first = Masked(channels, 6, 5, itself=False)
    network = nn.Sequential(first, nn.Tanh(), Masked(6, 6, 3, itself=True), nn.Tanh(), nn.Conv2d(6, outputs, 1))
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.7)
    return network


def model_of(network: nn.Module, shape: tuple[int, ...] = (1, 3, 3), levels: int = 2, **settings: Any) -> Any:
    space = "threshold" if levels == 2 else "levels"
    spec = DataSpec(shape, levels, space, networks={"network": network})
    return build_model("made", settings_for("made", **settings).model, spec)


class FirstChannelAlone(nn.Module):
    """Channel by channel: of two colours, the second sees all of the first, and the first what is before it."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.across = causal(), causal(), nn.Conv2d(1, 1, 5, padding=2)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.first(x[:, :1]), self.second(x[:, 1:]) + self.across(x[:, :1])], 1)


@pytest.mark.parametrize(
    ("network", "shape", "levels"),
    [
        (causal(), (1, 3, 3), 2),
        (causal(3), (1, 2, 2), 3),
        (causal(2, 2), (2, 2, 2), 2),
        (FirstChannelAlone(), (2, 2, 2), 2),
    ],
    ids=["binary", "three levels", "two colours", "colour by colour"],
)
def test_a_causal_network_makes_an_exact_model(network, shape, levels):
    model = model_of(network, shape, levels)
    assert isinstance(model, AutoregressiveModel)
    checks = {check.name: check for check in check_model(model)}
    assert "probabilities of all images sum to one" in checks and "samples fit the probabilities" in checks
    assert [check for check in checks.values() if not check.passed] == []


def test_output_channels_are_ordered_by_colour():
    """Two colours of three levels: the first three channels are the logits of the first colour."""
    network = causal(6, 2)
    model = model_of(network, (2, 2, 2), 3)
    x = torch.randint(3, (4, 2, 2, 2)).float()
    parameters = network(model.centred(x))
    expected = [F.log_softmax(parameters[:, 3 * c : 3 * c + 3], 1).gather(1, x[:, c : c + 1].long()) for c in (0, 1)]
    total = sum(part.flatten(1).sum(1) for part in expected)
    assert torch.allclose(model.log_prob(x), total, atol=1e-5)


def test_the_pixel_order_is_that_of_the_network():
    by_pixel, by_channel = model_of(causal(2, 2), (2, 2, 2)), model_of(FirstChannelAlone(), (2, 2, 2))
    assert by_pixel.order.tolist() == [0, 4, 1, 5, 2, 6, 3, 7] and to_config(by_pixel)["order"] == "pixel"
    assert by_channel.order.tolist() == list(range(8)) and to_config(by_channel)["order"] == "channel"


def test_completion_of_the_last_pixels_is_exact():
    model = model_of(causal()).eval()
    x = torch.randint(2, (1, 1, 3, 3)).float()
    observed = torch.ones_like(x, dtype=torch.bool)
    observed[..., 2, 1:] = False
    both = torch.cat([x] * 4)
    both[:, 0, 2, 1:] = torch.tensor([[0.0, 0], [0, 1], [1, 0], [1, 1]])
    log_p = model.log_prob_missing(both, observed.expand(4, 1, 3, 3))
    assert log_p.exp().sum().item() == pytest.approx(1, abs=1e-5)
    torch.manual_seed(1)
    drawn = model.complete(x.expand(4000, 1, 3, 3), observed.expand(4000, 1, 3, 3))[:, 0, 2, 1:]
    shares = ((2 * drawn[:, 0] + drawn[:, 1]).long().bincount(minlength=4) / 4000).tolist()
    assert shares == pytest.approx(log_p.exp().tolist(), abs=4 * math.sqrt(0.25 / 4000))


class Whole(nn.Module):
    """Each pixel sees all others through a single late weight, which is zero before training."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        return self.weight * x.flatten(1).sum(1)[:, None, None, None].expand_as(x)


@pytest.mark.parametrize(
    ("network", "words"),
    [
        (Masked(1, 1, 3, itself=True), ["depend on that pixel itself or later ones", "not autoregressive"]),
        (nn.Conv2d(1, 1, 3, padding=1), ["depend on", "reading order"]),
        (nn.Sequential(nn.Flatten(), nn.Linear(9, 9)), ["not autoregressive"]),
        (Whole(), ["not autoregressive"]),
    ],
    ids=["sees itself", "sees later ones", "sees all", "sees all after training"],
)
def test_a_network_that_is_not_causal_is_refused(network, words):
    refused(lambda: model_of(network), *words)


def test_the_causality_test_detects_a_single_wrong_weight():
    """Each entry of the dependence of parameters on pixels that must be zero, alone."""
    model = model_of(causal())
    for parameters in range(9):
        for pixel in range(parameters, 9):
            matrix = torch.zeros(9, 9)
            matrix[parameters, pixel] = 1
            model.network.network.module = Fixed(matrix)
            leak = find_leak(model)
            assert leak is not None and leak[0] == parameters
    model.network.network.module = Fixed(torch.ones(9, 9).tril(-1))
    assert find_leak(model) is None


class Fixed(nn.Module):
    """A linear map without parameters, so that the test's noise leaves it as it is."""

    def __init__(self, matrix: Tensor) -> None:
        super().__init__()
        self.register_buffer("matrix", matrix)

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1) @ self.matrix.T


def test_points_and_other_families_refuse_a_causal_network():
    spec = DataSpec((2,), 0, "points", networks={"network": causal()})
    refused(lambda: build_model("made", settings_for("made").model, spec), "")
    spec = DataSpec((1, 3, 3), 2, "threshold", networks={"network": causal()})
    refused(lambda: build_model("vae", settings_for("vae").model, spec), "own network 'network'", "encoder")
    refused(
        lambda: build_model("mixture", settings_for("mixture").model, spec), "own network 'network'", "accepts none"
    )

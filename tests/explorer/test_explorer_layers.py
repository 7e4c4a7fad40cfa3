"""Networks as lists of layers: a small interpreter of the list computes what the network computes."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from helpers import refused
from torch import Tensor, nn
from torch.nn import functional as F

from ancestral.core.errors import NotComputable
from ancestral.core.given import GivenModule
from ancestral.networks.causal import CausalConv2d, GatedBlock
from ancestral.networks.conditioned import Conditioned
from ancestral.networks.conv import ConvDecoder, ConvEncoder
from ancestral.networks.gated import GatedConvNet
from ancestral.networks.layers import Layer, layers_given, layers_of
from ancestral.networks.masked_flow import MaskedMLP
from ancestral.networks.mlp import MLP
from ancestral.networks.own import OwnNetwork

POINTWISE = {
    "relu": torch.relu,
    "gelu": F.gelu,
    "silu": F.silu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
}


def computed(layers: Sequence[Layer], x: Tensor) -> Tensor:
    """What the list computes for one input, as the table in `layers_of` says."""
    for layer in layers:
        x = _step(layer, x)
    return x


def _step(layer: Layer, x: Tensor) -> Tensor:
    op = layer["op"]
    if op == "dense":
        return F.linear(x, layer["weight"], layer["bias"])
    if op == "conv":
        top, left, bottom, right = layer["padding"]
        padded = F.pad(x[None], (left, right, top, bottom))
        return F.conv2d(padded, layer["weight"], layer["bias"], layer["stride"], groups=layer["groups"])[0]
    if op == "upconv":
        numbers = (layer["weight"], layer["bias"], layer["stride"], layer["padding"], layer["extra"])
        return F.conv_transpose2d(x[None], *numbers)[0]
    if op == "affine":
        scale, shift = (torch.as_tensor(layer[name]) for name in ("scale", "shift"))
        return x * scale.reshape(-1, *[1] * (x.dim() - 1)) + shift.reshape(-1, *[1] * (x.dim() - 1))
    if op == "add":
        return x + layer["value"]
    if op == "append":
        entries = layer["values"].to(x).reshape(-1, *[1] * (x.dim() - 1))
        return torch.cat([x, entries.expand(-1, *x.shape[1:])])
    if op == "reshape":
        return x.reshape(layer["shape"])
    if op == "residual":
        return x + computed(layer["layers"], x)
    assert op == "activation"
    return _activated(layer, x)


def _activated(layer: Layer, x: Tensor) -> Tensor:
    name = layer["name"]
    if name == "leaky-relu":
        return F.leaky_relu(x, layer["slope"])
    if name in ("glu", "tanh-glu"):
        first, second = x.chunk(2)
        return (first if name == "glu" else first.tanh()) * second.sigmoid()
    return POINTWISE[name](x)


def _convs() -> nn.Module:
    first = nn.Conv2d(2, 4, (3, 2), (2, 1), (1, 0), groups=2, bias=False)
    return nn.Sequential(first, nn.BatchNorm2d(4), nn.ReLU(), nn.ConvTranspose2d(4, 2, 3, 2, 1, 1), nn.GLU(1))


def _dense() -> nn.Module:
    norm = nn.BatchNorm1d(5)
    parts = [nn.Flatten(), nn.Linear(6, 5, bias=False), norm, nn.GELU(), nn.Dropout(), nn.Linear(5, 6), nn.Identity()]
    return nn.Sequential(*parts, nn.SiLU(), nn.Unflatten(1, (2, 3)), nn.Sigmoid())


def _own() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(6, 4))


NETWORKS = {
    "dense": (_dense, (1, 2, 3)),
    "convolutions": (_convs, (2, 5, 4)),
    "mlp": (lambda: MLP([1, 3, 3], [5, 4], [2, 2], "leaky-relu-0.2", dropout=0.5), (1, 3, 3)),
    "encoder": (lambda: ConvEncoder([1, 5, 6], [3, 4], [1, 2], [7], "silu", dropout=0.3), (1, 5, 6)),
    "decoder": (lambda: ConvDecoder([3], [4, 3], [2, 2], [2, 7, 5], batch_norm=True), (3,)),
    "gated": (lambda: GatedConvNet(2, 3, [4, 5], width=4, activation="tanh"), (2, 4, 5)),
    "causal": (lambda: CausalConv2d(2, 3, 5, current=True), (2, 4, 5)),
    "gated block": (lambda: GatedBlock(6, 2, 3), (6, 4, 3)),
    "own": (lambda: OwnNetwork(GivenModule("encoder", _own()), [1, 2, 3], [2, 2]), (1, 2, 3)),
    "masked": (lambda: MaskedMLP(4, [7, 5], copies=2), (4,)),
}


def network_and_inputs(name: str) -> tuple[nn.Module, Tensor]:
    """A network in double precision and evaluation mode, and three inputs."""
    torch.manual_seed(4)
    make, shape = NETWORKS[name]
    network = make().double()
    with torch.no_grad():
        for _ in range(3):  # running statistics away from where they start
            network.train()(3 * torch.randn(8, *shape, dtype=torch.double) + 1)
        network.eval()
        for tensor in network.parameters():  # masked weights too, which are not zero in runs of earlier versions
            tensor.add_(0.3 * torch.randn_like(tensor))
    return network, torch.randn(3, *shape, dtype=torch.double)


@pytest.mark.parametrize("name", NETWORKS)
def test_the_list_computes_what_the_network_computes(name: str) -> None:
    network, x = network_and_inputs(name)
    with torch.no_grad():
        for one, expected in zip(x, network(x), strict=True):
            torch.testing.assert_close(computed(layers_of(network), one), expected)


CONDITIONAL = {  # networks of an input and three classes
    "mlp": (lambda: Conditioned(MLP([9 + 3], [5], [2]), [1, 3, 3], False), (1, 3, 3)),
    "encoder": (lambda: Conditioned(ConvEncoder([1 + 3, 5, 4], [3], [2], [2]), [1, 5, 4], True), (1, 5, 4)),
    "gated block": (lambda: GatedBlock(6, 2, 3, condition=3), (6, 4, 3)),
    "masked": (lambda: MaskedMLP(4, [7, 5], condition=3), (4,)),
}


@pytest.mark.parametrize("name", CONDITIONAL)
def test_the_list_of_one_condition_computes_what_the_network_computes_given_it(name: str) -> None:
    torch.manual_seed(4)
    make, shape = CONDITIONAL[name]
    network, x, classes = make().double().eval(), torch.randn(3, *shape, dtype=torch.double), torch.eye(3).double()
    with torch.no_grad():
        for one, y in zip(x, classes, strict=True):
            layers = layers_given(network, y[None])
            torch.testing.assert_close(computed(layers, one), network(one[None], y[None])[0])
    refused(lambda: layers_of(network), type(network).__name__, kind=NotComputable)


def test_the_list_of_a_network_of_one_input_appends_the_condition() -> None:
    network, z, y = MLP([2 + 3], [4], [1, 2, 2]), torch.randn(2), torch.tensor([[0.0, 1.0, 0.0]])
    torch.testing.assert_close(computed(layers_given(network, y), z), network(torch.cat([z, y[0]])))
    assert [layer["op"] for layer in layers_given(network, None)] == [layer["op"] for layer in layers_of(network)]


class Doubled(nn.Linear):
    """A known layer that computes something else."""

    def forward(self, input: Tensor) -> Tensor:
        return 2 * super().forward(input)


def _given(module: nn.Module) -> nn.Module:
    return OwnNetwork(GivenModule("encoder", module), [2], [2])


@pytest.mark.parametrize(
    ("module", "word"),
    [
        (nn.Softplus(), "Softplus"),
        (_given(nn.Sequential(nn.Linear(2, 2), Doubled(2, 2))), "Doubled"),
        (_given(nn.Softplus()), "Softplus"),
        (nn.Sequential(nn.Linear(2, 2), nn.LSTM(2, 2)), "LSTM"),
        (nn.Conv2d(1, 1, 3, dilation=2), "dilation"),
        (nn.Conv2d(1, 1, 3, padding="same"), "padding"),
        (nn.Conv2d(1, 1, 3, padding=1, padding_mode="reflect"), "padding"),
        (nn.ConvTranspose2d(2, 2, 3, groups=2), "groups"),
        (nn.BatchNorm2d(2, track_running_stats=False), "running statistics"),
        (nn.GELU("tanh"), "GELU"),
        (nn.Flatten(2), "Flatten"),
        (nn.Unflatten(2, (2, 2)), "Unflatten"),
    ],
)
def test_other_modules_are_refused(module: nn.Module, word: str) -> None:
    refused(lambda: layers_of(module), word, kind=NotComputable)
